"""A guidance scale that reads how far apart two predictions are: MAMBO-G."""

from __future__ import annotations

from torch import Tensor

from ...errors import GlidewireError
from ..denoiser import Denoiser
from ..prediction import Prediction, Step
from .classifier_free import of_pair
from .rows import norm, ratio
from .scales import Scale, changes, checked, scale_at, scale_parameters
from .scores import centred


def magnitude_aware(
    conditional: Denoiser,
    unconditional: Denoiser,
    scale: Scale,
    damping: float = 8.0,
    start: float = 0.0,
    end: float = 1.0,
) -> Denoiser:
    """MAMBO-G: p = u + (1 + (scale - 1) exp(-damping |c - u| / |u|)) (c - u), norms of one item.

    Where the condition changes the prediction much, as in the first steps, guidance is held back. In the
    conditional's own parametrisation; of tokens it combines centred logits. Variance channels, gradients and the
    noise to step with are the conditional's.

    Args:
        conditional: c, under the wanted condition.
        unconditional: u, under the empty (or a negative) condition.
        scale: Strength where the predictions agree; 1 returns the conditional itself.
        damping: 0 or more; 0 is classifier-free guidance.
        start: First fraction of the steps that is guided; outside the interval the conditional passes through.
        end: Fraction of the steps from which it no longer is.

    Raises:
        GlidewireError: If a scale is not finite, the damping is below 0, or the interval is not one.

    Source: Zhu et al. 2025 (MAMBO-G).
    """
    scale = checked("magnitude_aware", scale)
    if not damping >= 0:
        raise GlidewireError("magnitude_aware: impossible damping", expected="0 or more", got=damping)

    def guide(c: Prediction, u: Prediction, x_t: Tensor, step: Step) -> Prediction:
        c, u = centred(c), centred(u)
        difference = c.value - u.value
        held = (-damping * ratio(norm(difference), norm(u.value), 0.0)).exp().to(difference.dtype)
        return c.with_value(u.value + (1 + (scale_at(scale, step) - 1) * held) * difference)

    pair = {"conditional": conditional, "unconditional": unconditional}
    parameters = {**scale_parameters(scale), "damping": float(damping)}
    combination = of_pair(guide, "magnitude_aware", pair, parameters, start, end, changes(scale))
    return conditional if scale == 1 else combination
