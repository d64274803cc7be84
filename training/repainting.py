"""What is measured of minis that turn pictures into pictures: upsamplers, and GLIDE's inpainting model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..metrics.pictures import boundary_error
from ..scenes import Caption, Scene, render
from ..scenes.judge import Reading, judge
from ..scenes.world import COLOURS, SHAPES, Solid
from .batches import everything
from .fresh import fresh_scenes, judged
from .repainters import CaptionedEnlarger, Enlarger, Inpainter

_BATCH = 50


def rendered(scenes: Sequence[Scene], side: int) -> NDArray[np.uint8]:
    """Pictures of scenes, uint8 [count side side 3]."""
    return np.stack([render(scene, side) for scene in scenes])


def verdicts_kept_larger(enlarged: Enlarger, count: int) -> dict[str, float]:
    """How often the judge reads a scene's small picture as it reads what an upsampler makes of it.

    Args:
        enlarged: The upsampler; its pictures are enlarged once more.
        count: Scenes.

    Returns:
        Shares: "verdict kept" at twice and four times the side, of every attribute of the small picture; and those of
        which everything is right, as `judged`, at every side.
    """
    scenes = fresh_scenes(count)
    captions = [everything(scene) for scene in scenes]
    pictures = rendered(scenes, 32)
    before = [_attributes(judge(picture)) for picture in pictures]
    found = {"everything at 32 px": judged(pictures, captions)["everything"]}
    for side in (64, 128):
        rows = [slice(first, min(first + 20, count)) for first in range(0, count, 20)]
        pictures = np.concatenate([enlarged(pictures[row], range(row.start, row.stop)) for row in rows])
        after = [_attributes(judge(picture)) for picture in pictures]
        found[f"verdict kept at {side} px"] = float(np.mean([a == b for a, b in zip(before, after, strict=True)]))
        found[f"everything at {side} px"] = judged(pictures, captions)["everything"]
    return found


def halved(pictures: NDArray[np.uint8], times: int = 1) -> NDArray[np.uint8]:
    """Pictures uint8 [count height width 3] at half their side, so many times, each pixel a mean."""
    factor = 2**times
    count, height, width, channels = pictures.shape
    parts = pictures.reshape(count, height // factor, factor, width // factor, factor, channels)
    return parts.mean(axis=(2, 4)).round().astype(np.uint8)


def enlarged_under_captions(paint: CaptionedEnlarger, count: int, *, scale: float = 3.0) -> dict[str, float]:
    """How often a scene of 8 pixels and its caption become a picture in which everything is right.

    Args:
        paint: Super-resolution by four.
        count: Scenes.
        scale: Of classifier-free guidance.

    Returns:
        Shares as `judged`, and "small picture" in decibels: how near the result, made small again, is to it.
    """
    scenes = fresh_scenes(count)
    captions = [everything(scene) for scene in scenes]
    small = halved(rendered(scenes, 32), 2)
    parts = []
    for first in range(0, count, _BATCH):
        rows = slice(first, first + _BATCH)
        texts = [caption.text for caption in captions[rows]]
        parts.append(paint(texts, small[rows], range(len(texts)), first, scale))
    found = np.concatenate(parts)
    return {**judged(found, captions), "small picture": decibels(halved(found, 2), small)}


def decibels(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """10 log10(255^2 / mean square error)."""
    error = float(np.mean((found.astype(float) - wanted) ** 2))
    return float(10 * np.log10(255**2 / max(error, 1e-12)))


def _attributes(reading: Reading) -> tuple[object, ...]:
    """What a reading names, but for places and diameters in numbers."""
    solids = sorted(reading.solids, key=lambda seen: (seen.x - seen.y, seen.x))
    return (reading.ground, *((seen.shape, seen.colour, seen.size) for seen in solids))


@dataclass(frozen=True)
class Repainting:
    """Pictures in which one solid shall become another.

    Attributes:
        pictures: As they are, uint8 [count side side 3].
        masks: 1 where they are kept, float32 [count 1 side side].
        captions: What they shall show.
    """

    pictures: NDArray[np.uint8]
    masks: NDArray[np.float32]
    captions: list[Caption]


def hole_of(solid: Solid, side: int, *, margin: float = 0.12) -> tuple[slice, slice]:
    """Rows and columns around a solid's silhouette, in a picture of `side` pixels.

    Args:
        solid: Where it is.
        side: In pixels.
        margin: How far beyond it, as a fraction of the side.
    """
    reach = 0.5 * solid.diameter + margin
    row, column = 0.5 * (1 - solid.y), 0.5 * (1 + solid.x)
    top, bottom, left, right = (
        int(min(max(round(place * side), 0), side))
        for place in (row - reach, row + reach, column - reach, column + reach)
    )
    return slice(top, bottom), slice(left, right)


def repainting_tasks(count: int, side: int) -> Repainting:
    """Fresh scenes of which one solid is hidden, and captions that name another shape and colour for it."""
    rng = np.random.default_rng(7)
    pictures, masks, captions = [], [], []
    for scene in fresh_scenes(count):
        which = int(rng.integers(len(scene.solids)))
        solid, others = scene.solids[which], [one.colour for one in scene.solids]
        shapes = [shape for shape in SHAPES if shape != solid.shape]
        colours = [colour for colour in COLOURS if colour not in others]
        other = replace(solid, shape=shapes[rng.integers(len(shapes))], colour=colours[rng.integers(len(colours))])
        solids = tuple(other if place == which else one for place, one in enumerate(scene.solids))
        mask = np.ones((1, side, side), np.float32)
        mask[(0, *hole_of(solid, side))] = 0
        pictures.append(render(scene, side))
        masks.append(mask)
        captions.append(everything(replace(scene, solids=solids)))
    return Repainting(np.stack(pictures), np.stack(masks), captions)


def repainted(paint: Inpainter, count: int, side: int, *, scale: float = 3.0) -> dict[str, float]:
    """How often a solid that was painted over is what the caption says, and all else still right.

    Args:
        paint: The inpainting model.
        count: Scenes.
        side: In pixels.
        scale: Of classifier-free guidance.

    Returns:
        Shares as `judged`, "known pixels" in decibels, over what the mask keeps, and "edge": `boundary_error` around
        what was painted, in the pictures' levels of [0, 1].
    """
    tasks = repainting_tasks(count, side)
    texts = [caption.text for caption in tasks.captions]
    parts = []
    for first in range(0, count, _BATCH):
        rows = slice(first, first + _BATCH)
        seeds = range(len(texts[rows]))
        parts.append(paint(texts[rows], tasks.pictures[rows], tasks.masks[rows], seeds, first, scale))
    found = np.concatenate(parts)
    kept = tasks.masks.transpose(0, 2, 3, 1).repeat(3, axis=3) > 0
    levels = torch.from_numpy(found).movedim(-1, 1).float() / 255
    return {
        **judged(found, tasks.captions),
        "known pixels": decibels(found[kept], tasks.pictures[kept]),
        "edge": boundary_error(levels, 1 - torch.from_numpy(tasks.masks[:, 0])),
    }
