"""Guidance: pure functions of denoisers' predictions, each under its paper's formula."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from ..errors import GlidewireError
from .denoiser import Combination, Denoiser
from .identity import tensor_digest
from .prediction import Prediction, Step


def _check_scale(name: str, scale: float) -> None:
    if not math.isfinite(scale):
        raise GlidewireError(f"{name}: impossible scale", expected="a finite number", got=scale)


def classifier_free(
    conditional: Denoiser,
    unconditional: Denoiser,
    scale: float,
    start: float = 0.0,
    end: float = 1.0,
    final_scale: float | None = None,
) -> Denoiser:
    """Classifier-free guidance: eps = u + scale (c - u).

    GLIDE's convention: scale 1 is the conditional model, and returns it itself; the papers' w is scale - 1.
    The combination is affine, so it is the same in eps, x_0 and v; of tokens it combines logits. Variance
    channels are the conditional's.

    Args:
        conditional: c, under the wanted condition.
        unconditional: u, under the empty (or a negative) condition.
        scale: Strength; 0 gives u, above 1 extrapolates.
        start: First fraction of the steps that is guided; before it the conditional passes through.
        end: Fraction of the steps from which the conditional passes through again.
        final_scale: Strength at the run's last step, with `scale` at its first and a straight line between them;
            None is constant.

    Raises:
        GlidewireError: If a scale is not finite or the interval is not one.

    Source: Ho & Salimans 2022, eq. 6; GLIDE (Nichol et al. 2022), eq. 6; intervals: Kynkäänniemi et al. 2024.
    """
    _check_scale("classifier_free", scale)
    if final_scale == scale:
        final_scale = None
    if final_scale is not None:
        _check_scale("classifier_free", final_scale)

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        c = inputs["conditional"]
        u = inputs["unconditional"].to(c.kind, x_t, step)
        now = scale
        if final_scale is not None:
            now += (final_scale - scale) * step.index / max(step.total - 1, 1)
        shift = _extrapolate(c.mean_shift, u.mean_shift, now)
        guided = u.value + now * (c.value - u.value)
        return Prediction(guided, c.kind, c.variance, c.renoise_eps, shift)

    combination = Combination(
        combine,
        {"conditional": conditional, "unconditional": unconditional},
        name="classifier_free",
        parameters={"scale": float(scale)} | ({} if final_scale is None else {"final_scale": float(final_scale)}),
        start=start,
        end=end,
        fallback="conditional",
        reads_progress=final_scale is not None,
    )
    # Built first, so that a wrong interval is reported at every scale.
    return conditional if scale == 1 and final_scale is None else combination


def _extrapolate(c: Tensor | None, u: Tensor | None, scale: float) -> Tensor | None:
    """u + scale (c - u), where None stands for zero."""
    if c is None:
        return None if u is None else (1 - scale) * u
    return scale * c if u is None else u + scale * (c - u)


class LogGradient(Protocol):
    """The gradient of a log probability at x_t: a noise-aware classifier's, or noised CLIP's similarity."""

    def digest(self) -> str:
        """Identity of all that decides the gradient: weights, label or text, precision."""
        ...

    def __call__(self, x_t: Tensor, step: Step) -> Tensor:
        """grad_{x_t} log p(y | x_t), shaped as x_t; turns gradients on by itself (samplers turn them off)."""
        ...


def gradient_guidance(
    denoiser: Denoiser,
    gradient: LogGradient,
    scale: float,
    start: float = 0.0,
    end: float = 1.0,
) -> Denoiser:
    """Guidance by a gradient g = scale · grad_{x_t} log p(y | x_t), evaluated at x_t.

    Ancestral steps use mean + variance · g, DDIM steps eps - sqrt(1 - alpha_bar) g. Gradients add up over
    nested uses.

    Args:
        denoiser: What is guided.
        gradient: Gives the gradient.
        scale: Strength; 0 returns `denoiser` itself.
        start: First fraction of the steps that is guided.
        end: Fraction of the steps from which it no longer is.

    Raises:
        GlidewireError: If the scale is not finite, the interval is not one, or (when run) the gradient is not
            shaped as x_t.

    Source: Dhariwal & Nichol 2021, Alg. 1 and 2; with noised CLIP: GLIDE (Nichol et al. 2022), eq. 8.
    """
    _check_scale("gradient_guidance", scale)

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        guided = inputs["denoiser"]
        shift = gradient(x_t, step)
        if shift.shape != x_t.shape:
            raise GlidewireError("gradient_guidance: wrong gradient", expected=list(x_t.shape), got=list(shift.shape))
        shift = scale * shift.detach().to(x_t.dtype)
        before = guided.mean_shift
        total = shift if before is None else before + shift
        return Prediction(guided.value, guided.kind, guided.variance, guided.renoise_eps, total)

    combination = Combination(
        combine,
        {"denoiser": denoiser},
        name="gradient_guidance",
        parameters={"gradient": gradient.digest(), "scale": float(scale)},
        start=start,
        end=end,
        reads_progress=False,
    )
    return denoiser if scale == 0 else combination


def known_region(denoiser: Denoiser, known: Tensor, mask: Tensor) -> Denoiser:
    """Paste what is known into every prediction of the clean sample: x_0 = mask · known + (1 - mask) x_0.

    Args:
        denoiser: What paints the rest.
        known: The known sample, broadcastable to x_t, such as "batch channels height width" in [-1, 1].
        mask: 1 where known, 0 where to paint; broadcastable to x_t, such as "batch 1 height width".

    Raises:
        GlidewireError: When run, if either does not broadcast to x_t.

    Source: the inpainting of GLIDE (Nichol et al. 2022), section 2.4; compare Song et al. 2021, appendix I.2.
    """

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        painted = inputs["denoiser"].to("x_0", x_t, step)
        kept, image = (_like(name, tensor, x_t) for name, tensor in (("mask", mask), ("known", known)))
        return painted.with_value(painted.value * (1 - kept) + image * kept)

    parameters = {"known": tensor_digest(known), "mask": tensor_digest(mask)}
    return Combination(combine, {"denoiser": denoiser}, "known_region", parameters, reads_progress=False)


def _like(name: str, tensor: Tensor, x_t: Tensor) -> Tensor:
    try:
        return tensor.to(x_t.device, x_t.dtype).expand_as(x_t)
    except RuntimeError as problem:
        raise GlidewireError(
            f"known_region: {name} does not fit the sample",
            expected=f"a shape that broadcasts to {list(x_t.shape)}",
            got=list(tensor.shape),
        ) from problem
