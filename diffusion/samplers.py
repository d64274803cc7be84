"""Sampling runs: from noise to a sample, from a sample to noise, and from a half-noised picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..errors import GlidewireError
from .denoiser import Denoiser
from .evaluator import Evaluator
from .noise import Noise
from .prediction import Prediction, Step
from .schedules import NoiseSchedule
from .solvers import Clip, Solver, ddim_inverse_step
from .trajectory import Keeper, OnKeys, Trajectory, boundaries, resume, state_keys


@dataclass(frozen=True, eq=False)
class StepRecord:
    """What happened in one step, for previews, inspection and progress.

    Args:
        step: The schedule entry of x_t.
        x_t: The state before the step, "batch ...".
        x_next: The state after it.
        x_0: The clean sample that was predicted, as the solver used it (clipped).
        prediction: The combined prediction.
    """

    step: Step
    x_t: Tensor
    x_next: Tensor
    x_0: Tensor
    prediction: Prediction

    @property
    def index(self) -> int:
        """Steps before this one."""
        return self.step.index

    @property
    def total(self) -> int:
        """Steps of the whole schedule."""
        return self.step.total

    @property
    def timestep(self) -> float:
        """Original id or time, as given to the network."""
        return self.step.timestep

    def norms(self) -> dict[str, Tensor]:
        """Root mean square per item, "batch", of x_t, x_0, eps and (where there is one) the mean shift."""
        parts = {"x_t": self.x_t, "x_0": self.x_0, "eps": self.prediction.eps(self.x_t, self.step)}
        if self.prediction.mean_shift is not None:
            parts["mean_shift"] = self.prediction.mean_shift
        return {name: part.flatten(1).square().mean(1).sqrt() for name, part in parts.items()}


OnStep = Callable[[StepRecord], None]
"""Called after every step; raising ends the run there."""


def sample(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    x_T: Tensor,
    solver: Solver,
    noise: Noise | None = None,
    *,
    start_index: int = 0,
    stop_index: int | None = None,
    on_step: OnStep | None = None,
    trajectory: Trajectory | None = None,
    store_every: int = 10,
    evaluator: Evaluator | None = None,
    on_keys: OnKeys | None = None,
) -> Tensor:
    """Walk a schedule from its noisiest entry down to a clean sample.

    Args:
        denoiser: The guidance expression.
        schedule: The kept steps; index 0 of the run is its last, noisiest entry.
        x_T: The state at `start_index`, "batch ...", such as standard normal "batch channels height width".
        solver: What makes a step, such as `ancestral()` or `ddim()`.
        noise: Where its noise comes from; may be None for a deterministic solver.
        start_index: Steps to leave out at the noisy end (SDEdit).
        stop_index: Step to stop before; None runs to the clean end.
        on_step: Called after every step that is computed (not for resumed ones); may raise to cancel, and then
            the state after that step is stored.
        trajectory: Stored states to resume from and add to; the result is the same as without, bit for bit.
        store_every: Steps between stored states; 0 stores only where guidance changes, and the end.
        evaluator: The evaluator to use (to count its forwards); a fresh one by default.
        on_keys: Told the keys under which the states lie in the trajectory, those of resumed steps too.

    Returns:
        The sample, shaped as x_T; float64 for float64, else float32. Not clipped.

    Raises:
        GlidewireError: If the indices are not in the schedule, the state stops being finite, noise is needed
            and missing, or an input does not fit; and whatever `on_step` raises.
    """
    total = len(schedule)
    stop_index = total if stop_index is None else stop_index
    if not 0 <= start_index <= stop_index <= total:
        raise GlidewireError(
            "sample: impossible range of steps",
            expected=f"0 <= start_index <= stop_index <= {total}",
            got=f"{start_index} and {stop_index}",
        )
    steps = [Step.of(schedule, index) for index in range(start_index, stop_index)]
    x_t = _working(x_T)
    done, keeper = 0, Keeper()
    evaluator = evaluator or Evaluator()
    evaluator.memory = {}
    if trajectory is not None:
        keys = state_keys(denoiser, steps, x_t, solver, noise)
        if on_keys is not None:
            on_keys(keys[1:])
        done, x_t, evaluator.memory = resume(trajectory, keys, x_t)
        keeper = Keeper(trajectory, keys, boundaries(denoiser, steps, store_every))
    for count, step in enumerate(steps[done:], done + 1):
        record = advance(evaluator, denoiser, x_t, step, solver, noise)
        if solver.corrects_start and count == 1:
            record = _corrected(evaluator, denoiser, schedule, record, solver)
        x_t = record.x_next
        keeper.step(count, x_t, evaluator.memory, partial(on_step, record) if on_step else None)
    return x_t if steps else x_t.clone()


def _working(x: Tensor) -> Tensor:
    """Solver arithmetic is float32 at least, whatever the network runs in."""
    return x.detach() if x.dtype == torch.float64 else x.detach().float()


@torch.no_grad()
def advance(
    evaluator: Evaluator, denoiser: Denoiser, x_t: Tensor, step: Step, solver: Solver, noise: Noise | None
) -> StepRecord:
    """One step of a run: evaluate, solve, and refuse numbers that are not finite.

    Raises:
        GlidewireError: The state is not finite, naming the step; or as `Evaluator` and the solver.
    """
    prediction = evaluator(denoiser, x_t, step)
    drawn = noise(step.index, x_t) if noise is not None and solver.stochastic and not step.last else None
    x_next, x_0 = solver.advance(x_t, prediction, step, drawn)
    if not bool(x_next.isfinite().all()):
        raise GlidewireError(
            f"Sampling step {step.index} of {step.total} (timestep {step.timestep}): the state is not finite",
            expected="numbers",
            got=f"{int((~x_next.isfinite()).sum())} of {x_next.numel()} values infinite or not a number",
            hint="Use a higher precision or a lower guidance scale, or check the weights.",
        )
    return StepRecord(step, x_t, x_next, x_0, prediction)


@torch.no_grad()
def _corrected(
    evaluator: Evaluator, denoiser: Denoiser, schedule: NoiseSchedule, record: StepRecord, solver: Solver
) -> StepRecord:
    """The first step again, along the mean of eps at both of its ends; what was remembered at its start stays."""
    step, remembered = record.step, evaluator.memory
    after = step if step.last else Step.of(schedule, step.index + 1)
    evaluator.memory = {}
    eps = evaluator(denoiser, record.x_next, after).eps(record.x_next, after)
    evaluator.memory = remembered
    mean = record.prediction.to("eps", record.x_t, step)
    mean = mean.with_value((mean.value + eps) / 2)
    x_next, x_0 = solver.advance(record.x_t, mean, step, None)
    return StepRecord(step, record.x_t, x_next, x_0, mean)


def invert(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    x_0: Tensor,
    *,
    clip: Clip = False,
    on_step: OnStep | None = None,
    evaluator: Evaluator | None = None,
) -> Tensor:
    """DDIM inversion: the noise from which deterministic DDIM makes x_0 again, more exactly with more steps.

    x_0 is taken as the state of the cleanest entry; each step applies `ddim_inverse_step`.

    Args:
        denoiser: The guidance expression; x_0's own condition and scale 1 invert best.
        schedule: The kept steps.
        x_0: The sample, "batch ...".
        clip: Bound of the predicted |x_0|.
        on_step: Called after every step, cleanest first; may raise to cancel.
        evaluator: The evaluator to use; a fresh one by default.

    Returns:
        x_T at the noisiest entry, shaped as x_0.

    Raises:
        GlidewireError: As `sample`.

    Source: Song et al. 2021 (DDIM), section 4.3; Dhariwal & Nichol 2021, appendix F.
    """
    solver = Solver("ddim_inverse", partial(ddim_inverse_step, clip=clip), stochastic=False)
    evaluator = evaluator or Evaluator()
    evaluator.memory = {}
    x_t = _working(x_0)
    for index in range(len(schedule) - 1, 0, -1):
        record = advance(evaluator, denoiser, x_t, Step.of(schedule, index), solver, None)
        x_t = record.x_next
        if on_step is not None:
            on_step(record)
    return x_t if len(schedule) > 1 else x_t.clone()


def sdedit_start(x_0: Tensor, schedule: NoiseSchedule, strength: float, noise: Noise) -> tuple[Tensor, int]:
    """Noise a picture part of the way: x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) noise.

    Args:
        x_0: The picture, "batch ...", such as "batch channels height width" in [-1, 1].
        schedule: The kept steps of the run that follows.
        strength: Fraction of the steps to run: 0 keeps the picture, 1 starts from the noisiest entry.
        noise: Where the noise comes from (purpose "sdedit").

    Returns:
        x_t, shaped as x_0, and the `start_index` for `sample`.

    Raises:
        GlidewireError: If the strength is outside [0, 1].

    Source: Meng et al. 2021 (SDEdit); Ho et al. 2020, eq. 4.
    """
    if not 0 <= strength <= 1:
        raise GlidewireError("sdedit_start: impossible strength", expected="0 to 1", got=strength)
    total = len(schedule)
    start_index = total - round(strength * total)
    x_0 = _working(x_0)
    if start_index == total:
        return x_0.clone(), start_index
    alpha_bar = Step.of(schedule, start_index).alpha_bar
    drawn = noise(start_index, x_0, "sdedit")
    return math.sqrt(alpha_bar) * x_0 + math.sqrt(1 - alpha_bar) * drawn, start_index
