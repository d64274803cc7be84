"""Keeping what strong guidance makes in range: rescaling, dynamic and static thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import GlidewireError
from ..denoiser import Combination, Denoiser
from ..prediction import Prediction, Step
from .classifier_free import of_pair
from .rows import per_item, ratio
from .scales import Scale, changes, check_fraction, checked, ends, scale_at, scale_parameters
from .scores import centred, require_clean_samples


def rescale(guided: Denoiser, conditional: Denoiser, fraction: Scale, start: float = 0.0, end: float = 1.0) -> Denoiser:
    """Give a guided prediction the conditional's contrast back: f · p · std(c) / std(p) + (1 - f) p.

    Standard deviations (unbiased) are of one item, in the parametrisation that the guided prediction comes in:
    for classifier-free guidance the network's own; of tokens, those of centred logits.

    Args:
        guided: p, such as strong classifier-free guidance; it stands alone outside the interval.
        conditional: c, the conditional alone; what is shared with `guided` is evaluated once.
        fraction: f in [0, 1]; 0 returns `guided` itself; the paper's best is 0.7.
        start: First fraction of the steps that is rescaled.
        end: Fraction of the steps from which it no longer is.

    Raises:
        GlidewireError: If the fraction is outside [0, 1] or the interval is not one.

    Source: Lin et al. 2023 (Common diffusion noise schedules and sample steps are flawed), eq. 15 and 16.
    """
    check_fraction("rescale", "fraction", *ends(fraction))
    fraction = checked("rescale", fraction)

    def guide(p: Prediction, c: Prediction, x_t: Tensor, step: Step) -> Prediction:
        p = centred(p)
        wanted, found = (per_item(each.value.flatten(1).std(1), p.value) for each in (centred(c), p))
        return p.with_value(p.value * (1 + scale_at(fraction, step) * (ratio(wanted, found, 1.0) - 1)))

    pair = {"guided": guided, "conditional": conditional}
    parameters = scale_parameters(fraction, "fraction")
    combination = of_pair(guide, "rescale", pair, parameters, start, end, changes(fraction))
    return guided if fraction == 0 else combination


def dynamic_bound(x_0: Tensor, percentile: float, maximum: float = math.inf) -> Tensor:
    """s = max(1, percentile of |x_0| in one item), at most `maximum`.

    Args:
        x_0: "batch ...".
        percentile: In [0, 1], linearly interpolated.
        maximum: Upper bound of s.

    Returns:
        "batch".

    Source: Saharia et al. 2022 (Imagen), section 2.3.
    """
    sizes = x_0.abs().flatten(1)
    # Not torch.quantile, which refuses more than 16 million numbers.
    position = percentile * (sizes.shape[1] - 1)
    below = math.floor(position)
    low = sizes.kthvalue(below + 1, dim=1).values
    high = sizes.kthvalue(min(below + 2, sizes.shape[1]), dim=1).values
    return torch.lerp(low, high, position - below).clamp(1.0, maximum)


def require_maximum(maximum: float) -> None:
    """Raise a GlidewireError for an upper bound of s below 1, by which samples would grow."""
    if not maximum >= 1:
        raise GlidewireError("dynamic_threshold: impossible maximum", expected="1 or more", got=maximum)


def dynamic_threshold(
    denoiser: Denoiser, percentile: Scale = 0.995, maximum: float = math.inf, start: float = 0.0, end: float = 1.0
) -> Denoiser:
    """Dynamic thresholding: x_0 = clamp(x_0, -s, s) / s with s of `dynamic_bound`; eps follows x_0.

    Made for pixels in [-1, 1]. Its use with a solver's own clip is harmless: nothing is left to clip.

    Args:
        denoiser: What is bounded, such as strong guidance.
        percentile: In [0, 1], of |x_0| over one item; Imagen's is 0.995.
        maximum: Upper bound of s, at least 1; 1 is static thresholding at 1.
        start: First fraction of the steps that is bounded.
        end: Fraction of the steps from which it no longer is.

    Raises:
        GlidewireError: If the percentile, the maximum or the interval is impossible; if a network scores tokens.

    Source: Saharia et al. 2022 (Imagen), section 2.3 and appendix.
    """
    check_fraction("dynamic_threshold", "percentile", *ends(percentile))
    percentile = checked("dynamic_threshold", percentile)
    require_maximum(maximum)
    require_clean_samples("dynamic_threshold", denoiser)

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        free = inputs["denoiser"].to("x_0", x_t, step)
        bound = per_item(dynamic_bound(free.value, scale_at(percentile, step), maximum), x_t)
        return free.with_value(free.value.clamp(-bound, bound) / bound)

    parameters = {**scale_parameters(percentile, "percentile"), "maximum": float(maximum)}
    return Combination(
        combine,
        {"denoiser": denoiser},
        "dynamic_threshold",
        parameters,
        start,
        end,
        reads_progress=changes(percentile),
    )


def static_threshold(denoiser: Denoiser, bound: Scale = 1.0, start: float = 0.0, end: float = 1.0) -> Denoiser:
    """Static thresholding: x_0 = clamp(x_0, -bound, bound); eps follows x_0.

    Args:
        denoiser: What is bounded.
        bound: Above 0; 1 for pixels.
        start: First fraction of the steps that is bounded.
        end: Fraction of the steps from which it no longer is.

    Raises:
        GlidewireError: If a bound is not above 0 or the interval is not one; if a network scores tokens.

    Source: Saharia et al. 2022 (Imagen), section 2.3.
    """
    for number in ends(bound):
        if not number > 0:
            raise GlidewireError("static_threshold: impossible bound", expected="a number above 0", got=number)
    bound = checked("static_threshold", bound)
    require_clean_samples("static_threshold", denoiser)

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        free = inputs["denoiser"].to("x_0", x_t, step)
        now = scale_at(bound, step)
        return free.with_value(free.value.clamp(-now, now))

    parameters = scale_parameters(bound, "bound")
    return Combination(
        combine, {"denoiser": denoiser}, "static_threshold", parameters, start, end, reads_progress=changes(bound)
    )
