"""A procedural world of shaded solids: rendered from a seed, captioned by a grammar, with exact attributes."""
