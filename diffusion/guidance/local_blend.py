"""Keeping a source picture outside of the words that are edited (prompt-to-prompt's local blend)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from ...errors import GlidewireError
from ..attention_maps import blended, word_mask
from ..denoiser import Combination, Denoiser
from ..prediction import Prediction, Step
from .scales import check_fraction

WORDS = "words"
"""What predictions carry: where words act, "prompts words rows columns"."""


def local_blend(
    denoiser: Denoiser,
    threshold: float = 0.3,
    subtracted_threshold: float = 0.3,
    start: float = 0.2,
) -> Denoiser:
    """x_0 and the noise to step with are the source's outside of a mask: x_{t-1} = x_source + m (x - x_source).

    m is where the words of the source or of the target act, summed over the steps so far, relative to its maximum
    and above a threshold; less where the second of the words acts, if predictions show two. Exact for DDIM steps
    without clipping: they are linear in x_0 and the noise.

    Args:
        denoiser: A source and its targets in one batch, whose predictions show the words (`WORDS`).
        threshold: Of the words that are edited.
        subtracted_threshold: Of those whose region is left out.
        start: First fraction of the run in which it acts; maps are summed before, too.

    Raises:
        GlidewireError: If a fraction is outside [0, 1]; when run, if predictions show no words.

    Source: Hertz et al. 2022 (prompt-to-prompt), section 3, local editing, and its published code.
    """
    for what, fraction in {
        "threshold": threshold,
        "subtracted_threshold": subtracted_threshold,
        "start": start,
    }.items():
        check_fraction("local_blend", what, fraction)

    def remember(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step, before: Tensor | None) -> Tensor:
        shown = inputs["denoiser"].observed.get(WORDS)
        if shown is None:
            raise GlidewireError("local_blend: predictions do not show where words act", expected=WORDS, got="nothing")
        return shown if before is None else before + shown

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        prediction = inputs["denoiser"]
        if step.index < int(start * step.total):
            return prediction
        sums, size = inputs["memory"].value.to(x_t), (x_t.shape[-2], x_t.shape[-1])
        mask = word_mask(sums[:, :1], size, threshold)
        if sums.shape[1] > 1:
            mask = mask & ~word_mask(sums[:, 1:2], size, subtracted_threshold, widen=False)
        eps = prediction.eps(x_t, step) if prediction.renoise_eps is None else prediction.renoise_eps
        x_0 = prediction.x_0(x_t, step)
        return replace(prediction, value=blended(x_0, mask), kind="x_0", renoise_eps=blended(eps, mask))

    parameters = {"threshold": float(threshold), "subtracted": float(subtracted_threshold), "start": float(start)}
    return Combination(combine, {"denoiser": denoiser}, "local_blend", parameters, remember=remember)
