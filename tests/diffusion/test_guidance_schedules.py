"""Every number of a guidance can change over the run: gradients, thresholds, fractions and negative scales too."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from glidewire.diffusion import guidance, samplers, schedules, solvers
from glidewire.diffusion.denoiser import Combination, Denoiser, Leaf, signature
from glidewire.diffusion.evaluator import Evaluator, evaluate
from glidewire.diffusion.guidance import Scale, ScaleSchedule
from glidewire.diffusion.guidance.scales import negated, scale_at
from glidewire.diffusion.prediction import Prediction, Progress, Step
from glidewire.errors import GlidewireError

SCHEDULE = schedules.squared_cosine(10)
X_T = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0))


class Slope:
    """A gradient that is 1 everywhere."""

    def digest(self) -> str:
        return "slope"

    def __call__(self, x_t: torch.Tensor, step: Step) -> torch.Tensor:
        return torch.ones_like(x_t)


# (c, u, number, start, end) -> guided; the number is one that may change over the run
NUMBERED: dict[str, tuple[Callable[..., Denoiser], float, float]] = {
    "gradient": (lambda c, u, s, *within: guidance.gradient_guidance(c, Slope(), s, *within), 3.0, 1.0),
    "rescale": (lambda c, u, s, *within: guidance.rescale(_strong(c, u), c, s, *within), 0.9, 0.2),
    "dynamic": (lambda c, u, s, *within: guidance.dynamic_threshold(_strong(c, u), s, math.inf, *within), 0.99, 0.6),
    "static": (lambda c, u, s, *within: guidance.static_threshold(_strong(c, u), s, *within), 1.5, 0.5),
    "negative": (lambda c, u, s, *within: guidance.negative_prompt(_strong(c, u), u, c, 2.0, s, *within), 3.0, 1.0),
    "perpendicular": (
        lambda c, u, s, *within: guidance.perpendicular_negative(c, u, [_moved(c)], [s], 2.0, *within), 3.0, 1.0,
    ),
    "CFG++": (lambda c, u, s, *within: guidance.classifier_free_plus_plus(c, u, s, *within), 0.9, 0.1),
}  # fmt: skip
every_number = pytest.mark.parametrize(("guide", "first", "last"), NUMBERED.values(), ids=NUMBERED)


def _strong(c: Denoiser, u: Denoiser) -> Denoiser:
    return guidance.classifier_free(c, u, 20.0)


def _moved(c: Leaf) -> Leaf:
    return Leaf(c.network, {"text": torch.tensor([[0.0, 2.0, -1.0]])})


@pytest.fixture(scope="module")
def branches(toy) -> tuple[Leaf, Leaf]:
    network = toy()
    return Leaf(network, {"text": 3 * torch.eye(3)[:1]}), Leaf(network, {"text": torch.zeros(1, 3)})


def parts(prediction: Prediction) -> list[torch.Tensor]:
    """All that steps are made of."""
    return [part for part in (prediction.value, prediction.mean_shift, prediction.renoise_eps) if part is not None]


@every_number
def test_each_step_has_the_number_of_its_schedule(branches, guide, first: float, last: float) -> None:
    ramp = ScaleSchedule(first, last, "cosine")
    for index in (0, 3, 9):
        step = Step.of(SCHEDULE, index)
        expected = evaluate(guide(*branches, scale_at(ramp, step), 0.0, 1.0), X_T, step)
        found = evaluate(guide(*branches, ramp, 0.0, 1.0), X_T, step)
        for one, other in zip(parts(found), parts(expected), strict=True):
            torch.testing.assert_close(one, other)
    changing, still = guide(*branches, ramp, 0.0, 1.0), guide(*branches, ScaleSchedule(first, first), 0.0, 1.0)
    assert signature(changing, 3, 10) != signature(changing, 4, 10)
    assert signature(still, 3, 10) == signature(still, 4, 10) == signature(guide(*branches, first, 0.0, 1.0), 3, 10)


@every_number
def test_each_acts_in_its_interval_alone(branches, guide, first: float, last: float) -> None:
    def at(index: int, start: float, end: float) -> Prediction:
        return evaluate(guide(*branches, ScaleSchedule(first, last), start, end), X_T, Step.of(SCHEDULE, index))

    nothing, whole, half = at(7, 0.3, 0.3), at(2, 0.0, 1.0), at(2, 0.0, 0.5)
    assert torch.equal(at(7, 0.0, 0.5).value, nothing.value) and at(7, 0.0, 0.5).mean_shift is None
    for one, other in zip(parts(half), parts(whole), strict=True):
        assert torch.equal(one, other)
    acts = torch.cat([part.flatten() for part in parts(whole)])
    rests = torch.cat([part.flatten() for part in parts(at(2, 0.3, 0.3))])
    assert acts.shape != rests.shape or not torch.equal(acts, rests)


def test_a_negated_schedule_is_minus_the_schedule() -> None:
    ramp: Scale = ScaleSchedule(3.0, -1.0, "square")
    for index in range(5):
        assert scale_at(negated(ramp), Progress(index, 5, 0)) == -scale_at(ramp, Progress(index, 5, 0))
    assert negated(2.5) == -2.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c, u: guidance.rescale(c, u, ScaleSchedule(0.5, 1.5)), "rescale: impossible fraction.*got 1.5"),
        (
            lambda c, u: guidance.dynamic_threshold(c, ScaleSchedule(-0.1, 1)),
            "dynamic_threshold: impossible percentile",
        ),
        (
            lambda c, u: guidance.static_threshold(c, ScaleSchedule(2.0, 0.0)),
            "static_threshold: impossible bound.*got 0",
        ),
        (lambda c, u: guidance.negative_prompt(c, u, u, math.nan, 1.0), "negative_prompt: impossible scale"),
        (lambda c, u: guidance.gradient_guidance(c, Slope(), math.inf), "gradient_guidance: impossible scale"),
    ],
)
def test_both_ends_of_a_schedule_must_be_possible(branches, make, message: str) -> None:
    with pytest.raises(GlidewireError, match=message):
        make(*branches)


def test_gradients_of_a_schedule_are_not_taken_where_it_does_not_act(branches) -> None:
    asked: list[int] = []

    class Counted(Slope):
        def __call__(self, x_t: torch.Tensor, step: Step) -> torch.Tensor:
            asked.append(step.index)
            return super().__call__(x_t, step)

    guided = guidance.gradient_guidance(branches[0], Counted(), ScaleSchedule(2.0, 1.0), 0.2, 0.5)
    assert isinstance(guided, Combination)
    samplers.sample(guided, SCHEDULE, X_T, solvers.ddim(), evaluator=Evaluator())
    assert asked == [2, 3, 4]
