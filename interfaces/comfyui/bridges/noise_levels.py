"""The host's noise levels and ours: sigma and its states, alpha_bar and x_t, whatever a model was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from ....diffusion.schedules import NoiseSchedule
from ....errors import GlidewireError


class ModelSampling(Protocol):
    """What the host knows of a model's noise: its table of levels, and how a level is reached."""

    @property
    def sigmas(self) -> Tensor:
        """The levels that the model was trained with, rising, "levels"."""
        ...

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent_image: Tensor) -> Tensor:
        """The host's state at sigma: signal(sigma) · latent_image + noise(sigma) · noise."""
        ...


def signal_and_noise(sampling: ModelSampling, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """What the host's states are made of: state = signal · x_0 + noise · eps.

    Variance exploding states have (1, sigma), those of rectified flows (1 - sigma, sigma); asked of the host, so
    that any convention of its models is right.

    Args:
        sampling: The model's.
        sigma: "levels".

    Returns:
        signal and noise, "levels" float64.
    """
    levels = sigma.to("cpu", torch.float64)[:, None]
    one, none = torch.ones_like(levels), torch.zeros_like(levels)
    return sampling.noise_scaling(levels, none, one)[:, 0], sampling.noise_scaling(levels, one, none)[:, 0]


def scale(sampling: ModelSampling, sigma: Tensor) -> Tensor:
    """What x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps must be multiplied by to be the host's state.

    sqrt(signal^2 + noise^2), "levels" float64 for sigma "levels".
    """
    signal, noise = signal_and_noise(sampling, sigma)
    return (signal**2 + noise**2).sqrt()


def alpha_bars(sampling: ModelSampling, sigma: Tensor) -> Tensor:
    """alpha_bar = signal^2 / (signal^2 + noise^2), "levels" float64 for sigma "levels"."""
    signal, noise = signal_and_noise(sampling, sigma)
    return signal**2 / (signal**2 + noise**2)


def trained_schedule(sampling: ModelSampling) -> NoiseSchedule:
    """The levels that a model was trained with; a timestep is the number of its level."""
    alpha_bar = alpha_bars(sampling, sampling.sigmas)
    return NoiseSchedule(tuple(range(len(alpha_bar))), alpha_bar)


def schedule_of(sampling: ModelSampling, sigmas: Tensor) -> NoiseSchedule:
    """The levels that one of the host's schedulers chose; a timestep is the level itself, a real number.

    Args:
        sampling: The model's.
        sigmas: Falling, "steps+1": where the steps start, and where the last one ends.

    Raises:
        GlidewireError: fewer than two levels, or levels that do not fall.
    """
    levels = [float(level) for level in sigmas]
    if len(levels) < 2 or any(after >= before for before, after in pairwise(levels)):
        raise GlidewireError(
            "these sigmas are no schedule",
            expected="two or more noise levels that fall",
            got=f"{len(levels)}: {levels[:6]}",
            hint="Take them from one of ComfyUI's schedulers.",
        )
    steps, end = sigmas[:-1].flip(0), sigmas[-1:]
    clean = alpha_bars(sampling, end).item() if levels[-1] > 0 else 1.0
    return NoiseSchedule(tuple(reversed(levels[:-1])), alpha_bars(sampling, steps), clean)


def sigmas_of(schedule: NoiseSchedule) -> Tensor:
    """A schedule as the host's sigmas, falling and ending clean: sigma = sqrt(1 / alpha_bar - 1), "steps+1" float32.

    A level without any signal would be infinite; it gets the host's own stand-in for that.
    """
    return torch.tensor([*levels_of(schedule).flip(0).tolist(), _sigma(schedule.clean_alpha_bar)])


def levels_of(schedule: NoiseSchedule) -> Tensor:
    """The sigma of each entry of a schedule, rising, "steps" float32."""
    return torch.tensor([_sigma(alpha_bar) for alpha_bar in schedule.alpha_bar.tolist()])


_NO_SIGNAL = 1e-10
_STAND_IN = 4.8973451890853435e-08  # what the host takes where a schedule ends without signal


def _sigma(alpha_bar: float) -> float:
    return (1 / (alpha_bar if alpha_bar > _NO_SIGNAL else _STAND_IN) - 1) ** 0.5


def nearest(schedule: NoiseSchedule, sigma: float) -> int:
    """The number of the schedule's entry whose level is nearest to sigma, as a ratio."""
    levels: Sequence[float] = levels_of(schedule).log().tolist()
    wanted = torch.tensor(max(sigma, 1e-10)).log().item()
    return min(range(len(levels)), key=lambda entry: abs(levels[entry] - wanted))
