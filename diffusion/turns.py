"""Denoisers that take turns over the steps of a run."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .denoiser import Combination, Denoiser
from .prediction import Prediction, Step


def _first(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
    return inputs["first"]


def in_turn(first: Denoiser, second: Denoiser, change: float) -> Denoiser:
    """One denoiser in the noisier steps, another one in the rest; neither is evaluated in the other's steps.

    Args:
        first: For the steps before `change`.
        second: For the others.
        change: Fraction of the steps at which the second takes over; 0 leaves all to it, 1 leaves none.

    Raises:
        GlidewireError: A fraction outside of [0, 1].

    Source: Balaji et al. 2022 (eDiff-I, 2211.01324), section 4.1; Lee et al. 2022 (Karlo) for the last step.
    """
    return Combination(
        _first, {"first": first}, "in_turn", start=0.0, end=change, reads_progress=False, otherwise=second
    )
