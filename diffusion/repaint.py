"""Inpainting by replacement at x_t: what is known is noised to every step's level and pasted in, again and again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from ..errors import GlidewireError
from .denoiser import Denoiser
from .evaluator import Evaluator
from .noise import Noise
from .prediction import Step
from .samplers import OnStep, StepRecord, advance
from .schedules import NoiseSchedule
from .solvers import Solver


def repaint_path(total: int, start: int = 0, jump: int = 10, resamples: int = 1) -> list[int]:
    """The entries of a run in the order in which they are visited, from `start` to `total`, the clean end.

    At every `jump`-th entry, counted from the last that has noise, the run goes back by as many, `resamples - 1` times.

    Args:
        total: Steps of the schedule.
        start: The first entry.
        jump: Steps that are gone back.
        resamples: How often each stretch is walked in all; 1 never goes back.

    Raises:
        GlidewireError: Fewer than one step to go back, or than one walk.

    Source: Lugmayr et al. 2022 (RePaint, 2201.09865), appendix B and figure 9.
    """
    if jump < 1 or resamples < 1:
        raise GlidewireError(
            "RePaint: impossible resampling", expected="a jump and walks of 1 or more", got=f"{jump} and {resamples}"
        )
    # Counted from the last entry that has noise, as published.
    turns = {total - 1 - back: resamples - 1 for back in range(0, total - start - jump, jump)}
    path, here = [start], start
    while here < total:
        here += 1
        path.append(here)
        if turns.get(here, 0) > 0:
            turns[here] -= 1
            for _ in range(jump):
                here -= 1
                path.append(here)
    return path


def sample_repaint(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    x_T: Tensor,
    solver: Solver,
    noise: Noise,
    known: Tensor,
    mask: Tensor,
    *,
    start_index: int = 0,
    jump: int = 10,
    resamples: int = 1,
    on_step: OnStep | None = None,
    evaluator: Evaluator | None = None,
) -> Tensor:
    """Walk a schedule, replacing what is known by q(x_t | x_0) after every step, and resampling on the way.

    Down: x' = solver(x_t), then x' = m · (sqrt(abar') known + sqrt(1 - abar') eps) + (1 - m) x'.
    Up again: x_t = sqrt(abar_t / abar') x' + sqrt(1 - abar_t / abar') eps.

    Args:
        denoiser: The guidance expression.
        schedule: The kept steps.
        x_T: The state at `start_index`, "batch ...".
        solver: What makes a step.
        noise: Where all noise comes from (purposes "step", "known" and "again"), by the number of the visit.
        known: x_0 of what is known, broadcastable to x_T.
        mask: m, 1 where known, 0 where to paint; broadcastable to x_T.
        start_index: Steps to leave out at the noisy end.
        jump: See `repaint_path`.
        resamples: See `repaint_path`; 1 is plain replacement.
        on_step: Called after every step down, its `step` among all that are visited; may raise to cancel.
        evaluator: The evaluator to use.

    Returns:
        The sample, shaped as x_T, equal to `known` where the mask is 1.

    Raises:
        GlidewireError: As `repaint_path` and `samplers.sample`.

    Source: Lugmayr et al. 2022 (RePaint, 2201.09865), algorithm 1; plain replacement: Song et al. 2021
        (2011.13456), appendix I.2.
    """
    path = repaint_path(len(schedule), start_index, jump, resamples)
    evaluator = evaluator or Evaluator()
    evaluator.memory = {}
    x_t = x_T.detach().float() if x_T.element_size() < 4 else x_T.detach()
    kept, clean = mask.to(x_t), known.to(x_t)
    for visit, (here, following) in enumerate(pairwise(path)):
        if following < here:
            x_t = _noised_again(x_t, schedule, following, noise(visit, x_t, "again"))
            continue
        step = Step.of(schedule, here)
        record = advance(evaluator, denoiser, x_t, step, solver, _OfVisit(noise, visit))
        before = 1.0 if step.last else step.alpha_bar_previous
        replaced = math.sqrt(before) * clean
        if before < 1:
            replaced = replaced + math.sqrt(1 - before) * noise(visit, x_t, "known")
        x_t = kept * replaced + (1 - kept) * record.x_next
        if on_step is not None:
            on_step(StepRecord(record.step, record.x_t, x_t, record.x_0, record.prediction))
    return x_t


@dataclass(frozen=True)
class _OfVisit:
    """Noise by the number of a visit: an entry that is visited again has noise of its own."""

    noise: Noise
    visit: int

    def __call__(self, step: int, like: Tensor, purpose: str = "step") -> Tensor:
        return self.noise(self.visit, like, purpose)

    def signature(self, step: int, purpose: str = "step") -> str:
        return self.noise.signature(self.visit, purpose)


def _noised_again(x: Tensor, schedule: NoiseSchedule, entry: int, drawn: Tensor) -> Tensor:
    """The state one step noisier: at entry `entry` of the run, from the entry behind it."""
    step = Step.of(schedule, entry)
    share = step.alpha_bar / step.alpha_bar_previous
    return math.sqrt(share) * x + math.sqrt(1 - share) * drawn
