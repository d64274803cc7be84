"""Guidance by several conditions, and conditions that change over a run."""

from __future__ import annotations

from typing import Annotated

from ..diffusion import guidance
from ..diffusion.denoiser import Denoiser
from ..diffusion.guidance import ScaleSchedule
from ..diffusion.noise import SeededNoise
from ..graph_runtime.declaration import node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Seed, Slider
from .guidance import Fraction, Strength, chosen, interval


@node(category="guidance", validate=interval)
def composable_guidance(
    unconditional: Socket[Denoiser, "channels @space"],
    first: Socket[Denoiser, "channels @space"],
    second: Socket[Denoiser, "channels @space"] | None = None,
    third: Socket[Denoiser, "channels @space"] | None = None,
    fourth: Socket[Denoiser, "channels @space"] | None = None,
    first_weight: Strength = 3.0,
    second_weight: Strength = 3.0,
    third_weight: Strength = 3.0,
    fourth_weight: Strength = 3.0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    first_schedule: Socket[ScaleSchedule, "_"] | None = None,
    second_schedule: Socket[ScaleSchedule, "_"] | None = None,
    third_schedule: Socket[ScaleSchedule, "_"] | None = None,
    fourth_schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Several conditions at once, AND and NOT: eps = u + sum of weight · (c - u).

    All are evaluated in one batched forward per step.

    Args:
        unconditional: u, on "channels" of a space.
        first: A condition, on the same channels and space; it stands alone outside of start and end.
        second, third, fourth: More, if wired.
        first_weight, second_weight, third_weight, fourth_weight: Above 0 is AND, below 0 NOT.
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        first_schedule, second_schedule, third_schedule, fourth_schedule: Weights that change over the run, in the
            place of the numbers.

    Returns: The guided denoiser, on the same "channels @space".

    Source: Liu et al. 2022 (2206.01714), eq. 11 and 13.
    """
    wired = (
        (first, chosen(first_weight, first_schedule)),
        (second, chosen(second_weight, second_schedule)),
        (third, chosen(third_weight, third_schedule)),
        (fourth, chosen(fourth_weight, fourth_schedule)),
    )
    pairs = [(condition, weight) for condition, weight in wired if condition is not None]
    conditions, weights = zip(*pairs, strict=True)
    return guidance.composable(conditions, unconditional, weights, start, end)


@node(category="guidance", validate=interval)
def negative_prompt_guidance(
    conditional: Socket[Denoiser, "channels @space"],
    unconditional: Socket[Denoiser, "channels @space"],
    negative: Socket[Denoiser, "channels @space"],
    scale: Strength = 7.0,
    negative_scale: Strength = 2.0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
    negative_schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Towards one text and away from another: eps = u + scale · (c - u) - negative_scale · (n - u).

    Cheaper and commoner: classifier-free guidance with n wired as its unconditional.

    Args:
        conditional: c, under what is wanted, on "channels" of a space.
        unconditional: u, under the empty text, on the same channels and space.
        negative: n, under what is not wanted.
        scale: Strength of what is wanted; 1 is conditional.
        negative_scale: Strength of what is not; 0 is classifier-free guidance.
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        schedule, negative_schedule: Scales that change over the run, in the place of the numbers.

    Returns: The guided denoiser, on the same "channels @space".

    Source: Liu et al. 2022 (2206.01714), eq. 13.
    """
    scales = chosen(scale, schedule), chosen(negative_scale, negative_schedule)
    return guidance.negative_prompt(conditional, unconditional, negative, *scales, start, end)


@node(category="guidance", title="Perp-Neg guidance", validate=interval)
def perpendicular_negative_guidance(
    conditional: Socket[Denoiser, "channels @space"],
    unconditional: Socket[Denoiser, "channels @space"],
    negative: Socket[Denoiser, "channels @space"],
    second_negative: Socket[Denoiser, "channels @space"] | None = None,
    scale: Strength = 7.0,
    negative_weight: Annotated[float, Slider(min=-10.0, max=10.0, step=0.05)] = 1.0,
    second_weight: Annotated[float, Slider(min=-10.0, max=10.0, step=0.05)] = 1.0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
    negative_schedule: Socket[ScaleSchedule, "_"] | None = None,
    second_schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Away from a text, but never from the wanted one: only the part of n - u perpendicular to c - u counts.

    eps = u + scale · (p - sum of weight · (n - u without its part along p)), p = c - u.

    Args:
        conditional: c, under what is wanted, on "channels" of a space.
        unconditional: u, under the empty text, on the same channels and space.
        negative: n, under what is not wanted.
        second_negative: Something else that is not wanted, if wired.
        scale: Strength of all; 1 is nearly conditional.
        negative_weight, second_weight: How strongly each is avoided.
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        schedule, negative_schedule, second_schedule: A scale, and weights, that change over the run, in the place of
            the numbers.

    Returns: The guided denoiser, on the same "channels @space".

    Source: Armandpour et al. 2023 (Perp-Neg, 2304.04968).
    """
    pairs = [
        (negative, chosen(negative_weight, negative_schedule)),
        (second_negative, chosen(second_weight, second_schedule)),
    ]
    wired = [(each, weight) for each, weight in pairs if each is not None]
    negatives, weights = zip(*wired, strict=True)
    return guidance.perpendicular_negative(
        conditional, unconditional, negatives, weights, chosen(scale, schedule), start, end
    )


@node(category="guidance", title="Image and text guidance", validate=interval)
def image_and_text_guidance(
    image_and_text: Socket[Denoiser, "channels @space"],
    image: Socket[Denoiser, "channels @space"],
    unconditional: Socket[Denoiser, "channels @space"],
    image_scale: Strength = 1.5,
    text_scale: Strength = 7.5,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    image_schedule: Socket[ScaleSchedule, "_"] | None = None,
    text_schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """A scale for the image and one for the text: eps = u + s_I · (I - u) + s_T · (IT - I).

    Args:
        image_and_text: IT, under both, on "channels" of a space.
        image: I, under the image alone (a picture to edit, unCLIP's embedding), on the same channels and space.
        unconditional: u, under neither.
        image_scale: s_I: how closely the image is followed.
        text_scale: s_T: how strongly the text changes it. With both scales 1 it is IT alone.
        start, end: The part of the sampling steps, from 0 to 1, in which guidance acts.
        image_schedule, text_schedule: Scales that change over the run, in the place of the numbers.

    Returns: The guided denoiser, on the same "channels @space".

    Source: Brooks et al. 2022 (InstructPix2Pix, 2211.09800), eq. 3.
    """
    scales = chosen(image_scale, image_schedule), chosen(text_scale, text_schedule)
    return guidance.two_scale(image_and_text, image, unconditional, *scales, start, end)


def _noise_comes_before(clean_until: float, noise_from: float) -> None:
    guidance.require_annealing(clean_until, noise_from)


@node(category="guidance", title="Anneal condition (CADS)", validate=_noise_comes_before)
def annealed_condition(
    denoiser: Socket[Denoiser, "channels @space"],
    batch: Annotated[int, Number(min=1, max=1024)] = 1,
    seed: Annotated[int, Seed()] = 0,
    first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0,
    levels: Annotated[int, Number(min=1, max=1000)] = 50,
    noise_scale: Annotated[float, Slider(min=0.0, max=5.0, step=0.01)] = 0.25,
    clean_until: Fraction = 0.6,
    noise_from: Fraction = 0.9,
    mixing: Fraction = 1.0,
) -> Socket[Denoiser, "channels @space"]:
    """More variety: noise in the condition at first, none at the end. y' = sqrt(g) y + s · sqrt(1 - g) · noise.

    g rises from 0 to 1 over the run. Put it between a model and its guidance.

    Args:
        denoiser: A network under a condition, not yet guided, on "channels" of a space.
        batch: As many items as the run has.
        seed: The seed of every item's noise.
        first_item: The number of the first item, as where sampling starts.
        levels: In how many equal parts the run is cut; as many as steps is the published form.
        noise_scale: s; 0 changes nothing.
        clean_until: The last part of the run that sees the true condition; must not be above noise_from.
        noise_from: What is left of the run where the condition begins to show.
        mixing: How much of the condition's own mean and deviation is given back.

    Returns: The denoiser under the changing condition, on the same "channels @space".

    Raises: GlidewireError for a denoiser that is guided already, or a part without noise that ends after it begins.

    Source: Sadat et al. 2023 (CADS, 2310.17347), algorithm 1.
    """
    noise = SeededNoise((seed,) * batch, first_item)
    return guidance.condition_annealed(denoiser, noise, batch, levels, noise_scale, clean_until, noise_from, mixing)
