"""Random parts of pictures, as an ordinary CLIP looks at a picture that is being made."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GlidewireError

Box = tuple[int, int, int]
"""Top, left and side of a square."""


def cutout_boxes(size: tuple[int, int], count: int, least: int, power: float, rng: np.random.Generator) -> list[Box]:
    """Squares at random places, of side u^power (largest - least) + least with u uniform.

    Args:
        size: Height and width of the picture.
        count: How many.
        least: Smallest side, in pixels; the picture's own shorter side if that is smaller.
        power: Above 1 favours small squares, below 1 large ones.
        rng: Random numbers.

    Raises:
        GlidewireError: No square, or an impossible power.

    Source: Crowson et al. 2022 (VQGAN-CLIP, 2204.08583), section 3.3.
    """
    if count < 1 or least < 1 or not 0 <= power < 100:
        raise GlidewireError(
            "cutouts: impossible settings",
            expected="1 or more of them, and a power from 0 up",
            got=f"{count} of {least} pixels, power {power:g}",
        )
    height, width = size
    largest = min(height, width)
    least = min(least, largest)
    found = []
    for _ in range(count):
        side = int(rng.random() ** power * (largest - least) + least)
        found.append((int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1)), side))
    return found


def cutouts(picture: Tensor, boxes: list[Box], side: int) -> Tensor:
    """Each square of each picture at one size, by means of areas: "boxes*batch channels side side", boxes slowest."""
    parts = [picture[..., top : top + own, left : left + own] for top, left, own in boxes]
    return torch.cat([F.adaptive_avg_pool2d(part, side) for part in parts])


def spherical_distance(first: Tensor, second: Tensor) -> Tensor:
    """2 arcsin(|a - b| / 2)^2 of normalised vectors "batch width": half their squared angle.

    Returns:
        "batch", differentiable also where the two are equal or opposite.

    Source: Crowson et al. 2022 (VQGAN-CLIP, 2204.08583), section 3.2.
    """
    half_chord = (F.normalize(first, dim=-1) - F.normalize(second, dim=-1)).square().sum(dim=-1).clamp(min=1e-12)
    return 2 * (half_chord.sqrt() / 2).clamp(max=1 - 1e-7).arcsin().square()
