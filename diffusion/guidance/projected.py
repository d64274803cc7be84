"""Guidance that keeps one part of the difference of two predictions: APG, and tangential damping (TCFG)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import GlidewireError
from ..denoiser import Combination, Denoiser
from ..prediction import Prediction, Step
from .affine import affine
from .classifier_free import of_pair
from .rows import dot, norm, parallel
from .scales import Scale, changes, check_finite, checked, scale_at, scale_parameters
from .scores import centred, require_clean_samples


def adaptive_projected(
    conditional: Denoiser,
    unconditional: Denoiser,
    scale: Scale,
    parallel_strength: float = 0.0,
    norm_threshold: float = math.inf,
    momentum: float = 0.0,
    start: float = 0.0,
    end: float = 1.0,
) -> Denoiser:
    """Adaptive projected guidance (APG): x_0 = c + (scale - 1) (d_orthogonal + eta d_parallel), of clean samples.

    d = c - u + momentum · (d of the step before), then d · min(1, r / |d|), then split along c; norms and
    products of one item. Without threshold and momentum and with eta 1 it is classifier-free guidance. Variance
    channels, gradients and the noise to step with are the conditional's.

    Args:
        conditional: c, under the wanted condition.
        unconditional: u, under the empty (or a negative) condition.
        scale: Strength; 1 returns the conditional itself.
        parallel_strength: eta, what is kept of the part along c, which oversaturates; the paper's is 0.
        norm_threshold: r, above 0: the longest d; infinity for none. It grows with the size of a sample: the
            paper's is 2.5 to 15.
        momentum: Below 0 pushes away from earlier directions (the paper's is -0.25 to -0.75); 0 for none. It starts
            afresh where an interval begins.
        start: First fraction of the steps that is guided; outside the interval the conditional passes through.
        end: Fraction of the steps from which it no longer is.

    Raises:
        GlidewireError: If a number is not finite, the threshold is not above 0, |momentum| is not below 1, or the
            interval is not one; if a network scores tokens.

    Source: Sadat et al. 2024 (Eliminating oversaturation and artifacts of high guidance scales), Alg. 1.
    """
    scale = checked("adaptive_projected", scale)
    check_finite("adaptive_projected", parallel_strength)
    if not norm_threshold > 0:
        raise GlidewireError(
            "adaptive_projected: impossible threshold", expected="a number above 0", got=norm_threshold
        )
    if not abs(momentum) < 1:
        raise GlidewireError(
            "adaptive_projected: impossible momentum", expected="a number between -1 and 1", got=momentum
        )

    require_clean_samples("adaptive_projected", conditional, unconditional)

    def difference(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step, before: Tensor | None = None) -> Tensor:
        d = inputs["conditional"].x_0(x_t, step) - inputs["unconditional"].x_0(x_t, step)
        return d if before is None else d + momentum * before

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        c = inputs["conditional"].to("x_0", x_t, step)
        d = inputs["memory"].value if momentum else difference(inputs, x_t, step)
        if math.isfinite(norm_threshold):
            d = d * (norm_threshold / norm(d).clamp(min=norm_threshold)).to(d.dtype)
        along = parallel(d, c.value)
        return c.with_value(c.value + (scale_at(scale, step) - 1) * (d - along + parallel_strength * along))

    numbers = {"parallel": parallel_strength, "threshold": norm_threshold, "momentum": momentum}
    combination = Combination(
        combine,
        {"conditional": conditional, "unconditional": unconditional},
        "adaptive_projected",
        {**scale_parameters(scale), **{name: float(number) for name, number in numbers.items()}},
        start,
        end,
        reads_progress=changes(scale),
        remember=difference if momentum else None,
    )
    return conditional if scale == 1 else combination


def tangential(
    conditional: Denoiser, unconditional: Denoiser, scale: Scale, start: float = 0.0, end: float = 1.0
) -> Denoiser:
    """Tangential damping (TCFG): classifier-free guidance with u <- <u, v> v, v the main direction of c and u.

    v is the first right singular vector of the two rows c and u of one item, as they are, in the conditional's own
    parametrisation; of tokens it combines centred logits. Gradients extrapolate as in classifier-free guidance;
    variance channels are the conditional's.

    Args:
        conditional: c, under the wanted condition.
        unconditional: u, under the empty (or a negative) condition.
        scale: Strength; 1 returns the conditional itself.
        start: First fraction of the steps that is guided; outside the interval the conditional passes through.
        end: Fraction of the steps from which it no longer is.

    Raises:
        GlidewireError: If a scale is not finite or the interval is not one.

    Source: Kwon et al. 2025 (TCFG).
    """
    scale = checked("tangential", scale)

    def guide(c: Prediction, u: Prediction, x_t: Tensor, step: Step) -> Prediction:
        c, u = centred(c), centred(u)
        u = u.with_value(damped(c.value, u.value))
        return affine(c, u, [(scale_at(scale, step), c, u)])

    pair = {"conditional": conditional, "unconditional": unconditional}
    combination = of_pair(guide, "tangential", pair, scale_parameters(scale), start, end, changes(scale))
    return conditional if scale == 1 else combination


def damped(c: Tensor, u: Tensor) -> Tensor:
    """u projected on the first right singular vector v of the rows c and u, of each item.

    With (a, b) the first eigenvector of the Gram matrix of c and u, v is a c + b u over its length, and
    <u, v> v = b (a c + b u).

    Args:
        c, u: "batch ...", of one shape.

    Returns:
        Shaped as u, in its dtype; computed in float64.
    """
    cc, cu, uu = dot(c, c), dot(c, u), dot(u, u)
    gram = torch.stack([torch.stack([cc, cu], -1), torch.stack([cu, uu], -1)], -2)
    a, b = torch.linalg.eigh(gram).eigenvectors[..., -1].unbind(-1)
    return (b * (a * c.double() + b * u.double())).to(u.dtype)
