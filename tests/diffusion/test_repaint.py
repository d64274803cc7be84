"""RePaint: the path of visits, what stays known, and that going back makes both halves agree, on an exact denoiser."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from glidewire.diffusion import schedules, solvers
from glidewire.diffusion.noise import SeededNoise
from glidewire.diffusion.oracle import GaussianMixture
from glidewire.diffusion.repaint import repaint_path, sample_repaint
from glidewire.errors import GlidewireError
from hypothesis import given
from hypothesis import strategies as st

SCHEDULE = schedules.respace(schedules.squared_cosine(1000), "50")


def published_times(total: int, jump: int, resamples: int) -> list[int]:
    """The schedule of the paper's appendix, in its own words: t counts down, -1 is the clean end."""
    jumps = dict.fromkeys(range(0, total - jump, jump), resamples - 1)
    t, times = total, []
    while t >= 1:
        t -= 1
        times.append(t)
        if jumps.get(t, 0) > 0:
            jumps[t] -= 1
            for _ in range(jump):
                t += 1
                times.append(t)
    return [*times, -1]


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 4))
def test_the_path_is_the_published_one(total: int, jump: int, resamples: int) -> None:
    path = repaint_path(total, 0, jump, resamples)
    assert [total - 1 - entry for entry in path] == published_times(total, jump, resamples)


def test_one_walk_never_goes_back_and_a_late_start_stays_late() -> None:
    assert repaint_path(5) == [0, 1, 2, 3, 4, 5]
    late = repaint_path(12, start=6, jump=2, resamples=3)
    assert min(late) == late[0] == 6 and late[-1] == 12
    assert len(late) > 7
    with pytest.raises(GlidewireError, match="expected a jump and walks of 1 or more; got 0 and 1"):
        repaint_path(5, jump=0)


def correlated() -> GaussianMixture:
    """Two numbers that are nearly one: N(0, [[1, 0.9], [0.9, 1]])."""
    covariance = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    return GaussianMixture(
        torch.zeros(1, 1, 2, dtype=torch.float64), covariance[None, None], one, one[0], schedules.squared_cosine(1000)
    )


def painted(resamples: int, known: float, count: int = 200) -> torch.Tensor:
    """The second number, painted where the first is known."""
    noise = SeededNoise((0,) * count)
    x_T = noise.draw((2,)).double()
    mask, clean = torch.tensor([[1.0, 0.0]]), torch.tensor([[known, 0.0]])
    made = sample_repaint(
        correlated().leaf(None), SCHEDULE, x_T, solvers.ancestral(clip=False), noise, clean, mask,
        resamples=resamples, jump=5,
    )  # fmt: skip
    assert torch.allclose(made[:, 0], torch.full((count,), known, dtype=torch.float64))
    return made[:, 1]


def test_going_back_brings_what_is_painted_nearer_to_what_is_known() -> None:
    # Given 2, the other is N(1.8, 0.19): plain replacement falls short of that, and resampling less so.
    plain, again = painted(1, 2.0).mean().item(), painted(5, 2.0).mean().item()
    assert abs(again - 1.8) < abs(plain - 1.8)
    assert again == pytest.approx(1.8, abs=0.25)


def test_an_item_is_made_again_alone_and_steps_are_reported() -> None:
    noise, told = SeededNoise((3, 3)), []
    x_T, known, mask = noise.draw((2,)).double(), torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    common = (correlated().leaf(None), SCHEDULE)
    solver = solvers.ancestral(clip=False)
    both = sample_repaint(*common, x_T, solver, noise, known, mask, resamples=2, on_step=told.append)
    assert len(told) == sum(after > before for before, after in pairwise(repaint_path(50, 0, 10, 2)))
    alone = sample_repaint(*common, x_T[1:], solver, SeededNoise((3,), 1), known, mask, resamples=2)
    torch.testing.assert_close(alone, both[1:])
