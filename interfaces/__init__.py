"""The doors: command line, Python, node host."""
