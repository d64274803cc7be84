"""What a guidance does from step to step: the lengths and the angles of what it combines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from ..diffusion import samplers, solvers
from ..diffusion.denoiser import Combination, Denoiser
from ..diffusion.evaluator import Evaluator
from ..diffusion.guidance import geometry
from ..diffusion.noise import SeededNoise
from ..diffusion.prediction import Prediction, Progress, Step
from ..diffusion.samplers import StepRecord
from ..diffusion.schedules import NoiseSchedule
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Text
from . import plotting, sampling
from .sockets import Image, Start


class GuidancePlots(NamedTuple):
    """How long and at which angles the parts of a guidance are."""

    norms: Socket[Image, "1 height width 3"]
    angles: Socket[Image, "1 height width 3"]


@node(category="guidance", version=2)
def plot_guidance(
    denoiser: Socket[Denoiser, "channels @space"],
    schedule: Socket[NoiseSchedule, "_"],
    start: Socket[Start, "_ channels _ _ @space"],
    of: Annotated[str, Text()] = "",
    width: Annotated[int, Number(min=128, max=4096)] = 640,
    height: Annotated[int, Number(min=96, max=4096)] = 360,
    clip: bool = True,
    context: Context = INJECTED,
) -> GuidancePlots:
    """Plot what a guidance combines, over a run of DDIM: root mean squares, and angles to its first prediction.

    Args:
        denoiser: A guidance of two predictions or more, on "channels @space", nested as you like.
        schedule: The steps to walk.
        start: Where the run starts, "batch channels height width".
        of: Which guidance, by its name (classifier_free, adaptive_projected ...); empty is the outermost.
        width, height: Of each plot, in pixels.
        clip: Clip the predicted x_0 to [-1, 1], as pixel models want and latents do not.

    Returns: norms, of each prediction, of their differences and of the result, "1 height width 3"; angles, in
        degrees, "1 height width 3".

    Raises: GlidewireError where nothing is combined, or there is no guidance of that name.

    Source: Sadat et al. 2024 (APG, 2410.02416); Kynkäänniemi et al. 2024 (2404.07724).
    """
    name, found = _walked(denoiser, schedule, start, of, clip, context)
    drawn = [
        Image(plotting.drawn(_lines(found, which), (width, height), f"{title} of {name}", ("step", unit)))
        for which, (title, unit) in enumerate((("norms", "root mean square"), ("angles", "degrees")))
    ]
    return GuidancePlots(*drawn)


Measured = Mapping[int, tuple[Mapping[str, float], Mapping[str, float]]]
"""Lengths and angles by step."""


@torch.no_grad()
def _walked(
    denoiser: Denoiser, schedule: NoiseSchedule, start: Start, of: str, clip: bool, context: Context
) -> tuple[str, Measured]:
    """The name of the guidance that is meant, and its lengths and angles."""
    sampling.require_space(denoiser, start.space)
    found: dict[int, tuple[Mapping[str, float], Mapping[str, float]]] = {}
    names: dict[str, None] = {}

    def watch(
        node: Combination, inputs: Mapping[str, Prediction], made: Prediction, x_t: Tensor, step: Progress
    ) -> None:
        named = {name: each for name, each in inputs.items() if name in node.inputs}
        if len(named) < 2:
            return
        names.pop(node.name, None)
        names[node.name] = None
        # The outermost is told last.
        if isinstance(step, Step) and of in ("", node.name):
            found[step.index] = tuple(  # pyrefly: ignore
                measure(named, made, x_t, step) for measure in (geometry.lengths, geometry.angles)
            )

    def report(record: StepRecord) -> None:
        context.progress(record.index + 1, record.total)

    x_t = start.tensor.to(context.policy.torch_device)
    noise, first = SeededNoise(start.seeds, start.first_item), sampling.start_index(start, schedule)
    solver, evaluator = solvers.ddim(0.0, clip=clip), Evaluator(watch)
    samplers.sample(denoiser, schedule, x_t, solver, noise, start_index=first, on_step=report, evaluator=evaluator)
    if not found:
        raise GlidewireError(
            f"there is no guidance {of!r} in this denoiser" if of and names else "nothing is combined in this denoiser",
            expected=" or ".join(sorted(names)) or "a guidance of two predictions or more",
            got=of or "a denoiser alone",
        )
    return of or list(names)[-1], found


def _lines(found: Measured, which: int) -> list[plotting.Line]:
    names = dict.fromkeys(name for entry in found.values() for name in entry[which])
    return [
        plotting.Line(
            name,
            [step for step, entry in sorted(found.items()) if name in entry[which]],
            [entry[which][name] for _, entry in sorted(found.items()) if name in entry[which]],
        )
        for name in names
    ]
