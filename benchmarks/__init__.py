"""Measurements beside a named peer or the bare forward; each runs with `python -m glidewire.benchmarks.<name>`."""
