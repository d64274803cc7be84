"""Guidance from one prediction towards another: denoisers in, a denoiser out."""

from __future__ import annotations

import math
from typing import Annotated

from ..diffusion import guidance
from ..diffusion.denoiser import Denoiser, require_interval
from ..diffusion.guidance import Scale, ScaleSchedule
from ..graph_runtime.declaration import node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Slider

Strength = Annotated[float, Slider(min=-30.0, max=30.0, step=0.1)]
Fraction = Annotated[float, Slider(min=0.0, max=1.0, step=0.01)]


def interval(start: float, end: float) -> None:
    """Raise a GlidewireError where guidance would end before it starts."""
    require_interval(start, end)


def chosen(scale: float, schedule: ScaleSchedule | None) -> Scale:
    """The schedule if one is wired, else the number."""
    return scale if schedule is None else schedule


@node(category="guidance", validate=interval)
def classifier_free_guidance(
    conditional: Socket[Denoiser, "channels @space"],
    unconditional: Socket[Denoiser, "channels @space"],
    scale: Strength = 3.0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Extrapolate from the unconditional towards the conditional prediction: eps = u + scale · (c - u).

    Both are evaluated in one batched forward per step. At scale 1 the unconditional one is not evaluated.

    Args:
        conditional: c, on "channels" of a space.
        unconditional: u, on the same channels and space: the empty text, or a text to steer away from.
        scale: 0 is unconditional, 1 conditional, more exaggerates the condition. (Papers that write 1 + w
            mean scale - 1 by w.)
        start, end: The part of the sampling steps, from 0 (first) to 1 (last), in which guidance acts;
            outside it the conditional prediction stands alone.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "channels @space".

    Source: Ho & Salimans 2022 (2207.12598), eq. 6; the interval: Kynkäänniemi et al. 2024 (2404.07724).
    """
    return guidance.classifier_free(conditional, unconditional, chosen(scale, schedule), start, end)


@node(category="guidance", title="CFG++ guidance", validate=interval)
def cfg_plus_plus_guidance(
    conditional: Socket[Denoiser, "channels @space"],
    unconditional: Socket[Denoiser, "channels @space"],
    scale: Fraction = 0.6,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Guide the clean sample and step with the unconditional noise: x_0 from u + scale · (c - u), eps = u.

    Use it with the DDIM sampler, also to invert.

    Args:
        conditional: c, on "channels" of a space.
        unconditional: u, on the same channels and space.
        scale: The paper's lambda; it replaces large scales of classifier-free guidance by 0 to 1.
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "channels @space".

    Source: Chung et al. 2024 (CFG++, 2406.08070), algorithm 2.
    """
    return guidance.classifier_free_plus_plus(conditional, unconditional, chosen(scale, schedule), start, end)


@node(category="guidance", validate=interval)
def autoguidance(
    good: Socket[Denoiser, "channels @space"],
    bad: Socket[Denoiser, "channels @space"],
    scale: Annotated[float, Slider(min=-5.0, max=10.0, step=0.05)] = 2.0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Steer away from a worse version of the model: eps = bad + scale · (good - bad).

    Args:
        good: The model under the wanted condition, on "channels" of a space.
        bad: A smaller or less trained one under the same condition, on the same channels and space.
        scale: 1 is the good model alone; the paper's best are 1.4 to 2.9.
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "channels @space".

    Source: Karras et al. 2024 (2406.02507), eq. 3.
    """
    return guidance.autoguidance(good, bad, chosen(scale, schedule), start, end)


@node(category="guidance", title="Adaptive projected guidance (APG)", validate=interval)
def adaptive_projected_guidance(
    conditional: Socket[Denoiser, "channels @space"],
    unconditional: Socket[Denoiser, "channels @space"],
    scale: Strength = 7.5,
    parallel_strength: Annotated[float, Slider(min=-1.0, max=2.0, step=0.05)] = 0.0,
    norm_threshold: Annotated[float, Number(min=0.0, max=10_000.0, step=0.5)] = 15.0,
    momentum: Annotated[float, Slider(min=-0.95, max=0.95, step=0.05)] = -0.5,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Strong guidance without oversaturation: x_0 = c + (scale - 1) · (d orthogonal to c + eta · d along c).

    d = c - u + momentum · (d of the step before), shortened to the threshold.

    Args:
        conditional: c, on "channels" of a space; clean samples are combined.
        unconditional: u, on the same channels and space.
        scale: 1 is conditional.
        parallel_strength: eta: how much of d along c is kept; 1 keeps all.
        norm_threshold: The longest d of one item; 0 for no limit. It grows with the size of the samples.
        momentum: Below 0 pushes away from the directions of earlier steps; 0 for none.
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "channels @space".

    Source: Sadat et al. 2024 (2410.02416), algorithm 1.
    """
    return guidance.adaptive_projected(
        conditional,
        unconditional,
        chosen(scale, schedule),
        parallel_strength,
        norm_threshold or math.inf,
        momentum,
        start,
        end,
    )


@node(category="guidance", title="CFG-Zero* guidance", validate=interval)
def zero_star_guidance(
    conditional: Socket[Denoiser, "channels @space"],
    unconditional: Socket[Denoiser, "channels @space"],
    scale: Strength = 4.0,
    zero_steps: Annotated[int, Number(min=0, max=1000)] = 0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Guide from the unconditional at its best length: a u + scale · (c - a u), a = <c, u> / |u|^2.

    Args:
        conditional: c, on "channels" of a space.
        unconditional: u, on the same channels and space.
        scale: 1 is conditional.
        zero_steps: How many of the first steps predict 0; made for networks that predict a velocity.
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "channels @space".

    Source: Fan et al. 2025 (CFG-Zero*, 2503.18886).
    """
    return guidance.zero_star(conditional, unconditional, chosen(scale, schedule), zero_steps, start, end)


@node(category="guidance", title="Tangential guidance (TCFG)", validate=interval)
def tangential_guidance(
    conditional: Socket[Denoiser, "channels @space"],
    unconditional: Socket[Denoiser, "channels @space"],
    scale: Strength = 3.0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Classifier-free guidance from what of u lies in the main direction v of c and u: u <- <u, v> v.

    Args:
        conditional: c, on "channels" of a space.
        unconditional: u, on the same channels and space.
        scale: 1 is conditional.
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "channels @space".

    Source: Kwon et al. 2025 (TCFG, 2503.18137).
    """
    return guidance.tangential(conditional, unconditional, chosen(scale, schedule), start, end)


@node(category="guidance", title="Magnitude-aware guidance (MAMBO-G)", validate=interval)
def magnitude_aware_guidance(
    conditional: Socket[Denoiser, "channels @space"],
    unconditional: Socket[Denoiser, "channels @space"],
    scale: Strength = 7.5,
    damping: Annotated[float, Slider(min=0.0, max=50.0, step=0.5)] = 8.0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Hold guidance back where it is large: u + (1 + (scale - 1) · exp(-damping · |c - u| / |u|)) · (c - u).

    Args:
        conditional: c, on "channels" of a space.
        unconditional: u, on the same channels and space.
        scale: The strength where both agree; 1 is conditional.
        damping: 0 is classifier-free guidance.
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "channels @space".

    Source: Zhu et al. 2025 (MAMBO-G, 2508.03442).
    """
    return guidance.magnitude_aware(conditional, unconditional, chosen(scale, schedule), damping, start, end)


@node(category="guidance", title="Frequency-decoupled guidance (FDG)", validate=interval)
def frequency_decoupled_guidance(
    conditional: Socket[Denoiser, "channels @space"],
    unconditional: Socket[Denoiser, "channels @space"],
    high_scale: Strength = 8.0,
    low_scale: Strength = 3.0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    high_schedule: Socket[ScaleSchedule, "_"] | None = None,
    low_schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Guide fine detail and coarse structure by scales of their own: the two levels of a Laplacian pyramid.

    Args:
        conditional: c, on "channels" of a space of pictures of at least 6 pixels a side.
        unconditional: u, on the same channels and space.
        high_scale: Strength for high frequencies (detail); 1 is conditional.
        low_scale: Strength for low frequencies (layout, colour); less keeps variety.
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        high_schedule, low_schedule: Scales that change over the run, in the place of the numbers.

    Returns: The guided denoiser, on the same "channels @space".

    Source: Sadat et al. 2025 (2506.19713).
    """
    scales = [chosen(high_scale, high_schedule), chosen(low_scale, low_schedule)]
    return guidance.frequency_decoupled(conditional, unconditional, scales, start, end)
