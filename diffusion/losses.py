"""What a denoiser with learned variance is trained on: the forward process and the hybrid loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .prediction import learned_range_log_variance
from .schedules import NoiseSchedule


def _at(table: Tensor, indices: Tensor, like: Tensor) -> Tensor:
    """Entries of a float64 table at [batch] indices, in the dtype of `like`, shaped to broadcast over it."""
    values = table.to(like.dtype).to(like.device)[indices.to(like.device)]
    return values.reshape(-1, *[1] * (like.ndim - 1))


def q_sample(x_0: Tensor, timesteps: Tensor, noise: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Noise clean images: x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise.

    Args:
        x_0: Clean images, "batch channels height width" in [-1, 1] (any trailing shape will do).
        timesteps: "batch", integer indices into the schedule.
        noise: Standard normal, shaped as `x_0`.
        schedule: The training schedule.

    Returns:
        x_t, shaped as `x_0`.

    Source: Ho et al. 2020, eq. 4.
    """
    signal = _at(schedule.alpha_bar.sqrt(), timesteps, x_0)
    return signal * x_0 + _at((1 - schedule.alpha_bar).sqrt(), timesteps, x_0) * noise


def velocity(x_0: Tensor, timesteps: Tensor, noise: Tensor, schedule: NoiseSchedule) -> Tensor:
    """What a network that predicts v is trained on: v = sqrt(alpha_bar_t) noise - sqrt(1 - alpha_bar_t) x_0.

    Args:
        x_0: Clean samples, "batch ..." of any trailing shape.
        timesteps: "batch", integer indices into the schedule.
        noise: Standard normal, shaped as `x_0`.
        schedule: The training schedule.

    Returns:
        v, shaped as `x_0`.

    Source: Salimans & Ho 2022, section 4.
    """
    signal = _at(schedule.alpha_bar.sqrt(), timesteps, x_0)
    return signal * noise - _at((1 - schedule.alpha_bar).sqrt(), timesteps, x_0) * x_0


def hybrid_loss(
    output: Tensor,
    x_0: Tensor,
    x_t: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    schedule: NoiseSchedule,
    vlb_weight: float = 1e-3,
) -> dict[str, Tensor]:
    """The hybrid loss L = |noise - eps|^2 + vlb_weight · L_vlb, which also trains the variance channels.

    The mean is detached inside L_vlb, so that only the variance learns from it.

    Args:
        output: Raw network output, "batch 2·channels height width": eps, then the variance channels, where -1
            stands for the posterior's variance and 1 for beta.
        x_0: Clean images, "batch channels height width" in [-1, 1].
        x_t: Their noised form, from `q_sample`.
        noise: The noise in x_t.
        timesteps: "batch", integer indices into the schedule.
        schedule: The training schedule.
        vlb_weight: Weight of the variational bound.

    Returns:
        Per item, each "batch": "mse" (mean square error of eps), "vlb" (one-sample estimate of the whole
        bound, steps · L_t, in bits per dimension), "total".

    Source: Nichol & Dhariwal 2021, eq. 15 and 16.
    """
    output, x_0, x_t, noise = output.float(), x_0.float(), x_t.float(), noise.float()
    eps, raw_variance = output.chunk(2, dim=1)
    mse = (eps - noise).square().flatten(1).mean(1)
    vlb = len(schedule) * _variational_term(eps.detach(), raw_variance, x_0, x_t, timesteps, schedule)
    return {"mse": mse, "vlb": vlb, "total": mse + vlb_weight * vlb}


def _variational_term(
    eps: Tensor, raw_variance: Tensor, x_0: Tensor, x_t: Tensor, timesteps: Tensor, schedule: NoiseSchedule
) -> Tensor:
    """L_{t-1} = KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)), at t = 0 the likelihood of the pixels.

    In bits per dimension, "batch". Source: Nichol & Dhariwal 2021, eq. 5 to 7 and 15.
    """

    def at(table: Tensor) -> Tensor:
        return _at(table, timesteps, x_t)

    predicted = at((1 / schedule.alpha_bar).sqrt()) * x_t - at((1 / schedule.alpha_bar - 1).sqrt()) * eps
    coefficient = at(schedule.posterior_mean_x_0)
    mean = coefficient * predicted + at(schedule.posterior_mean_x_t) * x_t
    posterior_log_variance = at(schedule.posterior_log_variance_clipped)
    log_variance = learned_range_log_variance(raw_variance, posterior_log_variance, at(schedule.betas.log()))
    # The two means differ by coefficient · (x_0 - predicted): subtracting them would lose digits.
    difference = coefficient * (x_0 - predicted)
    divergence = 0.5 * (
        log_variance
        - posterior_log_variance
        - 1
        + (posterior_log_variance - log_variance).exp()
        + difference.square() * (-log_variance).exp()
    )
    first = (timesteps.to(x_t.device) == 0).reshape(-1, *[1] * (x_t.ndim - 1))
    nats = torch.where(first, -_pixel_log_likelihood(x_0, mean, log_variance), divergence)
    return nats.flatten(1).mean(1) / math.log(2)


def _pixel_log_likelihood(x_0: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log of the normal's mass in the bin of width 2/255 around x_0; the outer bins reach to infinity.

    Source: Ho et al. 2020, eq. 13.
    """
    deviation = (0.5 * log_variance).exp()
    above = torch.special.ndtr((x_0 - mean + 1 / 255) / deviation)
    below = torch.special.ndtr((x_0 - mean - 1 / 255) / deviation)
    above = torch.where(x_0 > 0.999, torch.ones_like(above), above)
    below = torch.where(x_0 < -0.999, torch.zeros_like(below), below)
    return (above - below).clamp(min=1e-12).log()
