"""PLMS: its order, its equality with DDIM where nothing bends, and its resumption out of stored states."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from glidewire.diffusion import multistep, samplers, schedules, solvers
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.evaluator import Evaluator
from glidewire.diffusion.trajectory import MemoryTrajectory
from glidewire.errors import GlidewireError
from torch import Tensor


class Gaussian:
    """The exact noise of data that is normal with the deviation 0.5: smooth, so that an order shows."""

    prediction, learned_variance = "eps", False

    def __init__(self, schedule: schedules.NoiseSchedule) -> None:
        self.signal = dict(zip(schedule.timesteps, schedule.alpha_bar.tolist(), strict=True))

    def digest(self) -> str:
        return "gaussian"

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return conditioning

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        alpha_bar = self.signal[int(timesteps[0])]
        return x_t * (1 - alpha_bar) ** 0.5 / (alpha_bar * 0.25 + 1 - alpha_bar)


FULL = schedules.scaled_linear(1000, 0.00085, 0.012)
X_T = torch.linspace(-2, 2, 8, dtype=torch.float64).reshape(1, 1, 2, 4)


def leaf() -> Leaf:
    return Leaf(Gaussian(FULL), {})


def reached(steps: int, *, several: bool) -> Tensor:
    schedule = schedules.respace(FULL, f"uniform{steps}")
    denoiser = multistep.linear_multistep(leaf()) if several else leaf()
    return samplers.sample(denoiser, schedule, X_T, solvers.plms() if several else solvers.ddim(clip=False))


def test_it_is_nearer_to_the_exact_flow_than_ddim() -> None:
    exact = reached(1000 // 2, several=False)
    for steps in (20, 40):
        assert (reached(steps, several=True) - exact).abs().max() < 0.5 * (
            reached(steps, several=False) - exact
        ).abs().max()


def test_weights_are_those_of_a_mean() -> None:
    assert all(
        sum(weights) == pytest.approx(1) and len(weights) == count for count, weights in multistep.WEIGHTS.items()
    )


def test_only_the_first_step_is_evaluated_twice() -> None:
    schedule, evaluator = schedules.respace(FULL, "uniform10"), Evaluator()
    samplers.sample(multistep.linear_multistep(leaf()), schedule, X_T, solvers.plms(), evaluator=evaluator)
    assert evaluator.forwards == len(schedule) + 1


def test_a_resumed_run_is_the_same_bit_for_bit() -> None:
    schedule, kept = schedules.respace(FULL, "uniform10"), MemoryTrajectory()
    arguments = (multistep.linear_multistep(leaf()), schedule, X_T, solvers.plms())
    whole = samplers.sample(*arguments)
    for stop in (1, 3, 6):
        samplers.sample(*arguments, trajectory=kept, stop_index=stop)
        evaluator = Evaluator()
        assert torch.equal(samplers.sample(*arguments, trajectory=kept, evaluator=evaluator), whole)
        assert evaluator.forwards <= len(schedule) - stop + (stop == 0)
        kept = MemoryTrajectory()


def test_a_bound_must_be_above_nothing() -> None:
    with pytest.raises(GlidewireError, match="plms: impossible clip; expected true, false or a number above 0; got -1"):
        solvers.plms(clip=-1.0)
