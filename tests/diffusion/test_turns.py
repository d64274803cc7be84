"""Denoisers that take turns: only one is evaluated at a step, and the change is exact."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from glidewire.diffusion import samplers, schedules, solvers
from glidewire.diffusion.denoiser import Leaf, active, signature
from glidewire.diffusion.evaluator import Evaluator
from glidewire.diffusion.turns import in_turn
from glidewire.errors import GlidewireError
from torch import Tensor


class Shrinking:
    """A network whose x_0 is a share of x_t."""

    prediction = "x_0"
    learned_variance = False

    def __init__(self, share: float) -> None:
        self.share = share

    def digest(self) -> str:
        return f"{self.share}"

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return conditioning

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        return self.share * x_t


FIRST, SECOND = Leaf(Shrinking(0.5)), Leaf(Shrinking(0.2))


@pytest.mark.parametrize("total", [1, 2, 7, 27, 100])
def test_the_last_step_alone_is_the_seconds(total: int) -> None:
    both = in_turn(FIRST, SECOND, 1 - 1 / total)
    chosen = [active(both, index, total) for index in range(total)]
    assert chosen[-1] is SECOND
    assert all(signature(both, index, total) != signature(SECOND, index, total) for index in range(total - 1))


def test_a_run_in_turns_is_two_runs_behind_each_other() -> None:
    schedule, solver, x_T = (
        schedules.squared_cosine(6),
        solvers.ddim(),
        torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)),
    )
    evaluator = Evaluator()
    made = samplers.sample(in_turn(FIRST, SECOND, 0.5), schedule, x_T, solver, evaluator=evaluator)
    half = samplers.sample(FIRST, schedule, x_T, solver, stop_index=3)
    torch.testing.assert_close(made, samplers.sample(SECOND, schedule, half, solver, start_index=3))
    assert evaluator.rows == 6, "the other one is not evaluated"


def test_both_ends_are_one_denoiser_alone() -> None:
    assert all(active(in_turn(FIRST, SECOND, 0.0), index, 4) is SECOND for index in range(4))
    with pytest.raises(GlidewireError, match="impossible interval of steps"):
        in_turn(FIRST, SECOND, 1.5)
