"""What a guidance does from step to step: the lengths and the angles of what it combines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NamedTuple, cast

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
from ..diffusion.tokens import GUMBEL
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Text
from . import plotting, sampling, token_sampling
from .sockets import Image, Start
from .token_sockets import TokenStart


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
    sampling.require_space(denoiser, start.space)
    seen = _Seen(of)

    def report(record: StepRecord) -> None:
        context.progress(record.index + 1, record.total)

    x_t = start.tensor.to(context.policy.torch_device)
    noise, first = SeededNoise(start.seeds, start.first_item), sampling.start_index(start, schedule)
    solver, evaluator = solvers.ddim(0.0, clip=clip), Evaluator(seen.watch)
    with torch.no_grad():
        samplers.sample(denoiser, schedule, x_t, solver, noise, start_index=first, on_step=report, evaluator=evaluator)
    return seen.plotted((width, height))


@node(category="guidance")
def plot_token_guidance(
    denoiser: Socket[Denoiser, "_ @codebook"],
    start: Socket[TokenStart, "_ _ _ @codebook"],
    steps: Annotated[int, Number(min=1, max=1000)] = 12,
    of: Annotated[str, Text()] = "",
    width: Annotated[int, Number(min=128, max=4096)] = 640,
    height: Annotated[int, Number(min=96, max=4096)] = 360,
    context: Context = INJECTED,
) -> GuidancePlots:
    """Plot what a guidance of tokens combines, over a run of Paella's: lengths of centred scores, and their angles.

    Args:
        denoiser: A guidance of two scores or more, nested as you like.
        start: Where the run starts, "batch rows columns".
        steps: Steps of a whole run; a start with less noise leaves out the first ones.
        of: Which guidance, by its name (classifier_free, tangential ...); empty is the outermost.
        width, height: Of each plot, in pixels.

    Returns: norms, the root mean squares of scores, of their differences and of the result, "1 height width 3";
        angles, in degrees, "1 height width 3".

    Raises: GlidewireError where nothing is combined, or there is no guidance of that name.

    Source: Rampas et al. 2022 (Paella, 2211.07292), section 3 and algorithm 1.
    """
    seen = _Seen(of)
    walked = token_sampling.cosine_steps_from(start.share, steps, (1.0, 1.0), None)
    token_sampling.run(denoiser, walked, start, "start", context, draw=GUMBEL, evaluator=Evaluator(seen.watch))
    return seen.plotted((width, height))


class _Seen:
    """What a walk shows of one guidance: lengths and angles of what it combines, by step.

    Args:
        of: Its name; the outermost where that is empty.
    """

    def __init__(self, of: str) -> None:
        self.of = of
        self.names: dict[str, None] = {}
        self.found: dict[int, tuple[Mapping[str, float], Mapping[str, float]]] = {}

    def watch(
        self, node: Combination, inputs: Mapping[str, Prediction], made: Prediction, x_t: Tensor, step: Progress
    ) -> None:
        """Take note of a combination, of which the outermost is told last."""
        named = {name: each for name, each in inputs.items() if name in node.inputs}
        if len(named) < 2:
            return
        self.names.pop(node.name, None)
        self.names[node.name] = None
        if self.of in ("", node.name):
            now = cast(Step, step)  # scores are never converted, and ask a step for nothing
            self.found[step.index] = geometry.lengths(named, made, x_t, now), geometry.angles(named, made, x_t, now)

    def plotted(self, size: tuple[int, int]) -> GuidancePlots:
        """Both plots; raises GlidewireError where there was no such guidance."""
        if not self.found:
            missing = f"there is no guidance {self.of!r} in this denoiser"
            raise GlidewireError(
                missing if self.of and self.names else "nothing is combined in this denoiser",
                expected=" or ".join(sorted(self.names)) or "a guidance of two predictions or more",
                got=self.of or "a denoiser alone",
            )
        name = self.of or list(self.names)[-1]
        drawn = [
            Image(plotting.drawn(self._lines(which), size, f"{title} of {name}", ("step", unit)))
            for which, (title, unit) in enumerate((("norms", "root mean square"), ("angles", "degrees")))
        ]
        return GuidancePlots(*drawn)

    def _lines(self, which: int) -> list[plotting.Line]:
        entries = [(step, entry[which]) for step, entry in sorted(self.found.items())]
        names = dict.fromkeys(name for _, entry in entries for name in entry)
        return [
            plotting.Line(
                name,
                [step for step, entry in entries if name in entry],
                [entry[name] for _, entry in entries if name in entry],
            )
            for name in names
        ]
