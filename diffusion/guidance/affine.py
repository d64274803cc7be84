"""Sums of weighted differences of predictions: the form of all guidance that is the same in eps, x_0, v and logits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from torch import Tensor

from ..prediction import Prediction

Difference = tuple[float, Prediction, Prediction]
"""(w, a, b), standing for w (a - b)."""


def affine(lead: Prediction, base: Prediction, differences: Iterable[Difference]) -> Prediction:
    """base + sum of w (a - b), of values and of gradients alike.

    Args:
        lead: Whose variance channels and noise to step with the result keeps.
        base: What is added to.
        differences: The terms; every prediction is of one kind, the lead's.
    """
    value, shift = base.value, base.mean_shift
    for weight, a, b in differences:
        value = value + weight * (a.value - b.value)
        shift = _add(shift, weight, a.mean_shift)
        shift = _add(shift, -weight, b.mean_shift)
    return replace(lead, value=value, mean_shift=shift)


def _add(total: Tensor | None, weight: float, shift: Tensor | None) -> Tensor | None:
    """total + weight · shift, where None stands for zero."""
    if shift is None:
        return total
    return weight * shift if total is None else total + weight * shift
