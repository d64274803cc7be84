"""Guidance away from a worse version of a prediction that is made inside of the network itself."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..denoiser import Combination, Denoiser
from ..prediction import Prediction, Step
from .affine import affine
from .scales import Scale, changes, checked, scale_at, scale_parameters


def perturbed(
    guided: Denoiser, conditional: Denoiser, worse: Denoiser, scale: Scale, start: float = 0.0, end: float = 1.0
) -> Denoiser:
    """eps = g + scale (c - w): a guided prediction, moved away from a worse one.

    With g = c it is guidance by the perturbation alone: c + s (c - w).

    Args:
        guided: g, such as classifier-free guidance; or c itself.
        conditional: c, under the condition.
        worse: w, the same network under the same condition with its attention perturbed.
        scale: s; 0 returns `guided` itself; 3 was published for perturbed attention.
        start: First fraction of the steps in which it acts; `guided` stands alone elsewhere.
        end: Fraction of the steps from which it no longer does.

    Raises:
        GlidewireError: If a scale is not finite or the interval is not one.

    Source: Ahn et al. 2024 (PAG); Hong et al. 2022 (SAG); Hyung et al. 2024 (STG).
    """
    scale = checked("perturbed", scale)

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        g = inputs["guided"]
        c, w = (inputs[name].to(g.kind, x_t, step) for name in ("conditional", "worse"))
        return affine(g, g, [(scale_at(scale, step), c, w)])

    inputs = {"guided": guided, "conditional": conditional, "worse": worse}
    combination = Combination(
        combine, inputs, "perturbed", scale_parameters(scale), start, end, reads_progress=changes(scale)
    )
    return guided if scale == 0 else combination
