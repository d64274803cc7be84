from __future__ import annotations

import pytest
import torch
from glidewire.diffusion import continuous_time
from glidewire.errors import GlidewireError
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 60), st.floats(0.2, 1), st.floats(0, 0.1))
def test_continuous_times_leave_the_start_out(steps: int, start: float, end: float) -> None:
    schedule = continuous_time.continuous_cosine(steps, start, end)
    assert len(schedule) == steps
    assert all(end < time < start for time in schedule.timesteps)
    ends = continuous_time.cosine_at(torch.tensor([end]))
    assert schedule.clean_alpha_bar == pytest.approx(ends.item(), abs=1e-6)
    assert torch.equal(schedule.alpha_bar, continuous_time.cosine_at(torch.tensor(schedule.timesteps)))


@pytest.mark.parametrize(("start", "end"), [(1.2, 0.0), (0.5, 0.5), (0.5, -0.1)])
def test_impossible_continuous_times(start: float, end: float) -> None:
    with pytest.raises(GlidewireError, match="continuous_cosine: impossible times"):
        continuous_time.continuous_cosine(4, start, end)


def test_no_steps_is_an_error() -> None:
    with pytest.raises(GlidewireError, match="continuous_cosine: too few steps; expected at least 1; got 0"):
        continuous_time.continuous_cosine(0)
