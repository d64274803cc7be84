"""Nodes that exist inside of ComfyUI only: its types to ours, and ours to its."""
