"""Guidance over tokens: which combinations mean something there, and scores in their standard form."""

from __future__ import annotations

from dataclasses import replace

from ...errors import GlidewireError
from ..denoiser import Denoiser
from ..prediction import Prediction
from ..rewriting import leaves


def require_clean_samples(name: str, *denoisers: Denoiser) -> None:
    """Raise a GlidewireError where a network scores tokens: scores imply neither a clean sample nor a noise.

    Args:
        name: The combination, which needs one of both.
        denoisers: What it combines; of expressions every leaf is asked.
    """
    for denoiser in denoisers:
        for leaf in leaves(denoiser):
            if getattr(leaf.network, "prediction", "") == "logits":
                raise GlidewireError(
                    f"{name}: scores of tokens imply neither a clean sample nor a noise",
                    expected="denoisers that predict eps, x_0 or v",
                    got=f"{type(leaf.network).__name__}, which scores tokens",
                    hint="Tokens are guided by combinations of their scores, such as classifier-free guidance.",
                )


def centred(prediction: Prediction) -> Prediction:
    """Scores "batch codes ..." less their mean over the codes of each position; other kinds are left alone.

    A number that is added to all scores of a position means nothing: softmax does not see it. Lengths, angles and
    deviations of scores do, and are therefore those of the one form whose mean is 0 (Aitchison's centred log-ratio).
    """
    if prediction.kind != "logits":
        return prediction
    return replace(prediction, value=prediction.value - prediction.value.mean(dim=1, keepdim=True))
