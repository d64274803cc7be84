"""CFG-Zero*: the unconditional at its best length, and no move in the first steps."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import GlidewireError
from ..denoiser import Denoiser
from ..prediction import Prediction, Step
from .affine import affine
from .classifier_free import of_pair
from .rows import dot
from .scales import Scale, changes, checked, scale_at, scale_parameters
from .scores import centred, require_clean_samples

_TINY = 1e-8


def zero_star(
    conditional: Denoiser,
    unconditional: Denoiser,
    scale: Scale,
    zero_steps: int = 0,
    start: float = 0.0,
    end: float = 1.0,
) -> Denoiser:
    """CFG-Zero*: p = a u + scale (c - a u), with a = <c, u> / |u|^2 of one item; 0 in the first steps.

    In the conditional's own parametrisation: made for velocities, where a prediction of 0 leaves x_t in its
    place; of tokens it combines centred logits, without zero steps. Gradients extrapolate as in classifier-free
    guidance; variance channels are the conditional's.

    Args:
        conditional: c, under the wanted condition.
        unconditional: u, under the empty (or a negative) condition.
        scale: Strength; 1 returns the conditional itself where no step is 0.
        zero_steps: How many of the run's first steps predict 0.
        start: First fraction of the steps that is guided; outside the interval the conditional passes through.
        end: Fraction of the steps from which it no longer is.

    Raises:
        GlidewireError: If a scale is not finite, there are fewer than 0 zero steps (or some, over tokens), or the
            interval is not one.

    Source: Fan et al. 2025 (CFG-Zero*): the optimised scale, and zero-init.
    """
    scale = checked("zero_star", scale)
    if zero_steps < 0:
        raise GlidewireError("zero_star: impossible number of zero steps", expected="0 or more", got=zero_steps)
    if zero_steps:
        require_clean_samples("zero_star with zero steps", conditional, unconditional)

    def guide(c: Prediction, u: Prediction, x_t: Tensor, step: Step) -> Prediction:
        if step.index < zero_steps:
            return c.with_value(torch.zeros_like(c.value))
        c, u = centred(c), centred(u)
        length = (dot(c.value, u.value) / (dot(u.value, u.value) + _TINY)).to(c.value.dtype)
        u = u.with_value(length * u.value)
        return affine(c, u, [(scale_at(scale, step), c, u)])

    pair = {"conditional": conditional, "unconditional": unconditional}
    parameters = {**scale_parameters(scale), "zero_steps": zero_steps}
    combination = of_pair(guide, "zero_star", pair, parameters, start, end, bool(zero_steps) or changes(scale))
    return conditional if scale == 1 and not zero_steps else combination
