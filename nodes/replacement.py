"""Inpainting with any denoiser by replacement at x_t, with and without RePaint's resampling."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, pairwise
from typing import Annotated

import torch
from torch import Tensor

from ..diffusion import repaint, solvers
from ..diffusion.denoiser import Denoiser
from ..diffusion.noise import SeededNoise
from ..diffusion.samplers import StepRecord
from ..diffusion.schedules import NoiseSchedule
from ..diffusion.solvers import Solver
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number
from . import inpainting, sampling
from .sockets import Mask, Sample, Start


@node(category="sampling", title="RePaint sampler")
def repaint_sampler(
    denoiser: Socket[Denoiser, "channels @space"],
    schedule: Socket[NoiseSchedule, "_"],
    start: Socket[Start, "batch channels height width @space"],
    sample: Socket[Sample, "_ channels height width @space"],
    mask: Socket[Mask, "_ _ _"],
    resamples: Annotated[int, Number(min=1, max=100)] = 10,
    jump: Annotated[int, Number(min=1, max=1000)] = 10,
    clip: bool = True,
    context: Context = INJECTED,
) -> Socket[Sample, "batch channels height width @space"]:
    """Inpaint with any denoiser: after every step what is known is replaced by q(x_t | x_0), and the run goes back.

    With one walk (resamples 1) this is plain replacement, which often does not match across the edge; going back
    lets what is painted and what is known agree.

    Args:
        denoiser: What paints.
        schedule: The timesteps to visit.
        start: x_T, "batch channels height width", and the seeds of all noise.
        sample: What is known: x_0, "batch channels height width".
        mask: 1 where to repaint, 0 where the sample is kept, cut at 1/2; of the sample's size, or "batch H W" of
            the picture whose latents it is.
        resamples: How often each stretch is walked; 10 was published, 1 is plain replacement.
        jump: Steps of a stretch; 10 was published.
        clip: Clip the predicted x_0 to [-1, 1], as pixel models want.

    Returns: x_0, "batch channels height width", equal to the sample where it is kept.

    Raises: GlidewireError for a mask that does not fit, a sample of another space, or where a step yields NaN or
        infinity, naming the step.

    Source: Lugmayr et al. 2022 (RePaint, 2201.09865), algorithm 1; Song et al. 2021 (2011.13456), appendix I.2.
    """
    sampling.require_space(denoiser, start.space)
    sampling.require_space(denoiser, sample.space)
    kept = inpainting.kept_cells(mask, sample.tensor)
    if len(sample.tensor) not in (1, len(start.tensor)):
        raise GlidewireError(
            "there are not as many known samples as starts",
            expected=f"1 or {len(start.tensor)}",
            got=len(sample.tensor),
        )
    walk = {"start_index": sampling.start_index(start, schedule), "jump": jump, "resamples": resamples}
    return _walked(denoiser, schedule, start, sample, kept, solvers.ancestral(clip=clip), walk, context)


@torch.no_grad()
def _walked(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    start: Start,
    sample: Sample,
    kept: Tensor,
    solver: Solver,
    walk: Mapping[str, int],
    context: Context,
) -> Sample:
    path = repaint.repaint_path(len(schedule), walk["start_index"], walk["jump"], walk["resamples"])
    total = sum(following > here for here, following in pairwise(path))
    done, device = count(1), context.policy.torch_device
    context.check_cancelled()

    def report(record: StepRecord) -> None:
        context.progress(next(done), total, preview=lambda: sampling.preview(record.x_0))

    x_0 = repaint.sample_repaint(
        denoiser,
        schedule,
        start.tensor.to(device),
        solver,
        SeededNoise(start.seeds, start.first_item),
        sample.tensor.to(device),
        kept.to(device),
        start_index=walk["start_index"],
        jump=walk["jump"],
        resamples=walk["resamples"],
        on_step=report,
    )
    return Sample(x_0.cpu(), start.space)
