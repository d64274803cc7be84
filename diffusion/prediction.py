"""What a network says about x_t, in any of its three parametrisations, and the step it says it at."""

from __future__ import annotations

from torch import Tensor


def learned_range_log_variance(
    raw_variance: Tensor, log_minimum: Tensor | float, log_maximum: Tensor | float
) -> Tensor:
    """log variance = f log(beta) + (1 - f) log(beta~), with f = (v + 1) / 2.

    Args:
        raw_variance: The network's variance channels v, about [-1, 1], not clamped; any shape.
        log_minimum: log beta~ (the posterior's variance).
        log_maximum: log beta.

    Returns:
        Log variance, shaped as `raw_variance`.

    Source: Nichol & Dhariwal 2021, eq. 15.
    """
    fraction = (raw_variance + 1) / 2
    return fraction * log_maximum + (1 - fraction) * log_minimum
