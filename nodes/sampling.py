"""How the sampler nodes meet the runtime: starts made of seeds, progress with previews, stored segments."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from ..diffusion import samplers
from ..diffusion.denoiser import Denoiser
from ..diffusion.interpolation import slerp
from ..diffusion.noise import SeededNoise
from ..diffusion.rewriting import leaves
from ..diffusion.samplers import StepRecord
from ..diffusion.schedules import NoiseSchedule
from ..diffusion.solvers import Solver
from ..errors import GlidewireError
from ..graph_runtime.context import Context, Memo
from .pictures import to_pillow
from .sockets import CLEAN, PIXELS, Sample, Start
from .step_frames import StepFrames

MEMO = "sampler segments 1"
"""What samplers store of their walks is under keys that say all of it: they may resume one another's."""

_PREVIEW_SIDE = 256


def space_of(denoiser: Denoiser) -> tuple[int, str]:
    """Channels and space of what a guidance expression denoises; raises a GlidewireError where its networks differ."""
    found: dict[tuple[int, str], str] = {}
    for leaf in leaves(denoiser):
        network = leaf.network
        place = getattr(network, "channels", 3), getattr(network, "space", PIXELS)
        found.setdefault(place, type(network).__name__)
    if len(found) > 1:
        raise GlidewireError(
            "this guidance combines denoisers of different spaces",
            expected="one space for all that is combined",
            got=" and ".join(f"{space} of {channels} ({name})" for (channels, space), name in found.items()),
            hint="Guide denoisers of one space, and decode what was sampled into the other.",
        )
    return next(iter(found))


def noise_start(
    denoiser: Denoiser, size: tuple[int, int, int], seed: int, first_item: int, temperature: float
) -> Start:
    """x_T = temperature · N(0, I) for (batch, height, width) in the space of a denoiser."""
    batch, height, width = size
    channels, space = space_of(denoiser)
    seeds = (seed,) * batch
    drawn = SeededNoise(seeds, first_item).draw((channels, height, width), purpose="x_T")
    return Start(drawn * temperature, space, seeds, first_item)


def noised_start(sample: Sample, schedule: NoiseSchedule, strength: float, seed: int, first_item: int) -> Start:
    """x_t of SDEdit, and how much of the schedule is left to walk."""
    seeds = (seed,) * sample.tensor.shape[0]
    x_t, index = samplers.sdedit_start(sample.tensor, schedule, strength, SeededNoise(seeds, first_item))
    timestep = schedule.timesteps[len(schedule) - 1 - index] if index < len(schedule) else CLEAN
    return Start(x_t, sample.space, seeds, first_item, timestep)


def between(first: Start, second: Start, weight: float) -> Start:
    """A start on the great circle between two.

    Raises:
        GlidewireError: They are of different spaces, sizes or timesteps.
    """
    described = [(start.space, tuple(start.tensor.shape), start.timestep) for start in (first, second)]
    if described[0] != described[1]:
        raise GlidewireError(
            "the starts do not fit together",
            expected="one space, size and timestep",
            got=" and ".join(f"{space}, {' x '.join(map(str, shape))}, {at}" for space, shape, at in described),
        )
    flat = slerp(first.tensor.flatten(1), second.tensor.flatten(1), weight)
    return replace(first, tensor=flat.view_as(first.tensor))


def start_index(start: Start, schedule: NoiseSchedule) -> int:
    """How many steps of a schedule lie before the timestep of a start.

    Raises:
        GlidewireError: the schedule does not visit that timestep.
    """
    if start.timestep is None:
        return 0
    if start.timestep == CLEAN:
        return len(schedule)
    if start.timestep not in schedule.timesteps:
        nearest = sorted(schedule.timesteps, key=lambda timestep: abs(timestep - (start.timestep or 0)))[:3]
        raise GlidewireError(
            f"the start lies at timestep {start.timestep}, which the sampler's schedule does not visit",
            expected=f"one of its {len(schedule)} timesteps, the nearest being {sorted(nearest)}",
            got=start.timestep,
            hint="Wire the same schedule into the start and the sampler.",
        )
    return len(schedule) - 1 - schedule.timesteps.index(start.timestep)


@torch.no_grad()
def inverted_start(
    denoiser: Denoiser, schedule: NoiseSchedule, sample: Sample, strength: float, seed: int, context: Context
) -> Start:
    """x_t of DDIM inversion, and how much of the schedule is left to walk; x_T where strength is 1."""
    require_space(denoiser, sample.space)
    x_0 = sample.tensor.to(context.policy.torch_device)
    count = max(1, round(strength * len(schedule)))
    walked = replace(schedule, timesteps=schedule.timesteps[:count], alpha_bar=schedule.alpha_bar[:count])
    done = itertools.count(1)

    def report(record: StepRecord) -> None:
        context.progress(next(done), count - 1, preview=lambda: preview(record.x_0))

    context.check_cancelled()
    x_t = samplers.invert(denoiser, walked, x_0, on_step=report)
    timestep = None if count == len(schedule) else walked.timesteps[-1]
    return Start(x_t.cpu(), sample.space, (seed,) * x_t.shape[0], 0, timestep)


@torch.no_grad()
def run(denoiser: Denoiser, schedule: NoiseSchedule, start: Start, solver: Solver, context: Context) -> Sample:
    """Walk the schedule from a start, reporting each step and storing segments in the context's memo."""
    require_space(denoiser, start.space)
    frames, first = StepFrames(context.frames, start.space), start_index(start, schedule)
    x_0 = samplers.sample(
        denoiser,
        schedule,
        start.tensor.to(context.policy.torch_device),
        solver,
        SeededNoise(start.seeds, start.first_item),
        start_index=first,
        on_step=reporter(context, frames, first),
        trajectory=Segments(context.memo),
        evaluator=frames.evaluator,
        on_keys=frames.on_keys,
    )
    return Sample(x_0.cpu(), start.space)


def require_space(denoiser: Denoiser, space: str) -> None:
    """Raise a GlidewireError where a sample lives in another space than a denoiser."""
    _, expected = space_of(denoiser)
    if space != expected:
        raise GlidewireError(
            "the sample lives in another space than the denoiser",
            expected=expected,
            got=space,
            hint="Encode it with the denoiser's own autoencoder.",
        )


@dataclass(frozen=True)
class Segments:
    """The runtime's memo as the trajectory store that samplers know."""

    memo: Memo

    def load(self, key: str) -> Mapping[str, Tensor] | None:
        """The state under a key, or None."""
        return self.memo.recall(key)

    def store(self, key: str, state: Mapping[str, Tensor], cost_seconds: float) -> None:
        """Keep a state."""
        self.memo.store(key, state, cost_seconds)


def reporter(context: Context, frames: StepFrames | None = None, first: int = 0) -> samplers.OnStep:
    """What a walk tells after each step: its progress, a preview, a frame; raises where the user cancelled.

    Args:
        context: Of the node that walks.
        frames: Where frames are left.
        first: Steps that lie before the walk; one that begins later was resumed, and says from where.
    """
    resumed = resumption(first)

    def report(record: StepRecord) -> None:
        if frames is not None:
            frames.step(record)
        text = resumed(record.index, record.total)
        context.progress(record.index + 1, record.total, text, preview=lambda: preview(record.x_0))

    context.check_cancelled()
    return report


def resumption(first: int) -> Callable[[int, int], str]:
    """What a walk says of stored states that it went on from: nothing, or how many steps it did not take again.

    Args:
        first: Steps that lie before the walk.

    Returns:
        A function of a computed step's index and of the number of all steps; it says the same of all steps of a walk.
    """
    said: list[str] = []

    def text(index: int, total: int) -> str:
        if not said:
            said.append(f"resumed after step {index} of {total}" if index > first else "")
        return said[0]

    return text


def preview(x_0: Tensor) -> Image.Image:
    """The first picture of a batch, as its first three channels in [-1, 1] show it."""
    picture = to_pillow(x_0[:1, :3].float().add(1).div(2).movedim(1, -1))[0]
    scale = max(1, _PREVIEW_SIDE // max(picture.size))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def require_pixels(sample: Sample) -> None:
    """Raise a GlidewireError for a sample that is no picture."""
    if sample.space != PIXELS:
        raise GlidewireError("the sample is no picture yet", expected=PIXELS, got=sample.space, hint="Decode it first.")
