from __future__ import annotations

import math

import pytest
import torch
from glidewire.diffusion import losses, schedules

SCHEDULE = schedules.squared_cosine(50)


def batch(count: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x_0 = (torch.randint(0, 256, (count, 2, 4, 4), generator=generator) / 127.5) - 1
    noise = torch.randn(x_0.shape, generator=generator)
    return x_0, noise, torch.randint(0, len(SCHEDULE), (count,), generator=generator)


def test_q_sample_moves_from_signal_to_noise() -> None:
    x_0, noise, _ = batch()
    little = losses.q_sample(x_0, torch.zeros(6, dtype=torch.long), noise, SCHEDULE)
    much = losses.q_sample(x_0, torch.full((6,), len(SCHEDULE) - 1), noise, SCHEDULE)
    assert (little - x_0).abs().max() < 0.3
    assert (much - noise).abs().max() < 0.05


def test_q_sample_undone_by_its_own_noise() -> None:
    x_0, noise, timesteps = batch()
    x_t = losses.q_sample(x_0.double(), timesteps, noise.double(), SCHEDULE)
    alpha_bar = SCHEDULE.alpha_bar[timesteps].reshape(-1, 1, 1, 1)
    again = (x_t - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()
    assert torch.allclose(again, x_0.double(), atol=1e-9)


def test_each_term_is_the_divergence_of_two_normals() -> None:
    """Independent judge: torch.distributions on the posterior and the predicted normal, in float64."""
    x_0, noise, _ = batch()
    timesteps = torch.tensor([1, 7, 20, 33, 45, 49])
    x_t = losses.q_sample(x_0, timesteps, noise, SCHEDULE)
    output = torch.randn(6, 4, 4, 4, generator=torch.Generator().manual_seed(3)) * 0.5
    got = losses.hybrid_loss(output, x_0, x_t, noise, timesteps, SCHEDULE)

    def at(table: torch.Tensor) -> torch.Tensor:
        return table[timesteps].reshape(-1, 1, 1, 1)

    eps, raw = output.double().chunk(2, 1)
    predicted = (x_t - at(1 - SCHEDULE.alpha_bar).sqrt() * eps) / at(SCHEDULE.alpha_bar).sqrt()
    fraction = (raw + 1) / 2
    log_variance = fraction * at(SCHEDULE.betas).log() + (1 - fraction) * at(SCHEDULE.posterior_variance).log()

    def posterior(x: torch.Tensor, deviation: torch.Tensor) -> torch.distributions.Normal:
        mean = at(SCHEDULE.posterior_mean_x_0) * x + at(SCHEDULE.posterior_mean_x_t) * x_t
        return torch.distributions.Normal(mean, deviation)

    true = posterior(x_0.double(), at(SCHEDULE.posterior_variance).sqrt().expand_as(raw))
    model = posterior(predicted, (0.5 * log_variance).exp())
    nats = torch.distributions.kl_divergence(true, model).flatten(1).mean(1)
    assert torch.allclose(got["vlb"].double(), len(SCHEDULE) * nats / math.log(2), rtol=1e-4)
    assert torch.allclose(got["total"], got["mse"] + 1e-3 * got["vlb"])


def test_the_first_step_is_the_likelihood_of_the_pixels() -> None:
    """The 256 bins of a pixel share all the mass of the normal, so their likelihoods add to one."""
    levels = (torch.arange(256, dtype=torch.float64) / 127.5 - 1).reshape(-1, 1, 1, 1)
    mean, log_variance = torch.full_like(levels, 0.1), torch.full_like(levels, 2 * math.log(0.05))
    mass = losses._pixel_log_likelihood(levels, mean, log_variance).exp()
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-9)
    assert mass.flatten().argmax().item() == round((0.1 + 1) * 127.5)


def test_perfect_prediction_of_the_posterior_costs_nothing() -> None:
    x_0, noise, _ = batch()
    timesteps = torch.tensor([1, 7, 20, 33, 45, 48])
    x_t = losses.q_sample(x_0, timesteps, noise, SCHEDULE)
    perfect = losses.hybrid_loss(torch.cat([noise, -torch.ones_like(noise)], 1), x_0, x_t, noise, timesteps, SCHEDULE)
    assert perfect["mse"].abs().max() == 0
    assert perfect["vlb"].abs().max() < 1e-3


def test_the_bound_trains_the_variance_and_never_the_mean() -> None:
    x_0, noise, timesteps = batch()
    timesteps[0] = 0
    x_t = losses.q_sample(x_0, timesteps, noise, SCHEDULE)
    output = torch.zeros(6, 4, 4, 4, requires_grad=True)
    losses.hybrid_loss(output, x_0, x_t, noise, timesteps, SCHEDULE)["vlb"].sum().backward()
    assert output.grad is not None
    assert bool((output.grad[:, :2] == 0).all())
    assert bool((output.grad[:, 2:] != 0).any())
    assert bool(output.grad.isfinite().all())


def test_items_do_not_see_each_other() -> None:
    x_0, noise, timesteps = batch()
    x_t = losses.q_sample(x_0, timesteps, noise, SCHEDULE)
    output = torch.randn(6, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    whole = losses.hybrid_loss(output, x_0, x_t, noise, timesteps, SCHEDULE)["total"]
    alone = losses.hybrid_loss(output[2:3], x_0[2:3], x_t[2:3], noise[2:3], timesteps[2:3], SCHEDULE)["total"]
    assert torch.allclose(whole[2:3], alone)


def test_velocity_gives_sample_and_noise_back() -> None:
    x_0, noise, timesteps = batch()
    x_0, noise = x_0.double(), noise.double()
    x_t = losses.q_sample(x_0, timesteps, noise, SCHEDULE)
    v = losses.velocity(x_0, timesteps, noise, SCHEDULE)
    alpha_bar = SCHEDULE.alpha_bar[timesteps].reshape(-1, 1, 1, 1)
    assert torch.allclose(alpha_bar.sqrt() * x_t - (1 - alpha_bar).sqrt() * v, x_0)
    assert torch.allclose((1 - alpha_bar).sqrt() * x_t + alpha_bar.sqrt() * v, noise)
