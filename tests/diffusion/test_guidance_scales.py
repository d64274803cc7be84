from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from glidewire.diffusion import guidance, schedules
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.evaluator import evaluate
from glidewire.diffusion.guidance import SHAPES, ScaleSchedule
from glidewire.diffusion.guidance.scales import scale_at
from glidewire.diffusion.prediction import Progress, Step
from glidewire.errors import GlidewireError

SCHEDULE = schedules.squared_cosine(10)
X_T = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_schedule_goes_from_first_to_last_without_turning(shape: str) -> None:
    scales = [scale_at(ScaleSchedule(7.0, 2.0, shape), Progress(index, 9, 0)) for index in range(9)]
    assert scales[0] == 7.0
    assert scales[-1] == pytest.approx(2.0)
    assert all(after < before for before, after in pairwise(scales))


def test_shapes_by_their_formulas() -> None:
    half = Progress(2, 5, 0)
    found = {shape: scale_at(ScaleSchedule(0.0, 1.0, shape), Progress(1, 5, 0)) for shape in SHAPES}
    assert found == pytest.approx(
        {"linear": 0.25, "cosine": 0.5 - math.sqrt(0.125), "square": 0.0625, "square root": 0.5}
    )
    assert scale_at(ScaleSchedule(0.0, 1.0, "cosine"), half) == pytest.approx(0.5)
    assert scale_at(ScaleSchedule(3.0, 9.0), Progress(0, 1, 0)) == 3.0


def test_a_constant_schedule_is_its_constant(toy) -> None:
    network = toy()
    c, u = Leaf(network, {"text": torch.eye(3)[:1]}), Leaf(network, {"text": torch.zeros(1, 3)})
    assert guidance.classifier_free(c, u, ScaleSchedule(1.0, 1.0)) is c
    same = guidance.classifier_free(c, u, ScaleSchedule(3.0, 3.0, "cosine"))
    assert not same.reads_progress
    assert same.parameters == {"scale": 3.0}


def test_impossible_schedules() -> None:
    with pytest.raises(GlidewireError, match="ScaleSchedule: unknown shape; expected linear or cosine"):
        ScaleSchedule(1.0, 2.0, "wavy")
    with pytest.raises(GlidewireError, match="ScaleSchedule: impossible scale"):
        ScaleSchedule(1.0, math.inf)


def test_an_interval_of_noise_levels_means_the_same_in_any_run() -> None:
    for count in (10, 37):
        schedule = schedules.squared_cosine(count)
        start, end = guidance.noise_interval(schedule, 0.3, 5.0)
        probe = guidance.static_threshold(Leaf(None), 1.0, start, end)  # type: ignore[arg-type]
        for index in range(count):
            abar = Step.of(schedule, index).alpha_bar
            assert probe.active(index, count) == (0.3 < math.sqrt((1 - abar) / abar) <= 5.0)
    assert guidance.noise_interval(SCHEDULE, 0.0, math.inf) == (0.0, 1.0)
    nothing = guidance.noise_interval(SCHEDULE, 1e-9, 1e-8)
    assert nothing[0] == nothing[1]
    with pytest.raises(GlidewireError, match="noise_interval: impossible interval"):
        guidance.noise_interval(SCHEDULE, 3.0, 2.0)


def test_cfg_plus_plus_steps_with_the_unconditional_noise(toy) -> None:
    network = toy()
    c, u = Leaf(network, {"text": torch.eye(3)[:1]}), Leaf(network, {"text": torch.zeros(1, 3)})
    step = Step.of(SCHEDULE, 4)
    found = evaluate(guidance.classifier_free_plus_plus(c, u, 0.6), X_T, step)
    assert torch.equal(found.renoise_eps, evaluate(u, X_T, step).value)
    assert torch.equal(found.value, evaluate(guidance.classifier_free(c, u, 0.6), X_T, step).value)
    # What a branch steps with already is kept: an edited unconditional, CFG++ of CFG++.
    nested = evaluate(
        guidance.classifier_free_plus_plus(c, guidance.classifier_free_plus_plus(c, u, 0.6), 0.5), X_T, step
    )
    assert torch.equal(nested.renoise_eps, found.renoise_eps)
