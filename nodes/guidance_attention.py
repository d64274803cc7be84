"""Guidance away from what the network predicts where its own attention is made worse."""

from __future__ import annotations

import math
from typing import Annotated

from ..diffusion import guidance
from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.guidance import ScaleSchedule
from ..diffusion.rewriting import leaves
from ..diffusion.schedules import NoiseSchedule
from ..graph_runtime.declaration import node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Slider, Text
from .guidance import Fraction, Strength, chosen, interval

Places = Annotated[str, Text()]


@node(category="guidance", title="Perturbed-attention guidance (PAG)", validate=interval)
def perturbed_attention_guidance(
    denoiser: Socket[Denoiser, "channels @space"],
    scale: Strength = 3.0,
    places: Places = "middle",
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Away from a prediction whose attention does not mix positions: eps = g + scale · (c - w), w with A = identity.

    It needs no empty text; one more row in the same forward.

    Args:
        denoiser: g, on "channels" of a space: a U-Net under a condition, or guidance of it, whose first branch is c.
        scale: s; 0 changes nothing.
        places: Where attention is perturbed: "middle", "down 1, up 0" ..., or "all".
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "channels @space".

    Raises: GlidewireError for a network without attention of the picture to itself there, naming where it has some.

    Source: Ahn et al. 2024 (PAG, 2403.17377).
    """
    return _perturbed(denoiser, "identity", places, math.inf, chosen(scale, schedule), start, end)


@node(category="guidance", title="Skip-layer guidance (SLG)", validate=interval)
def skip_layer_guidance(
    denoiser: Socket[Denoiser, "channels @space"],
    scale: Strength = 2.8,
    places: Places = "middle",
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Away from a prediction that leaves layers of self-attention out: eps = g + scale · (c - w).

    Args:
        denoiser: g, on "channels" of a space: a U-Net under a condition, or guidance of it, whose first branch is c.
        scale: s; 0 changes nothing.
        places: Which layers are left out: "middle", "down 1, up 0" ..., or "all".
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "channels @space".

    Raises: GlidewireError for a network without attention of the picture to itself there, naming where it has some.

    Source: Hyung et al. 2024 (STG, 2411.18664).
    """
    return _perturbed(denoiser, "skip", places, math.inf, chosen(scale, schedule), start, end)


@node(category="guidance", title="Smoothed-energy guidance (SEG)", validate=interval)
def smoothed_energy_guidance(
    denoiser: Socket[Denoiser, "channels @space"],
    scale: Strength = 3.0,
    sigma: Annotated[float, Number(min=0.0, max=1000.0, step=0.5)] = 0.0,
    places: Places = "middle",
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Away from a prediction whose attention has a smoother energy: its queries are blurred over the picture.

    Args:
        denoiser: g, on "channels" of a space: a U-Net under a condition, or guidance of it, whose first branch is c.
        scale: s; 0 changes nothing.
        sigma: Of the blur, in positions of the layer; 0 stands for infinity, the mean of all queries.
        places: Where: "middle", "down 1, up 0" ..., or "all".
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "channels @space".

    Raises: GlidewireError for a network without attention of the picture to itself there, naming where it has some.

    Source: Hong 2024 (SEG, 2408.00760).
    """
    return _perturbed(denoiser, "smooth", places, sigma or math.inf, chosen(scale, schedule), start, end)


@node(category="guidance", title="Self-attention guidance (SAG)", validate=interval)
def self_attention_guidance(
    denoiser: Socket[Denoiser, "channels @space"],
    schedule: Socket[NoiseSchedule, "_"],
    scale: Strength = 0.75,
    sigma: Annotated[float, Number(min=0.05, max=100.0, step=0.05)] = 1.0,
    threshold: Annotated[float, Slider(min=0.0, max=4.0, step=0.05)] = 1.0,
    place: Places = "middle",
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    scale_schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Away from what is predicted of a picture that is blurred where the network looks: eps = g + scale · (c - w).

    Costs one more row, and that row a second time at the degraded picture.

    Args:
        denoiser: g, on "channels" of a space: a U-Net under a condition, or guidance of it, whose first branch is c.
        schedule: The schedule that the sampler walks, or the model's own: gives the noise at each timestep.
        scale: s; 0 changes nothing.
        sigma: Of the blur, in pixels of the space.
        threshold: How much more than the mean a position is looked at where the picture is blurred.
        place: Which attention is looked at.
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        scale_schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "channels @space".

    Raises: GlidewireError for a network without such attention, or (when run) a timestep that the schedule lacks.

    Source: Hong et al. 2022 (SAG, 2210.00939).
    """
    from ..models.attention.degraded import degrading
    from ..models.attention.worse import worsened

    conditional = _first(denoiser)
    network = degrading(conditional, schedule, sigma, threshold, place)
    return guidance.perturbed(*worsened(network, denoiser, conditional), chosen(scale, scale_schedule), start, end)


def _first(denoiser: Denoiser) -> Leaf:
    return next(leaves(denoiser))


def _perturbed(
    denoiser: Denoiser, kind: str, places: str, sigma: float, scale: guidance.Scale, start: float, end: float
) -> Denoiser:
    from ..models.attention.perturbed import perturbing
    from ..models.attention.worse import worsened

    conditional = _first(denoiser)
    view = perturbing(conditional, kind, places, sigma)  # pyrefly: ignore
    return guidance.perturbed(*worsened(view, denoiser, conditional), scale, start, end)
