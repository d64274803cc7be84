"""Schedules over times in [0, 1] in place of numbered timesteps."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import GlidewireError
from .schedules import NoiseSchedule

# Keeps the noisiest entry from dividing by zero.
_SIGNAL_BOUNDS = (1e-4, 0.9999)


def cosine_at(times: Tensor) -> Tensor:
    """alpha_bar(t) = cos^2((t + 0.008) / 1.008 · pi / 2), divided by alpha_bar(0), bounded to [0.0001, 0.9999].

    Args:
        times: In [0, 1], any shape; 1 is the noisiest.

    Returns:
        float64, shaped as `times`.

    Source: Nichol & Dhariwal 2021, eq. 17, in continuous time.
    """
    signal = ((times.double() + 0.008) / 1.008 * (math.pi / 2)).cos().square()
    return (signal / math.cos(0.008 / 1.008 * math.pi / 2) ** 2).clamp(*_SIGNAL_BOUNDS)


def continuous_cosine(steps: int, start: float = 1.0, end: float = 0.0) -> NoiseSchedule:
    """`steps` times evenly spaced in [start, end], both left out; the last step arrives at `end`.

    Args:
        steps: Number of network evaluations.
        start: Time above the noisiest entry; the published sampler does not visit it.
        end: Time that the last step arrives at.

    Raises:
        GlidewireError: If `steps` is below 1 or the times are not 1 >= start > end >= 0.

    Source: the image prior of Paella (Rampas et al. 2023), as published.
    """
    if steps < 1:
        raise GlidewireError("continuous_cosine: too few steps", expected="at least 1", got=steps)
    if not 1 >= start > end >= 0:
        raise GlidewireError(
            "continuous_cosine: impossible times", expected="1 >= start > end >= 0", got=f"{start} to {end}"
        )
    # float32, since a network that is given 10,000 times a time sees its last bit.
    times = torch.linspace(start, end, steps + 2)[1:]
    alpha_bar = cosine_at(times).flip(0)
    return NoiseSchedule(tuple(times[:-1].flip(0).tolist()), alpha_bar[1:], alpha_bar[0].item())
