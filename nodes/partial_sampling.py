"""Sampling up to a step: a start in the middle of a walk, from which other guidance or another sampler goes on."""

from __future__ import annotations

from typing import Annotated, Literal

import torch

from ..diffusion import samplers, solvers
from ..diffusion.denoiser import Denoiser
from ..diffusion.noise import SeededNoise
from ..diffusion.schedules import NoiseSchedule
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Slider
from . import sampling
from .samplers import sides_fit
from .sockets import CLEAN, Start
from .step_frames import StepFrames


@node(category="sampling", title="Sample until a step", validate=sides_fit, memo=sampling.MEMO)
@torch.no_grad()
def sample_until(
    denoiser: Socket[Denoiser, "channels @space @sides"],
    schedule: Socket[NoiseSchedule, "_"],
    start: Socket[Start, "batch channels height width @space"],
    steps: Annotated[int, Number(min=0, max=4000)] = 10,
    solver: Literal["ancestral", "ddim"] = "ancestral",
    eta: Annotated[float, Slider(min=0.0, max=1.0, step=0.05)] = 0.0,
    clip: bool = True,
    context: Context = INJECTED,
) -> Socket[Start, "batch channels height width @space"]:
    """Walk a schedule up to a step and stop there: x_t, from which a sampler goes on as if nothing had happened.

    Args:
        denoiser: What predicts eps, x_0 or v.
        schedule: The timesteps to visit; wire the same into the sampler that goes on.
        start: x_T or x_t, "batch channels height width", and the seeds of the noise to come.
        steps: How many of the schedule's steps lie before the new start, counted from its noisiest.
        solver: How it walks, as the samplers of these names do.
        eta: Of ddim: 0 is deterministic; 1 has the variance of the ancestral sampler.
        clip: Clip the predicted x_0 to [-1, 1], as pixel models want.

    Returns: x_t after those steps, "batch channels height width", with the same seeds: the rest of the walk draws the
        noise that it would have drawn.

    Raises: GlidewireError where the schedule has fewer steps, or the start lies behind that step already.

    Source: Ho et al. 2020, algorithm 2; Song et al. 2021 (DDIM, 2010.02502), eq. 12.
    """
    sampling.require_space(denoiser, start.space)
    first, total = sampling.start_index(start, schedule), len(schedule)
    if not first <= steps <= total:
        raise GlidewireError(
            f"the walk cannot stop after {steps} steps",
            expected=f"{first} to {total}: the start lies after {first} of the schedule's {total} steps",
            got=steps,
        )
    frames = StepFrames(context.frames, start.space)
    x_t = samplers.sample(
        denoiser,
        schedule,
        start.tensor.to(context.policy.torch_device),
        solvers.ddim(eta, clip=clip) if solver == "ddim" else solvers.ancestral(clip=clip),
        SeededNoise(start.seeds, start.first_item),
        start_index=first,
        stop_index=steps,
        on_step=sampling.reporter(context, frames, first),
        trajectory=sampling.Segments(context.memo),
        evaluator=frames.evaluator,
        on_keys=frames.on_keys,
    )
    timestep = CLEAN if steps == total else schedule.timesteps[total - 1 - steps]
    return Start(x_t.cpu(), start.space, start.seeds, start.first_item, timestep)
