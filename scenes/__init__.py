"""A procedural world of shaded solids: scenes with exact attributes, a renderer, captions, and a held-out split."""

from .captions import Caption, Described, Statement, caption, held_out_prompts, parse, worded
from .render import render
from .world import Scene, Solid, sample_scene

__all__ = [
    "Caption",
    "Described",
    "Scene",
    "Solid",
    "Statement",
    "caption",
    "held_out_prompts",
    "parse",
    "render",
    "sample_scene",
    "worded",
]
