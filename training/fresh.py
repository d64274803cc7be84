"""Scenes that no recipe has seen, and the judge's shares over pictures of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..scenes import Caption, Scene, sample_scene
from ..scenes.judge import judge, score
from .batches import everything

# Beyond the seeds of any pool.
_FIRST_SEED = 10_000_000


def fresh_scenes(count: int, *, distinct: bool = False) -> list[Scene]:
    """Scenes that no pool has, every other one of combinations that training never shows.

    Args:
        count: How many.
        distinct: Whether no two have the same attributes.
    """
    scenes: dict[str, Scene] = {}
    seed = 0
    while len(scenes) < count:
        scene = sample_scene(_FIRST_SEED + seed, held_out=bool(seed % 2))
        scenes.setdefault(everything(scene).text if distinct else str(seed), scene)
        seed += 1
    return list(scenes.values())


def judged(pictures: NDArray[np.uint8], captions: list[Caption]) -> dict[str, float]:
    """Shares of pictures [count side side 3] in which what is stated is right: of each attribute, and of all."""
    scores = [score(judge(picture), caption.statement) for picture, caption in zip(pictures, captions, strict=True)]
    found = {"everything": float(np.mean([all(one.values()) for one in scores]))}
    for name in dict.fromkeys(name for one in scores for name in one):
        found[name] = float(np.mean([one[name] for one in scores if name in one]))
    return found
