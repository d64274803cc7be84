"""Guidance by more than two predictions: conjunction, negation, negative prompts, two scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from ...errors import GlidewireError
from ..denoiser import Combination, Denoiser
from ..prediction import Prediction, Step
from .affine import affine
from .rows import parallel
from .scales import Scale, changes, check_finite, checked, ends, negated, scale_at, scale_parameters
from .scores import centred


def composable(
    conditions: Sequence[Denoiser],
    unconditional: Denoiser,
    weights: Sequence[Scale],
    start: float = 0.0,
    end: float = 1.0,
) -> Denoiser:
    """Several conditions at once: eps = u + sum_i w_i (c_i - u). A positive weight is AND, a negative one NOT.

    The combination is affine, so it is the same in eps, x_0 and v; of tokens it combines logits. Variance
    channels are the first condition's.

    Args:
        conditions: c_i, under one condition each; the first stands alone outside the interval.
        unconditional: u, under the empty condition.
        weights: w_i, a strength for each condition.
        start: First fraction of the steps that is guided.
        end: Fraction of the steps from which it no longer is.

    Raises:
        GlidewireError: If there are not as many weights as conditions, or none, a weight is not finite, or the
            interval is not one.

    Source: Liu et al. 2022 (Composable diffusion), eq. 11 and 13.
    """
    if not conditions:
        raise GlidewireError("composable: needs at least one condition")
    strengths = _strengths("composable", "condition", conditions, weights)
    named = dict(zip(strengths, conditions, strict=True))

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        lead = inputs["condition_1"]
        u = inputs["unconditional"].to(lead.kind, x_t, step)
        pulls = [(scale_at(w, step), inputs[name].to(lead.kind, x_t, step), u) for name, w in strengths.items()]
        return affine(lead, u, pulls)

    return Combination(
        combine,
        {**named, "unconditional": unconditional},
        "composable",
        _stated(strengths),
        start,
        end,
        reads_progress=changes(*strengths.values()),
    )


def _strengths(name: str, what: str, denoisers: Sequence[Denoiser], weights: Sequence[Scale]) -> Mapping[str, Scale]:
    """A checked weight for each denoiser, by the name of its input."""
    if len(denoisers) != len(weights):
        raise GlidewireError(
            f"{name}: one weight is needed for each {what}",
            expected=f"{len(denoisers)} weights",
            got=f"{len(weights)} weights",
        )
    return {f"{what}_{number}": checked(name, weight) for number, weight in enumerate(weights, 1)}


def _stated(strengths: Mapping[str, Scale]) -> dict[str, float | str]:
    return {key: value for name, weight in strengths.items() for key, value in scale_parameters(weight, name).items()}


def negative_prompt(
    conditional: Denoiser,
    unconditional: Denoiser,
    negative: Denoiser,
    scale: Scale,
    negative_scale: Scale,
    start: float = 0.0,
    end: float = 1.0,
) -> Denoiser:
    """Towards one prompt and away from another: eps = u + scale (c - u) - negative_scale (n - u).

    `classifier_free` with n in the place of u is the commoner and cheaper form: c + (scale - 1) (c - n).

    Args:
        conditional: c, under the wanted prompt; it stands alone outside the interval.
        unconditional: u, under the empty prompt.
        negative: n, under the unwanted prompt.
        scale: Strength of the wanted prompt.
        negative_scale: Strength of the unwanted one; 0 is classifier-free guidance.
        start: First fraction of the steps that is guided.
        end: Fraction of the steps from which it no longer is.

    Raises:
        GlidewireError: If a scale is not finite or the interval is not one.

    Source: Liu et al. 2022 (Composable diffusion), eq. 13.
    """
    check_finite("negative_prompt", *ends(scale), *ends(negative_scale))
    return composable([conditional, negative], unconditional, [scale, negated(negative_scale)], start, end)


def perpendicular_negative(
    conditional: Denoiser,
    unconditional: Denoiser,
    negatives: Sequence[Denoiser],
    weights: Sequence[Scale],
    scale: Scale,
    start: float = 0.0,
    end: float = 1.0,
) -> Denoiser:
    """Perp-Neg: away from what is unwanted, but never away from what is wanted.

    eps = u + scale (p - sum_i w_i (n_i - (<n_i, p> / <p, p>) p)), with p = c - u and n_i = eps_i - u, products
    of one item. Only the part of a negative that is perpendicular to the wanted direction counts. The same in eps,
    x_0 and v; of tokens it combines centred logits. Gradients follow c and u; variance channels are the conditional's.

    Args:
        conditional: c, under the wanted prompt; it stands alone outside the interval.
        unconditional: u, under the empty prompt.
        negatives: eps_i, under one unwanted prompt each.
        weights: w_i, above 0 to move away.
        scale: Strength of all.
        start: First fraction of the steps that is guided.
        end: Fraction of the steps from which it no longer is.

    Raises:
        GlidewireError: If there are not as many weights as negatives, a number is not finite, or the interval is
            not one.

    Source: Armandpour et al. 2023 (Perp-Neg).
    """
    scale = checked("perpendicular_negative", scale)
    strengths = _strengths("perpendicular_negative", "negative", negatives, weights)

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        c = inputs["conditional"]
        u = inputs["unconditional"].to(c.kind, x_t, step)
        wanted, now = centred(c).value - centred(u).value, scale_at(scale, step)
        guided = affine(c, u, [(now, c, u)])
        value = guided.value
        for name, weight in strengths.items():
            unwanted = centred(inputs[name].to(c.kind, x_t, step)).value - centred(u).value
            value = value - now * scale_at(weight, step) * (unwanted - parallel(unwanted, wanted))
        return replace(guided, value=value)

    return Combination(
        combine,
        {"conditional": conditional, "unconditional": unconditional, **dict(zip(strengths, negatives, strict=True))},
        "perpendicular_negative",
        {**scale_parameters(scale), **_stated(strengths)},
        start,
        end,
        reads_progress=changes(scale, *strengths.values()),
    )


def two_scale(
    image_and_text: Denoiser,
    image: Denoiser,
    unconditional: Denoiser,
    image_scale: Scale,
    text_scale: Scale,
    start: float = 0.0,
    end: float = 1.0,
) -> Denoiser:
    """A scale for each of two conditions: eps = u + s_I (I - u) + s_T (IT - I).

    The combination is affine, so it is the same in eps, x_0 and v; of tokens it combines logits. Variance
    channels are those of IT.

    Args:
        image_and_text: IT, under both conditions; scales 1 and 1 return it itself.
        image: I, under the first condition alone: the picture to edit, or unCLIP's image embedding.
        unconditional: u, under neither.
        image_scale: s_I, strength of the first condition.
        text_scale: s_T, strength of what the second adds to the first.
        start: First fraction of the steps that is guided; outside the interval IT stands alone.
        end: Fraction of the steps from which it no longer is.

    Raises:
        GlidewireError: If a scale is not finite or the interval is not one.

    Source: Brooks et al. 2022 (InstructPix2Pix), eq. 3.
    """
    image_scale, text_scale = checked("two_scale", image_scale), checked("two_scale", text_scale)

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        both = inputs["image_and_text"]
        one, u = (inputs[name].to(both.kind, x_t, step) for name in ("image", "unconditional"))
        return affine(both, u, [(scale_at(image_scale, step), one, u), (scale_at(text_scale, step), both, one)])

    combination = Combination(
        combine,
        {"image_and_text": image_and_text, "image": image, "unconditional": unconditional},
        "two_scale",
        {**scale_parameters(image_scale, "image_scale"), **scale_parameters(text_scale, "text_scale")},
        start,
        end,
        reads_progress=changes(image_scale, text_scale),
    )
    return image_and_text if image_scale == text_scale == 1 else combination
