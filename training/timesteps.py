"""Timesteps of a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def stratified(count: int, steps: int, generator: torch.Generator) -> Tensor:
    """`count` timesteps from 0 to steps - 1, one from each of as many equal parts, in random order.

    Their mean loss has a lower variance than independent ones'. Source: Kingma et al. 2021, appendix I.1.

    Args:
        count: Items of the batch.
        steps: Steps of the schedule.
        generator: What draws.

    Returns:
        "batch" int64.
    """
    offset = torch.rand((), generator=generator)
    timesteps = ((torch.arange(count) + offset) / count * steps).long().clamp(max=steps - 1)
    return timesteps[torch.randperm(count, generator=generator)]
