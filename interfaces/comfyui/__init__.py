"""The node host's door: our nodes as ComfyUI's, bridges between its types and ours, its memory, cache and progress."""

from __future__ import annotations

from typing import Any

WEB_DIRECTORY = "./web"
"""Where the host finds our editor extension and the help pages, relative to the pack's root."""

_MAPPINGS = ("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS")


def __getattr__(name: str) -> Any:
    """NODE_CLASS_MAPPINGS and NODE_DISPLAY_NAME_MAPPINGS, made of the pack's nodes when the host asks for them.

    Raises:
        ImportError: a file of the pack or a package that it needs is not in order; the text says which and what to do.
    """
    if name not in _MAPPINGS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from .offer import offer

        globals().update(zip(_MAPPINGS, offer(), strict=True))
    except Exception as problem:  # an AttributeError in a file of ours would mean to the host: this pack has no nodes
        from .trouble import sentence

        raise ImportError(sentence(problem)) from problem
    return globals()[name]
