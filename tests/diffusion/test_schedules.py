from __future__ import annotations

import pytest
import torch
from glidewire.diffusion import schedules
from glidewire.errors import GlidewireError
from hypothesis import given
from hypothesis import strategies as st

PUBLISHED_NAMES = {
    "alphas_cumprod": "alpha_bar",
    "betas": "betas",
    "posterior_log_variance_clipped": "posterior_log_variance_clipped",
    "posterior_mean_coef1": "posterior_mean_x_0",
    "posterior_mean_coef2": "posterior_mean_x_t",
    "posterior_variance": "posterior_variance",
}


def named_schedule(name: str, part: str) -> tuple[schedules.NoiseSchedule, str]:
    """The schedule of a golden entry such as ("linear300", "10-15-20"), before respacing, and the spacing."""
    base = name.rstrip("0123456789") if name not in schedules.SCHEDULES else name
    steps = int(name[len(base) :] or 1000)
    if part.startswith("steps"):
        steps, part = int(part.removeprefix("steps")), "full"
    return schedules.SCHEDULES[base](steps), "" if part == "full" else part.replace("-", ",")


def test_every_golden_schedule(parity) -> None:
    case = parity("glide_schedules")
    assert case.outputs
    for key, expected in case.outputs.items():
        name, part, quantity = key.split("/")
        schedule = schedules.respace(*named_schedule(name, part))
        if quantity == "timesteps":
            assert list(schedule.timesteps) == expected.tolist(), key
        else:
            case.assert_close(key, getattr(schedule, PUBLISHED_NAMES[quantity]))


def test_fast27_is_not_its_sections() -> None:
    full = schedules.squared_cosine()
    fast, sections = schedules.respace(full, "fast27"), schedules.respace(full, "10,10,3,2,2")
    assert fast.timesteps[-1] == 997
    assert sections.timesteps[-1] == 999
    assert fast.timesteps[:-1] == sections.timesteps[:-1]


def test_scaled_linear_ends() -> None:
    betas = schedules.scaled_linear().betas
    assert betas[0].item() == pytest.approx(0.00085, rel=1e-12)
    assert betas[-1].item() == pytest.approx(0.012, rel=1e-12)


@given(steps=st.integers(1, 400), count=st.integers(1, 400))
def test_a_plain_count_keeps_exactly_that_many_or_says_why(steps: int, count: int) -> None:
    if count > steps:
        with pytest.raises(GlidewireError, match=f"at most {steps}"):
            schedules.kept_indices(steps, str(count))
        return
    kept = schedules.kept_indices(steps, str(count))
    assert len(set(kept)) == count
    assert list(kept) == sorted(kept)
    assert kept[0] == 0
    assert count == 1 or kept[-1] == steps - 1


@given(counts=st.lists(st.integers(1, 8), min_size=1, max_size=6), steps=st.integers(1, 120))
def test_sections_never_overlap(counts: list[int], steps: int) -> None:
    try:
        kept = schedules.kept_indices(steps, ",".join(map(str, counts)))
    except GlidewireError:
        assert any(count > steps // len(counts) for count in counts)
        return
    assert len(set(kept)) == sum(counts)
    assert max(kept) < steps


@given(st.text(max_size=12))
def test_any_text_is_a_spacing_or_our_error(text: str) -> None:
    try:
        kept = schedules.kept_indices(50, text)
    except GlidewireError as problem:
        assert repr(text) in str(problem)
    else:
        assert set(kept) <= set(range(50))


@given(count=st.integers(2, 200))
def test_respacing_keeps_the_signal_and_its_product(count: int) -> None:
    full = schedules.linear(400)
    kept = schedules.respace(full, str(count))
    assert torch.equal(kept.alpha_bar, full.alpha_bar[list(kept.timesteps)])
    assert torch.allclose(torch.cumprod(1 - kept.betas, 0), kept.alpha_bar, rtol=1e-9, atol=0)
    assert bool((kept.posterior_variance <= kept.betas).all())


def test_respacing_twice_keeps_original_ids() -> None:
    once = schedules.respace(schedules.linear(1000), "100")
    twice = schedules.respace(once, "10")
    assert set(twice.timesteps) <= set(once.timesteps)


def test_impossible_stride_is_explained() -> None:
    with pytest.raises(GlidewireError, match=r"'ddim400'.*integer stride over 1000 steps.*got 400"):
        schedules.respace(schedules.linear(), "ddim400")


@pytest.mark.parametrize("steps", [3, 14])
def test_fast27_needs_enough_steps(steps: int) -> None:
    with pytest.raises(GlidewireError, match="impossible"):
        schedules.kept_indices(steps, "fast27")


def test_equal_schedules_are_equal_keys() -> None:
    assert schedules.linear(40) == schedules.linear(40)
    assert hash(schedules.linear(40)) == hash(schedules.linear(40))
    assert schedules.linear(40).signature() != schedules.linear(40, end=0.0200000001).signature()
    assert schedules.linear(40) != schedules.respace(schedules.linear(40), "39")


def test_a_schedule_does_not_follow_its_callers_tensor() -> None:
    mine = torch.tensor([0.9, 0.5], dtype=torch.float64)
    schedule = schedules.NoiseSchedule((0, 1), mine)
    mine.zero_()
    assert schedule.alpha_bar.tolist() == [0.9, 0.5]


def test_one_step_has_finite_variance() -> None:
    one = schedules.respace(schedules.linear(), "1")
    assert bool(one.posterior_log_variance_clipped.isfinite().all())


@pytest.mark.parametrize(
    ("timesteps", "alpha_bar", "words"),
    [
        ((0, 1), [0.5], "2 timesteps"),
        ((), [], "do not fit"),
        ((1, 0), [0.9, 0.5], "must increase"),
        ((0, 1), [0.5, 0.9], "never increase"),
        ((0, 1), [1.5, 0.9], r"\[0, 1\]"),
        ((0, 1), [0.5, float("nan")], r"\[0, 1\]"),
    ],
)
def test_impossible_schedules(timesteps: tuple[int, ...], alpha_bar: list[float], words: str) -> None:
    with pytest.raises(GlidewireError, match=words):
        schedules.NoiseSchedule(timesteps, torch.tensor(alpha_bar, dtype=torch.float64))


@pytest.mark.parametrize("make", [*schedules.SCHEDULES.values()])
def test_no_steps_is_an_error(make) -> None:
    with pytest.raises(GlidewireError, match="at least 1"):
        make(0)


def test_linear_over_too_few_steps_names_the_range() -> None:
    with pytest.raises(GlidewireError, match=r"5 steps.*beta <= 1; got 0.02 to 4"):
        schedules.linear(5)


def test_the_last_step_may_arrive_before_the_clean_sample() -> None:
    alpha_bar = torch.tensor([0.9, 0.5], dtype=torch.float64)
    schedule = schedules.NoiseSchedule((0, 1), alpha_bar, clean_alpha_bar=0.95)
    assert schedule.alpha_bar_previous.tolist() == [0.95, 0.9]
    assert schedule != schedules.NoiseSchedule((0, 1), alpha_bar)
    assert schedules.respace(schedule, "1").clean_alpha_bar == 0.95
    with pytest.raises(GlidewireError, match=r"impossible clean_alpha_bar; expected 0.9 to 1; got 0.8"):
        schedules.NoiseSchedule((0, 1), alpha_bar, clean_alpha_bar=0.8)
