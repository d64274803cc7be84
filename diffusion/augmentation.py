"""Noise on what a model is conditioned on: the low-resolution picture of a cascade's next stage."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from ..errors import GlidewireError
from .schedules import NoiseSchedule, squared_cosine


def conditioning_augmentation(
    low_res: Tensor, size: tuple[int, int], level: float, noise: Tensor, schedule: NoiseSchedule | None = None
) -> tuple[Tensor, int]:
    """Enlarge a picture and noise it: sqrt(abar_s) resize(low_res) + sqrt(1 - abar_s) noise at s = int(level T).

    Args:
        low_res: "batch channels h w" in [-1, 1].
        size: Height and width of the next stage.
        level: Fraction of the schedule, 0 (hardly any noise) to below 1.
        noise: Standard normal, "batch channels height width".
        schedule: The schedule of the noise; the squared cosine of 1000 steps by default.

    Returns:
        The noised picture, "batch channels height width", and s, which the network is told.

    Raises:
        GlidewireError: If the level is not in [0, 1) or the noise is of another size.

    Source: Saharia et al. 2022 (Imagen), appendix A.1; bilinear with aligned corners as in DeepFloyd IF.
    """
    schedule = schedule or squared_cosine()
    step = noise_step(level, len(schedule))
    expected = (*low_res.shape[:2], *size)
    if tuple(noise.shape) != expected:
        raise GlidewireError("conditioning augmentation: wrong noise", expected=expected, got=tuple(noise.shape))
    alpha_bar = schedule.alpha_bar[step].item()
    resized = F.interpolate(low_res, size, mode="bilinear", align_corners=True)
    return math.sqrt(alpha_bar) * resized + math.sqrt(1 - alpha_bar) * noise, step


def noise_step(level: float, steps: int = 1000) -> int:
    """s = int(level T): the step whose noise a level names, which the network is told.

    Raises:
        GlidewireError: If the level is not in [0, 1).
    """
    if not 0 <= level < 1:
        raise GlidewireError("conditioning augmentation: impossible level", expected="0 to below 1", got=level)
    return int(level * steps)
