from __future__ import annotations

import itertools

import pytest
import torch
from glidewire.diffusion import schedules
from glidewire.diffusion.prediction import Prediction, Step, learned_range_log_variance
from glidewire.errors import GlidewireError
from hypothesis import given
from hypothesis import strategies as st

SCHEDULE = schedules.squared_cosine(100)
KINDS = ("eps", "x_0", "v")
PAIRS = [*itertools.permutations(KINDS, 2)]


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(index=st.integers(0, 99), pair=st.sampled_from(PAIRS), seed=st.integers(0, 1000))
def test_there_and_back_again(index: int, pair: tuple[str, str], seed: int) -> None:
    step = Step.of(SCHEDULE, index)
    x_t, value = normal(seed, 1, 2, 3), normal(seed + 1, 1, 2, 3)
    there = Prediction(value, pair[0]).to(pair[1], x_t, step)
    again = there.to(pair[0], x_t, step)
    # At either end of the schedule one of the coefficients is small and rounding is divided by it.
    scale = 1 / min(step.alpha_bar, 1 - step.alpha_bar)
    assert torch.allclose(again.value, value, atol=1e-13 * scale)


@given(index=st.integers(0, 99), kind=st.sampled_from(KINDS))
def test_the_three_forms_describe_one_sample(index: int, kind: str) -> None:
    step = Step.of(SCHEDULE, index)
    x_0, eps = normal(1, 1, 2, 3), normal(2, 1, 2, 3)
    signal, noise = step.alpha_bar**0.5, (1 - step.alpha_bar) ** 0.5
    x_t = signal * x_0 + noise * eps
    value = {"eps": eps, "x_0": x_0, "v": signal * eps - noise * x_0}[kind]
    prediction = Prediction(value, kind)
    tolerance = 1e-13 / min(step.alpha_bar, 1 - step.alpha_bar)
    assert torch.allclose(prediction.x_0(x_t, step), x_0, atol=tolerance)
    assert torch.allclose(prediction.eps(x_t, step), eps, atol=tolerance)
    assert torch.allclose(prediction.v(x_t, step), signal * eps - noise * x_0, atol=tolerance)


@pytest.mark.parametrize("pair", PAIRS)
def test_conversion_carries_everything_else_untouched(pair: tuple[str, str]) -> None:
    x_t, *parts = (normal(seed, 1, 2, 3) for seed in range(5))
    start = Prediction(parts[0], pair[0], *parts[1:])
    copies = [part.clone() for part in parts]
    there = start.to(pair[1], x_t, Step.of(SCHEDULE, 40))
    assert there.variance is start.variance
    assert there.renoise_eps is start.renoise_eps
    assert there.mean_shift is start.mean_shift
    assert there.with_value(x_t).variance is start.variance
    assert all(torch.equal(part, copy) for part, copy in zip(parts, copies, strict=True))


def test_converting_to_its_own_kind_costs_nothing() -> None:
    prediction = Prediction(normal(0, 1, 2), "v")
    assert prediction.to("v", normal(1, 1, 2), Step.of(SCHEDULE, 0)) is prediction


def test_unknown_kind_is_named() -> None:
    with pytest.raises(GlidewireError, match="expected eps, x_0 or v; got score"):
        Prediction(normal(0, 1, 2), "eps").to("score", normal(1, 1, 2), Step.of(SCHEDULE, 0))


def test_learned_range_ends_at_its_bounds() -> None:
    raw = torch.tensor([-1.0, 1.0, 0.0, 3.0])
    assert learned_range_log_variance(raw, -4.0, -2.0).tolist() == [-4.0, -2.0, -3.0, 0.0]


def test_steps_walk_from_noise_to_clean() -> None:
    schedule = schedules.respace(schedules.linear(), "10")
    steps = [Step.of(schedule, index) for index in range(10)]
    assert [step.timestep for step in steps] == [*reversed(schedule.timesteps)]
    assert steps[0].alpha_bar_next == 0
    assert steps[-1].alpha_bar_previous == 1
    assert [step.last for step in steps] == [False] * 9 + [True]
    for before, after in itertools.pairwise(steps):
        assert before.alpha_bar_previous == after.alpha_bar
        assert after.alpha_bar_next == before.alpha_bar


def test_signature_of_a_step_does_not_know_the_length_of_the_run() -> None:
    long, short = schedules.respace(schedules.linear(), "10,10,10"), schedules.respace(schedules.linear(), "5,10,10")
    assert Step.of(long, 3).signature() == Step.of(short, 3).signature()
    assert Step.of(long, 3).signature() != Step.of(long, 4).signature()


@pytest.mark.parametrize("index", [-1, 100])
def test_steps_outside_the_schedule(index: int) -> None:
    with pytest.raises(GlidewireError, match=f"expected 0 to 99; got {index}"):
        Step.of(SCHEDULE, index)
