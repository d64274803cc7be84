"""Editing in a bottleneck's space (Kwon et al. 2023, Asyrp): which steps edit, how strongly, and by which noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import GlidewireError
from .denoiser import Combination, Denoiser
from .prediction import Prediction, Step
from .schedules import NoiseSchedule
from .solvers import Clip, Solver, ddim_step

# The published distances (LPIPS) at which editing ends and boosting begins.
EDIT_DISTANCE, BOOST_DISTANCE = 0.33, 1.2


def asymmetric(edited: Denoiser, plain: Denoiser, start: float = 0.0, end: float = 1.0) -> Denoiser:
    """Edit the predicted sample and not the direction: x_{t-1} = sqrt(abar') P_t(eps~) + D_t(eps).

    P_t, the predicted x_0, takes the edited noise, and D_t, which points to x_t, the plain one: with both of one
    kind the edit cancels out. Variance channels are the edited prediction's; where the plain one is stepped with
    another noise than its own, as CFG++ and an earlier edit are, D_t takes that.

    Args:
        edited: Predicts eps~.
        plain: Predicts eps; passes through outside of the interval.
        start: First fraction of the steps that edits.
        end: Fraction of the steps from which nothing is edited any more; see `edit_end`.

    Raises:
        GlidewireError: If the interval is not one.

    Source: Kwon et al. 2023, eq. 4.
    """

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        plain = inputs["plain"]
        noise = plain.eps(x_t, step) if plain.renoise_eps is None else plain.renoise_eps
        return replace(inputs["edited"], renoise_eps=noise)

    return Combination(
        combine,
        {"edited": edited, "plain": plain},
        "asymmetric",
        start=start,
        end=end,
        fallback="plain",
        reads_progress=False,
    )


def edit_end(schedule: NoiseSchedule, t_edit: float) -> float:
    """The fraction of a run's steps that are at timesteps of t_edit or more."""
    return sum(timestep >= t_edit for timestep in schedule.timesteps) / len(schedule)


def first_reaching(timesteps: Tensor, distances: Tensor, threshold: float) -> int:
    """The smallest timestep whose distance is at least a threshold.

    Args:
        timesteps: Ids of the original schedule, "entries".
        distances: One each, such as the mean LPIPS between pictures and what is left of them at t, "entries".
        threshold: See `EDIT_DISTANCE` and `BOOST_DISTANCE`.

    Raises:
        GlidewireError: If no distance reaches it, or there are not as many distances as timesteps.
    """
    if timesteps.ndim != 1 or timesteps.shape != distances.shape:
        raise GlidewireError(
            "distances: one is needed for each timestep", expected=list(timesteps.shape), got=list(distances.shape)
        )
    reaching = timesteps[distances >= threshold]
    if not reaching.numel():
        largest = distances.max().item() if distances.numel() else "no distance"
        raise GlidewireError("no distance reaches the threshold", expected=f"{threshold:.4g} or more", got=largest)
    return int(reaching.min())


def edit_timestep(timesteps: Tensor, distances: Tensor, cosine: float, edit_distance: float = EDIT_DISTANCE) -> int:
    """t_edit: the smallest t with LPIPS(x, P_t) >= 0.33 cos(source text, target text).

    Texts that are far from each other need a longer edit.

    Args:
        timesteps: Ids of the original schedule, "entries".
        distances: LPIPS between a picture and its predicted x_0 at t, averaged over pictures, "entries".
        cosine: Similarity of CLIP's embeddings of what is there and what is wanted.
        edit_distance: The distance at similarity 1.

    Raises:
        GlidewireError: As `first_reaching`.

    Source: Kwon et al. 2023, section 4.3 and appendix A.
    """
    return first_reaching(timesteps, distances, edit_distance * cosine)


def direction_strengths(scales: Sequence[float], trained_steps: int, steps: int) -> tuple[float, ...]:
    """What each direction is multiplied with: (trained steps / steps) scale / sqrt(number of directions).

    Args:
        scales: The user's, one a direction; below 0 goes the opposite way.
        trained_steps: Steps of the run that the directions were trained in.
        steps: Steps of this run.

    Raises:
        GlidewireError: If there is no direction, a scale is not finite, or a number of steps is not above 0.

    Source: Kwon et al. 2023, section 5.2 (linearity) and appendix (numbers of steps).
    """
    if not scales or trained_steps < 1 or steps < 1:
        raise GlidewireError(
            "direction_strengths: impossible arguments",
            expected="at least one scale, and numbers of steps above 0",
            got=f"{len(scales)} scales, {trained_steps} and {steps} steps",
        )
    if not all(map(math.isfinite, scales)):
        raise GlidewireError("a strength is out of range", expected="finite numbers", got=list(scales))
    return tuple(trained_steps / steps * scale / math.sqrt(len(scales)) for scale in scales)


def boosted_ddim(t_boost: float, clip: Clip = False) -> Solver:
    """DDIM that is deterministic down to t_boost and adds the noise of ancestral sampling below (eta 0, then 1).

    Args:
        t_boost: First timestep that is deterministic; see `first_reaching` with `BOOST_DISTANCE`.
        clip: Bound of |x_0|.

    Raises:
        GlidewireError: If t_boost is not a finite number.

    Source: Kwon et al. 2023, section 4.4 (quality boosting).
    """
    if not math.isfinite(t_boost):
        raise GlidewireError("boosted_ddim: impossible t_boost", expected="a timestep", got=t_boost)

    def advance(x_t: Tensor, prediction: Prediction, step: Step, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        eta = 1.0 if step.timestep < t_boost else 0.0
        return ddim_step(x_t, prediction, step, noise, eta=eta, clip=clip)

    return Solver("boosted_ddim", advance, t_boost > 0, {"t_boost": float(t_boost), "clip": float(clip)})


def evenly_spaced(steps: int, last: int = 999) -> tuple[int, ...]:
    """Timesteps from 0 to `last`, rounded down: the runs that directions are trained in.

    Raises:
        GlidewireError: If there are fewer than 2 steps, or more than timesteps.

    Source: Kwon et al. 2023, published code's schedule.
    """
    if not 2 <= steps <= last + 1:
        raise GlidewireError("evenly_spaced: impossible number of steps", expected=f"2 to {last + 1}", got=steps)
    places = torch.linspace(0, 1, steps, dtype=torch.float64) * last + 1e-6
    return tuple(int(place) for place in places.tolist())
