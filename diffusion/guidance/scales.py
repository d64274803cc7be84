"""Guidance scales: constant, changing over the run, or acting in an interval of noise levels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...errors import GlidewireError
from ..prediction import Progress
from ..schedules import NoiseSchedule

SHAPES: Mapping[str, Callable[[float], float]] = {
    "linear": lambda progress: progress,
    "cosine": lambda progress: (1 - math.cos(math.pi * progress)) / 2,
    "square": lambda progress: progress**2,
    "square root": lambda progress: math.sqrt(progress),
}
"""Ways from 0 at a run's first step to 1 at its last, of its progress in [0, 1]."""


def check_finite(name: str, *scales: float) -> None:
    """Raise GlidewireError unless every scale is a finite number."""
    for scale in scales:
        if not math.isfinite(scale):
            raise GlidewireError(f"{name}: impossible scale", expected="a finite number", got=scale)


def check_fraction(name: str, what: str, *fractions: float) -> None:
    """Raise GlidewireError unless every fraction is in [0, 1]."""
    for fraction in fractions:
        if not 0 <= fraction <= 1:
            raise GlidewireError(f"{name}: impossible {what}", expected="0 to 1", got=fraction)


@dataclass(frozen=True)
class ScaleSchedule:
    """A scale that changes over a run: first + (last - first) shape(index / (total - 1)).

    Args:
        first: At the noisiest step.
        last: At the run's last step.
        shape: One of SHAPES.

    Raises:
        GlidewireError: If a scale is not finite or there is no such shape.

    Source: Wang et al. 2024 (Analysis of classifier-free guidance weight schedulers).
    """

    first: float
    last: float
    shape: str = "linear"

    def __post_init__(self) -> None:
        check_finite("ScaleSchedule", self.first, self.last)
        if self.shape not in SHAPES:
            raise GlidewireError("ScaleSchedule: unknown shape", expected=" or ".join(SHAPES), got=self.shape)


Scale = float | ScaleSchedule
"""A guidance scale: a number, or a schedule of numbers over the steps."""


def scale_at(scale: Scale, step: Progress) -> float:
    """The scale at a step."""
    if not isinstance(scale, ScaleSchedule):
        return scale
    progress = step.index / max(step.total - 1, 1)
    return scale.first + (scale.last - scale.first) * SHAPES[scale.shape](progress)


def checked(name: str, scale: Scale) -> Scale:
    """The scale, a number where it does not change; GlidewireError unless it is finite."""
    if isinstance(scale, ScaleSchedule):
        return scale if scale.first != scale.last else scale.first
    check_finite(name, scale)
    return scale


def ends(scale: Scale) -> tuple[float, ...]:
    """The scale, or both ends of a schedule; all that it is lies between them."""
    return (scale.first, scale.last) if isinstance(scale, ScaleSchedule) else (scale,)


def negated(scale: Scale) -> Scale:
    """-scale, at every step."""
    return ScaleSchedule(-scale.first, -scale.last, scale.shape) if isinstance(scale, ScaleSchedule) else -scale


def scale_parameters(scale: Scale, name: str = "scale") -> dict[str, float | str]:
    """What a combination must state of a scale."""
    if not isinstance(scale, ScaleSchedule):
        return {name: float(scale)}
    return {name: float(scale.first), f"final_{name}": float(scale.last), f"{name}_shape": scale.shape}


def changes(*scales: Scale) -> bool:
    """Whether any of the scales depends on where in the run a step is."""
    return any(isinstance(scale, ScaleSchedule) for scale in scales)


def require_noise_levels(low: float, high: float) -> None:
    """Raise a GlidewireError unless 0 <= low <= high."""
    if not 0 <= low <= high:
        raise GlidewireError(
            "noise_interval: impossible interval", expected="0 <= low <= high (noise levels)", got=f"{low} and {high}"
        )


def noise_interval(schedule: NoiseSchedule, low: float, high: float) -> tuple[float, float]:
    """The interval of steps whose noise level lies in low < sigma <= high, sigma = sqrt((1 - abar) / abar).

    Every combiner takes its `start` and `end` as fractions of the steps; here they follow from noise levels, so
    that an interval means the same in runs of other lengths and spacings.

    Args:
        schedule: The kept steps of the run.
        low: Noise level down to which (exclusive) guidance acts; 0 includes the cleanest step.
        high: Noise level from which it acts; infinity includes pure noise.

    Returns:
        start and end; equal where no step lies in the interval.

    Raises:
        GlidewireError: If not 0 <= low <= high.

    Source: Kynkäänniemi et al. 2024 (guidance in a limited interval).
    """
    require_noise_levels(low, high)
    sigmas = [math.sqrt((1 - abar) / abar) if abar > 0 else math.inf for abar in schedule.alpha_bar.tolist()]
    above, inside = sum(sigma > high for sigma in sigmas), sum(low < sigma <= high for sigma in sigmas)
    return above / len(sigmas), (above + inside) / len(sigmas)
