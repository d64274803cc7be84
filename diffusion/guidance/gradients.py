"""Guidance by a gradient of a log probability: classifiers, and noised CLIP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from torch import Tensor

from ...errors import GlidewireError
from ..denoiser import Combination, Denoiser, Measure
from ..prediction import Prediction, Step
from .predicted import PredictedGradient
from .scales import Scale, changes, checked, scale_at, scale_parameters
from .scores import require_clean_samples


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
    scale: Scale,
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
        GlidewireError: If a scale is not finite, the interval is not one, a network scores tokens, or (when run) the
            gradient is not shaped as x_t.

    Source: Dhariwal & Nichol 2021, Alg. 1 and 2; with noised CLIP: GLIDE (Nichol et al. 2022), eq. 8.
    """
    scale = checked("gradient_guidance", scale)
    require_clean_samples("gradient_guidance", denoiser)

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        guided = inputs["denoiser"]
        if isinstance(gradient, PredictedGradient):
            shift = gradient.of(denoiser, guided, x_t, step)
        else:
            shift = gradient(x_t, step)
        if shift.shape != x_t.shape:
            raise GlidewireError("gradient_guidance: wrong gradient", expected=list(x_t.shape), got=list(shift.shape))
        shift = scale_at(scale, step) * shift.detach().to(x_t.dtype)
        before = guided.mean_shift
        total = shift if before is None else before + shift
        return replace(guided, mean_shift=total)

    combination = Combination(
        combine,
        {"denoiser": denoiser},
        name="gradient_guidance",
        parameters={"gradient": gradient.digest(), **scale_parameters(scale)},
        start=start,
        end=end,
        reads_progress=changes(scale),
        measure=getattr(gradient, "measure", None),
    )
    return denoiser if scale == 0 else combination


def watched(denoiser: Denoiser, measure: Measure, identity: str) -> Denoiser:
    """The same denoiser, of whose answer something is measured where somebody inspects a step.

    Args:
        denoiser: What is watched; its predictions are passed on as they are.
        measure: What is measured.
        identity: Of the measure: its weights and texts.
    """

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        return inputs["denoiser"]

    return Combination(
        combine,
        {"denoiser": denoiser},
        name="watched",
        parameters={"measure": identity},
        reads_progress=False,
        measure=measure,
    )
