from __future__ import annotations

import math

import pytest
import torch
from glidewire.diffusion import schedules, solvers
from glidewire.diffusion.prediction import Prediction, Step
from glidewire.errors import GlidewireError
from hypothesis import given
from hypothesis import strategies as st

SCHEDULE = schedules.squared_cosine(30)
STEPS = st.integers(1, 28).map(lambda index: Step.of(SCHEDULE, index))


def normal(seed: int) -> torch.Tensor:
    return torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(step=STEPS)
def test_ancestral_without_learned_variance_is_ddim_with_eta_one(step: Step) -> None:
    """Song et al. 2021, section 4.1: eta = 1 has the posterior's own variance and mean."""
    x_t, noise = normal(1), normal(3)
    prediction = Prediction(normal(2), "eps")
    one, x_0 = solvers.ancestral_step(x_t, prediction, step, noise)
    other, x_0_again = solvers.ddim_step(x_t, prediction, step, noise, eta=1.0)
    assert torch.allclose(one, other, atol=1e-9)
    assert torch.equal(x_0, x_0_again)


@given(step=STEPS)
def test_renoising_with_the_implied_noise_changes_nothing(step: Step) -> None:
    x_t, eps, noise = normal(1), normal(2), normal(3)
    plain, explicit = Prediction(eps, "eps"), Prediction(eps, "eps", renoise_eps=eps)
    for solver in (solvers.ancestral(clip=False), solvers.ddim(0.5, clip=False)):
        one, _ = solver.advance(x_t, plain, step, noise)
        other, _ = solver.advance(x_t, explicit, step, noise)
        assert torch.allclose(one, other, atol=1e-9)


@given(step=STEPS)
def test_inversion_undoes_a_step_when_the_noise_is_the_same(step: Step) -> None:
    x_t, eps = normal(1), Prediction(normal(2), "eps")
    x_next, _ = solvers.ddim_step(x_t, eps, step, clip=False)
    back, _ = solvers.ddim_inverse_step(x_next, eps, Step.of(SCHEDULE, step.index + 1))
    assert torch.allclose(back, x_t, atol=1e-9)


@given(step=STEPS)
def test_the_learned_variance_scales_the_noise_between_its_bounds(step: Step) -> None:
    x_t, eps, noise = normal(1), normal(2), torch.ones(2, 3, 4, dtype=torch.float64)

    def spread(raw: float) -> float:
        prediction = Prediction(eps, "eps", variance=torch.full_like(eps, raw))
        with_noise, _ = solvers.ancestral_step(x_t, prediction, step, noise)
        without, _ = solvers.ancestral_step(x_t, prediction, step, 0 * noise)
        return (with_noise - without).mean().item()

    assert spread(1.0) == pytest.approx(math.sqrt(step.beta), rel=1e-9)
    assert spread(-1.0) == pytest.approx(math.exp(0.5 * step.posterior_log_variance), rel=1e-9)


def test_mean_shift_moves_the_mean_by_variance_times_gradient() -> None:
    step, x_t, eps, gradient = Step.of(SCHEDULE, 9), normal(1), normal(2), normal(4)
    raw, zero = torch.zeros_like(eps), torch.zeros_like(eps)
    plain, _ = solvers.ancestral_step(x_t, Prediction(eps, "eps", raw), step, zero)
    shifted, _ = solvers.ancestral_step(x_t, Prediction(eps, "eps", raw, mean_shift=gradient), step, zero)
    variance = math.exp(0.5 * (math.log(step.beta) + step.posterior_log_variance))
    assert torch.allclose(shifted - plain, variance * gradient, atol=1e-12)


def test_mean_shift_in_ddim_is_another_eps() -> None:
    step, x_t, eps, gradient = Step.of(SCHEDULE, 9), normal(1), normal(2), normal(4)
    shifted = solvers.ddim_step(x_t, Prediction(eps, "eps", mean_shift=gradient), step, clip=False)
    moved = Prediction(eps - math.sqrt(1 - step.alpha_bar) * gradient, "eps")
    expected = solvers.ddim_step(x_t, moved, step, clip=False)
    assert torch.allclose(shifted[0], expected[0], atol=1e-12)
    assert torch.allclose(shifted[1], expected[1], atol=1e-12)


@pytest.mark.parametrize(("clip", "bound"), [(True, 1.0), (0.3, 0.3), (2, 2.0), (False, math.inf)])
@pytest.mark.parametrize("make", [*solvers.SOLVERS.values()])
def test_clip_bounds_the_clean_sample(make, clip: bool | float, bound: float) -> None:
    step = Step.of(SCHEDULE, 9)
    _, x_0 = make(clip=clip).advance(normal(1), Prediction(3 * normal(2), "x_0"), step, normal(3))
    assert x_0.abs().max() == min(bound, 3 * normal(2).abs().max())


@pytest.mark.parametrize("make", [*solvers.SOLVERS.values()])
def test_the_last_step_adds_no_noise_and_ends_at_the_clean_sample(make) -> None:
    step = Step.of(SCHEDULE, 29)
    x_next, x_0 = make().advance(normal(1), Prediction(normal(2), "eps"), step, None)
    assert torch.allclose(x_next, x_0, atol=1e-12)


@pytest.mark.parametrize("make", [*solvers.SOLVERS.values()])
def test_inputs_are_left_alone(make) -> None:
    tensors = [normal(seed) for seed in range(6)]
    copies = [tensor.clone() for tensor in tensors]
    x_t, noise, value, variance, renoise, shift = tensors
    make().advance(x_t, Prediction(value, "eps", variance, renoise, shift), Step.of(SCHEDULE, 9), noise)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(tensors, copies, strict=True))


def test_missing_noise_is_named() -> None:
    with pytest.raises(GlidewireError, match="step 9 of 30 adds noise, and none was given"):
        solvers.ancestral_step(normal(1), Prediction(normal(2), "eps"), Step.of(SCHEDULE, 9), None)
    with pytest.raises(GlidewireError, match="step 9 of 30 adds noise"):
        solvers.ddim(0.1).advance(normal(1), Prediction(normal(2), "eps"), Step.of(SCHEDULE, 9), None)


def test_signatures_name_every_parameter() -> None:
    made = [solvers.ancestral(), solvers.ancestral(False), solvers.ancestral(0.5), solvers.ddim(), solvers.ddim(0.1)]
    assert len({solver.signature() for solver in [*made, solvers.ddim(clip=False)]}) == 6
    assert solvers.ddim(0.0).signature() == solvers.ddim(0, True).signature()


@pytest.mark.parametrize("eta", [-0.1, 1.1, math.nan])
def test_impossible_eta(eta: float) -> None:
    with pytest.raises(GlidewireError, match="ddim: impossible eta; expected 0 to 1"):
        solvers.ddim(eta)


@pytest.mark.parametrize("clip", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", [*solvers.SOLVERS])
def test_impossible_clip(name: str, clip: float) -> None:
    with pytest.raises(GlidewireError, match=f"{name}: impossible clip"):
        solvers.SOLVERS[name](clip=clip)
