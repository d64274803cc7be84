"""What keeps guidance in range, and when and how strongly it acts: rescaling, thresholds, scales, intervals."""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

from ..diffusion import guidance
from ..diffusion.denoiser import Denoiser
from ..diffusion.guidance import ScaleSchedule
from ..diffusion.schedules import NoiseSchedule
from ..graph_runtime.declaration import node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Slider
from .guidance import Fraction, Strength, chosen, interval


@node(category="guidance", validate=interval)
def rescale_guidance(
    guided: Socket[Denoiser, "channels @space"],
    conditional: Socket[Denoiser, "channels @space"],
    fraction: Fraction = 0.7,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Give a guided prediction the conditional's contrast back: f · p · std(c) / std(p) + (1 - f) · p.

    Args:
        guided: p, on "channels" of a space.
        conditional: c, the conditional that was guided; it is not evaluated again.
        fraction: f; 0 changes nothing.
        start, end: The part of the sampling steps, from 0 to 1, in which it acts.
        schedule: A fraction that changes over the run, in the place of `fraction`; both ends from 0 to 1.

    Returns: The rescaled denoiser, on the same "channels @space".

    Source: Lin et al. 2023 (2305.08891), eq. 15 and 16.
    """
    return guidance.rescale(guided, conditional, chosen(fraction, schedule), start, end)


def _bounds_at_least_1(maximum: float) -> None:
    guidance.require_maximum(maximum or math.inf)


@node(category="guidance", validate=(interval, _bounds_at_least_1))
def dynamic_threshold(
    denoiser: Socket[Denoiser, "channels @space"],
    percentile: Annotated[float, Slider(min=0.5, max=1.0, step=0.005)] = 0.995,
    maximum: Annotated[float, Number(min=0.0, max=1000.0, step=0.1)] = 0.0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Bound the clean sample by its own percentile: x_0 = clip(x_0, -s, s) / s, s = max(1, percentile of |x_0|).

    Args:
        denoiser: What is bounded, such as strong guidance in pixels, on "channels" of a space.
        percentile: Of |x_0| in one item.
        maximum: The largest s, at least 1; 0 for no limit. (DeepFloyd IF has 1.5.)
        start, end: The part of the sampling steps, from 0 to 1, in which it acts.
        schedule: A percentile that changes over the run, in the place of `percentile`; both ends from 0 to 1.

    Returns: The bounded denoiser, on the same "channels @space".

    Raises: GlidewireError for a maximum between 0 and 1, or a denoiser of tokens.

    Source: Saharia et al. 2022 (Imagen, 2205.11487), section 2.3.
    """
    return guidance.dynamic_threshold(denoiser, chosen(percentile, schedule), maximum or math.inf, start, end)


@node(category="guidance", validate=interval)
def static_threshold(
    denoiser: Socket[Denoiser, "channels @space"],
    bound: Annotated[float, Number(min=0.01, max=1000.0, step=0.1)] = 1.0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Bound the clean sample: x_0 = clip(x_0, -bound, bound).

    Args:
        denoiser: What is bounded, on "channels" of a space.
        bound: 1 for pixels.
        start, end: The part of the sampling steps, from 0 to 1, in which it acts.
        schedule: A bound that changes over the run, in the place of `bound`; both ends above 0.

    Returns: The bounded denoiser, on the same "channels @space".

    Raises: GlidewireError for a denoiser of tokens.

    Source: Saharia et al. 2022 (Imagen, 2205.11487), section 2.3.
    """
    return guidance.static_threshold(denoiser, chosen(bound, schedule), start, end)


@node(category="guidance")
def scale_schedule(
    first: Strength = 7.0,
    last: Strength = 1.0,
    shape: Literal["linear", "cosine", "square", "square root"] = "linear",
) -> Socket[ScaleSchedule, "_"]:
    """A guidance scale that changes over a run: first + (last - first) · shape(progress).

    Args:
        first: The scale at the noisiest step.
        last: The scale at the last step.
        shape: The way from one to the other.

    Returns: The schedule, for the guidance nodes.

    Source: Wang et al. 2024 (2404.13040).
    """
    return ScaleSchedule(first, last, shape)


class Interval(NamedTuple):
    """Where in a run guidance starts and ends to act."""

    start: float
    end: float


def _are_levels(low: float, high: float) -> None:
    guidance.require_noise_levels(low, high)


@node(category="guidance", validate=_are_levels)
def noise_level_interval(
    schedule: Socket[NoiseSchedule, "_"],
    low: Annotated[float, Number(min=0.0, max=10_000.0, step=0.01)] = 0.28,
    high: Annotated[float, Number(min=0.0, max=10_000.0, step=0.01)] = 5.42,
) -> Interval:
    """The part of a run between two noise levels: low < sigma <= high, sigma = sqrt((1 - abar) / abar).

    Args:
        schedule: The schedule that the sampler will walk.
        low: The noise level below which guidance no longer acts.
        high: The noise level above which it does not act yet.

    Returns: start and end, for the guidance nodes; equal where no step lies in between.

    Raises: GlidewireError if low is above high.

    Source: Kynkäänniemi et al. 2024 (2404.07724).
    """
    return Interval(*guidance.noise_interval(schedule, low, high))
