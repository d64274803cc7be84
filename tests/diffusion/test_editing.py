"""Which steps an edit acts in, how strongly, and the asymmetric step itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.editing import (
    asymmetric,
    boosted_ddim,
    direction_strengths,
    edit_end,
    edit_timestep,
    evenly_spaced,
    first_reaching,
)
from glidewire.diffusion.evaluator import evaluate
from glidewire.diffusion.prediction import Prediction, Step
from glidewire.diffusion.schedules import linear, respace
from glidewire.diffusion.solvers import ddim_step
from glidewire.errors import GlidewireError


def test_edit_and_boost_timesteps(parity: Callable[[str], Any]) -> None:
    case = parity("asyrp_t_edit")
    config = case.config
    for name in {name.split("/")[0] for name in case.inputs}:
        t, of_x_0, of_x_t = (case.inputs[f"{name}/{key}"] for key in ("t", "lpips_x0_pred", "lpips_x_t"))
        edits = [edit_timestep(t, of_x_0, cosine, config["lpips_edit_th"]) for cosine in config["cosines"]]
        case.assert_close(f"{name}/t_edit", torch.tensor(edits))
        case.assert_close(f"{name}/t_boost", torch.tensor(first_reaching(t, of_x_t, config["lpips_addnoise_th"])))
        bare = re.search(r"t_boost_default_flags.*?threshold ([\d.]*\d)", case.recipe)
        assert bare is not None
        case.assert_close(f"{name}/t_boost_default_flags", torch.tensor(first_reaching(t, of_x_0, float(bare[1]))))


def test_the_runs_of_directions(parity: Callable[[str], Any]) -> None:
    case = parity("asyrp_trajectory")
    assert evenly_spaced(case.config["steps"], case.config["t_0"]) == tuple(case.inputs["seq"].tolist())


def test_the_predicted_sample_is_edited_and_the_direction_is_not(toy: Callable[..., Any]) -> None:
    schedule = respace(linear(), "10")
    step = Step.of(schedule, 3)
    x_t = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    edited, plain = (Leaf(toy("eps", False, seed), {"text": torch.ones(1, 3)}) for seed in (1, 2))
    e, p = (evaluate(leaf, x_t, step).value for leaf in (edited, plain))
    before, now = step.alpha_bar_previous, step.alpha_bar
    x_0 = (x_t - math.sqrt(1 - now) * e) / math.sqrt(now)
    x_next, used = ddim_step(x_t, evaluate(asymmetric(edited, plain), x_t, step), step, clip=False)
    torch.testing.assert_close(used, x_0)
    torch.testing.assert_close(x_next, math.sqrt(before) * x_0 + math.sqrt(1 - before) * p)
    # Outside of its interval the plain prediction passes through.
    assert torch.equal(evaluate(asymmetric(edited, plain, end=0.3), x_t, step).value, p)
    assert not torch.equal(evaluate(asymmetric(edited, plain, end=0.4), x_t, step).value, p)


def test_the_interval_ends_at_t_edit() -> None:
    schedule = respace(linear(), "10")
    t_edit = schedule.timesteps[4]
    assert edit_end(schedule, t_edit) == pytest.approx(0.6)
    assert edit_end(schedule, t_edit + 1) == pytest.approx(0.5)


def test_boosting_adds_noise_below_t_boost_only() -> None:
    schedule = linear()
    x_t, noise = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 4)
    prediction = Prediction(torch.randn(1, 2, 4, 4), "eps")
    solver = boosted_ddim(100)
    assert solver.stochastic and not boosted_ddim(0).stochastic
    assert solver.signature() != boosted_ddim(101).signature()
    for index, eta in ((1000 - 100 - 1, 0.0), (1000 - 99 - 1, 1.0)):
        step = Step.of(schedule, index)
        expected = ddim_step(x_t, prediction, step, noise, eta=eta, clip=False)[0]
        assert torch.equal(solver.advance(x_t, prediction, step, noise)[0], expected)


def test_strengths_follow_steps_and_number() -> None:
    assert direction_strengths([1.0], 40, 20) == (2.0,)
    assert direction_strengths([1.0, -0.5], 40, 40) == pytest.approx((2**-0.5, -0.5 * 2**-0.5))


def test_impossible_arguments_are_told() -> None:
    t = torch.arange(1, 4)
    with pytest.raises(GlidewireError, match=r"no distance reaches the threshold; expected 0\.5 or more; got 0\.25"):
        first_reaching(t, torch.tensor([0.1, 0.2, 0.25], dtype=torch.float64), 0.5)
    with pytest.raises(GlidewireError, match=r"one is needed for each timestep; expected \[3\]; got \[2\]"):
        first_reaching(t, torch.zeros(2), 0.5)
    with pytest.raises(GlidewireError, match="0 scales, 40 and 40 steps"):
        direction_strengths([], 40, 40)
    for scale in (math.nan, math.inf):
        with pytest.raises(GlidewireError, match="a strength is out of range; expected finite numbers"):
            direction_strengths([1.0, scale], 40, 40)
    with pytest.raises(GlidewireError, match="impossible t_boost; expected a timestep; got nan"):
        boosted_ddim(math.nan)
    with pytest.raises(GlidewireError, match="impossible number of steps; expected 2 to 1000; got 1"):
        evenly_spaced(1)
