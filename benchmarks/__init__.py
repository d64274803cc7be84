"""Measurements, side by side with a named peer or with the bare forward; run each with `python -m glidewire.benchmarks.<name>`."""
