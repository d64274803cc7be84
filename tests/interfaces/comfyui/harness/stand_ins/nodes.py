"""The host has a module of this name: importing it must never be importing ours."""

WHOSE = "the host's"
