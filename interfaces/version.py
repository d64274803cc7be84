"""Which version of what is running."""

from __future__ import annotations

import importlib.metadata
import platform
import tomllib
from pathlib import Path


def version() -> str:
    """The version of glidewire: of the installed package, or of the clone that runs without installation."""
    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if project.is_file():
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    return importlib.metadata.version("glidewire")


def versions() -> dict[str, str]:
    """The versions that can change a result: glidewire, Python, torch, diffusers."""
    found = {"glidewire": version(), "python": platform.python_version()}
    for package in ("torch", "diffusers"):
        found[package] = importlib.metadata.version(package)
    return found
