"""How LAION's diffusion prior was sampled as published: its own times, its own DDIM step, its own lengths."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusion.denoiser import Denoiser
from ...diffusion.noise import Noise
from ...diffusion.prediction import Prediction, Step
from ...diffusion.samplers import OnStep, sample
from ...diffusion.schedules import NoiseSchedule
from ...diffusion.solvers import Solver
from ...errors import GlidewireError


def published_times(total: int, steps: int) -> tuple[int, ...]:
    """The visited timesteps, noisiest first, ending in -1, the clean end: `steps - 1` evaluations.

    Whole parts of `steps + 1` numbers spaced evenly from -1 to `total`, without the last.

    Raises:
        GlidewireError: Fewer than 2 steps, or more than leave the times apart.
    """
    times = torch.linspace(-1.0, total, steps + 1)[:-1].int().tolist()[::-1] if steps >= 2 else []
    if len(times) < 2 or any(now <= following for now, following in pairwise(times)):
        raise GlidewireError("diffusion prior: impossible number of steps", expected=f"2 to {total}", got=steps)
    return tuple(times)


def published_sampler(
    full: NoiseSchedule, steps: int, eta: float = 1.0, length: float | None = None
) -> tuple[NoiseSchedule, Solver]:
    """The schedule and the solver of the published sampling of an embedding.

    With a(t) = alpha_bar of the timestep *before* t, t' the next time, and eps implied by x_0 at t:
    x_{t'} = sqrt(a(t')) x_0 + c1 noise + sqrt(1 - a(t') - c1^2) eps,
    c1 = eta sqrt((1 - a(t) / a(t')) (1 - a(t')) / (1 - a(t))); the last step gives x_0.

    Args:
        full: Every timestep that the network was trained with.
        steps: See `published_times`.
        eta: 0 is deterministic; 1 as published.
        length: If given, every predicted x_0 is put to this length.

    Source: Song et al. 2021 (DDIM), eq. 12, with the shifted alpha_bar of DALLE2-pytorch.
    """
    if not 0 <= eta <= 1:
        raise GlidewireError("diffusion prior: impossible eta", expected="0 to 1", got=eta)
    times = published_times(len(full), steps)
    kept = times[-2::-1]
    before = full.alpha_bar_previous.tolist()

    def advance(x_t: Tensor, prediction: Prediction, step: Step, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        x_0 = prediction.x_0(x_t, step)
        if length is not None:
            x_0 = of_length(x_0, length)
        if step.last:
            return x_0, x_0
        eps = prediction.with_value(x_0, "x_0").eps(x_t, step)
        now, following = before[times[step.index]], before[times[step.index + 1]]
        c1 = eta * math.sqrt((1 - now / following) * (1 - following) / (1 - now))
        x_next = math.sqrt(following) * x_0 + math.sqrt(max(1 - following - c1**2, 0.0)) * eps
        return (x_next if noise is None else x_next + c1 * noise), x_0

    parameters = {"eta": float(eta), "length": float(length or 0), "steps": steps, "schedule": full.signature()}
    schedule = NoiseSchedule(kept, full.alpha_bar[list(kept)])
    return schedule, Solver("dalle2_pytorch_ddim", advance, eta > 0, parameters)


def of_length(x: Tensor, length: float) -> Tensor:
    """Each row of x "batch width" at a length."""
    return F.normalize(x, dim=-1) * length


def sample_embedding(
    denoiser: Denoiser,
    full: NoiseSchedule,
    x_T: Tensor,
    noise: Noise | None,
    length: float,
    *,
    steps: int = 64,
    eta: float = 1.0,
    fixed_length: bool = False,
    final_length: bool = False,
    start_length: bool = False,
    on_step: OnStep | None = None,
) -> Tensor:
    """Sample embeddings of pictures.

    Args:
        denoiser: The guidance expression over a `DiffusionPrior`.
        full: Every timestep that the network was trained with.
        x_T: Standard normal, "batch width".
        noise: Where the steps' noise comes from; may be None for eta 0.
        length: The network's `spec.length`; the result is divided by it.
        steps: See `published_times`; LAION's prior was sampled in 64.
        eta: See `published_sampler`.
        fixed_length: Put every predicted x_0 to `length`.
        final_length: Put the result to `length`, before it is divided by it.
        start_length: Put x_T to `length`.
        on_step: Called after every step.

    Returns:
        "batch width", about length 1.

    Raises:
        GlidewireError: As `published_times` and `diffusion.samplers.sample`.
    """
    schedule, solver = published_sampler(full, steps, eta, length if fixed_length else None)
    start = of_length(x_T, length) if start_length else x_T
    x_0 = sample(denoiser, schedule, start, solver, noise, on_step=on_step)
    return (of_length(x_0, length) if final_length else x_0) / length
