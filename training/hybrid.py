"""What recipes of denoisers with learned variance minimise: the hybrid loss, weighted by the signal-to-noise ratio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import losses
from ..diffusion.schedules import NoiseSchedule
from .timesteps import stratified


@dataclass(frozen=True)
class SnrWeight:
    """The weight of an item's eps error: clamp(clamp(SNR, *limits) / SNR, *bounds).

    Attributes:
        limits: Less weight for details, as in Hang et al. 2023, and more where almost only the condition tells what
            to draw.
        bounds: Of the weight itself: without the lower one, samples keep speckles.
    """

    limits: tuple[float, float] = (0.3, 5.0)
    bounds: tuple[float, float] = (0.2, 20.0)

    def of(self, timesteps: Tensor, schedule: NoiseSchedule) -> Tensor:
        """The weights of timesteps "batch"."""
        alpha_bar = schedule.alpha_bar.float().to(timesteps.device)[timesteps]
        snr = alpha_bar / (1 - alpha_bar)
        return (snr.clamp(*self.limits) / snr).clamp(*self.bounds)


def hybrid(
    network: Callable[[Tensor, Tensor], Tensor],
    x_0: Tensor,
    schedule: NoiseSchedule,
    weight: SnrWeight,
    generator: torch.Generator,
    noise: Tensor | None = None,
) -> dict[str, Tensor]:
    """Mean losses of a batch: the hybrid loss (Nichol & Dhariwal 2021, eq. 16) with the eps error weighted.

    Args:
        network: From x_t and timesteps to eps and variance, "batch 2*channels ..."; runs under bfloat16 autocast.
        x_0: Clean samples, "batch channels ...".
        schedule: The training schedule.
        weight: Of the eps error.
        generator: What draws timesteps and noise.
        noise: The noise itself, where it shall not be white.

    Returns:
        Means: "total", "mse" and "vlb" in bits per dimension.
    """
    timesteps = stratified(len(x_0), len(schedule), generator).to(x_0.device)
    noise = torch.randn(x_0.shape, generator=generator).to(x_0.device) if noise is None else noise
    x_t = losses.q_sample(x_0, timesteps, noise, schedule)
    with torch.autocast(x_0.device.type, torch.bfloat16):
        output = network(x_t, timesteps)
    each = losses.hybrid_loss(output, x_0, x_t, noise, timesteps, schedule)
    total = (weight.of(timesteps, schedule) * each["mse"] + (each["total"] - each["mse"])).mean()
    return {"total": total, "mse": each["mse"].mean(), "vlb": each["vlb"].mean()}
