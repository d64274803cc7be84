from __future__ import annotations

import math

import pytest
import torch
from glidewire.diffusion import guidance, samplers, schedules, solvers
from glidewire.diffusion.denoiser import Combination, Leaf, signature
from glidewire.diffusion.evaluator import evaluate
from glidewire.diffusion.prediction import Step
from glidewire.errors import GlidewireError
from hypothesis import given
from hypothesis import strategies as st

SCHEDULE = schedules.squared_cosine(10)
STEP = Step.of(SCHEDULE, 4)
X_T = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0))
SCALES = st.floats(-20, 20)


class Constant:
    """A gradient that is the same everywhere."""

    def __init__(self, value: float) -> None:
        self.value = value

    def digest(self) -> str:
        return repr(self.value)

    def __call__(self, x_t: torch.Tensor, step: Step) -> torch.Tensor:
        return torch.full_like(x_t, self.value)


@pytest.fixture(scope="module")
def branches(toy) -> tuple[Leaf, Leaf]:
    network = toy()
    return (Leaf(network, {"text": torch.eye(3)[:1]}), Leaf(network, {"text": torch.zeros(1, 3)}))


def test_scale_one_is_the_conditional_itself(branches) -> None:
    assert guidance.classifier_free(*branches, 1.0) is branches[0]
    assert guidance.classifier_free(*branches, 1) is branches[0]


def test_scale_zero_is_the_unconditional(branches) -> None:
    c, u = branches
    assert torch.equal(evaluate(guidance.classifier_free(c, u, 0.0), X_T, STEP).value, evaluate(u, X_T, STEP).value)


@given(scale=SCALES)
def test_equal_branches_change_nothing(branches, scale: float) -> None:
    c, _ = branches
    assert torch.equal(evaluate(guidance.classifier_free(c, c, scale), X_T, STEP).value, evaluate(c, X_T, STEP).value)


@given(scale=SCALES)
def test_the_variance_is_the_conditionals(branches, scale: float) -> None:
    guided = evaluate(guidance.classifier_free(*branches, scale), X_T, STEP)
    if scale != 1:
        assert torch.allclose(guided.variance, evaluate(branches[0], X_T, STEP).variance, atol=1e-6)


@given(inner=SCALES, outer=SCALES)
def test_nesting_multiplies_scales(branches, inner: float, outer: float) -> None:
    """u + outer ((u + inner (c - u)) - u) = u + outer inner (c - u)."""
    c, u = branches
    nested = guidance.classifier_free(guidance.classifier_free(c, u, inner), u, outer)
    flat = guidance.classifier_free(c, u, inner * outer)
    found, expected = evaluate(nested, X_T, STEP).value, evaluate(flat, X_T, STEP).value
    assert torch.allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("kind", ["x_0", "v"])
def test_guidance_is_the_same_in_every_parametrisation(branches, kind: str) -> None:
    def converted(leaf: Leaf) -> Combination:
        def combine(inputs, x_t, step):
            return inputs["a"].to(kind, x_t, step)

        return Combination(combine, {"a": leaf}, f"to_{kind}")

    c, u = branches
    expected = evaluate(guidance.classifier_free(c, u, 4.0), X_T, STEP).eps(X_T, STEP)
    for pair in ((converted(c), converted(u)), (converted(c), u), (c, converted(u))):
        found = evaluate(guidance.classifier_free(*pair, 4.0), X_T, STEP)
        assert torch.allclose(found.eps(X_T, STEP), expected, atol=1e-4)


def test_guidance_extrapolates_gradients_too(branches) -> None:
    c, u = branches
    shifted = guidance.gradient_guidance(c, Constant(1.0), 2.0)
    assert evaluate(guidance.classifier_free(shifted, u, 3.0), X_T, STEP).mean_shift.unique().item() == 6.0
    other = guidance.gradient_guidance(u, Constant(1.0), 1.0)
    assert evaluate(guidance.classifier_free(c, other, 3.0), X_T, STEP).mean_shift.unique().item() == -2.0
    assert evaluate(guidance.classifier_free(shifted, other, 3.0), X_T, STEP).mean_shift.unique().item() == 4.0
    assert evaluate(guidance.classifier_free(c, u, 3.0), X_T, STEP).mean_shift is None


def test_gradients_add_up_and_leave_the_prediction_alone(branches) -> None:
    c, _ = branches
    plain = evaluate(c, X_T, STEP)
    once = guidance.gradient_guidance(c, Constant(0.5), 2.0)
    twice = evaluate(guidance.gradient_guidance(once, Constant(3.0), 1.0), X_T, STEP)
    assert twice.mean_shift.unique().item() == 4.0
    assert torch.equal(twice.value, plain.value)
    assert torch.equal(twice.variance, plain.variance)
    assert guidance.gradient_guidance(c, Constant(1.0), 0.0) is c


def test_a_gradient_through_autograd_works_inside_a_run(branches) -> None:
    class TowardsZero(Constant):
        def __call__(self, x_t: torch.Tensor, step: Step) -> torch.Tensor:
            with torch.enable_grad():
                x = x_t.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(-0.5 * x.square().sum(), x)
            return gradient

    steered = guidance.gradient_guidance(branches[0], TowardsZero(0.0), 1.0)
    free = samplers.sample(branches[0], SCHEDULE, X_T, solvers.ddim(clip=False))
    pulled = samplers.sample(steered, SCHEDULE, X_T, solvers.ddim(clip=False))
    assert pulled.norm() < free.norm()


def test_known_region_keeps_what_is_known(branches) -> None:
    known, mask = torch.full((1, 2, 4, 4), 0.25), torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    copies = known.clone(), mask.clone()
    filled = guidance.known_region(branches[0], known, mask)
    result = samplers.sample(filled, SCHEDULE, X_T, solvers.ddim())
    assert torch.allclose(result[..., :2], torch.tensor(0.25), atol=1e-6)
    assert (result[..., 2:] - 0.25).abs().min() > 0
    assert torch.equal(known, copies[0])
    assert torch.equal(mask, copies[1])


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_impossible_scales(branches, scale: float) -> None:
    with pytest.raises(GlidewireError, match="classifier_free: impossible scale"):
        guidance.classifier_free(*branches, scale)
    with pytest.raises(GlidewireError, match="gradient_guidance: impossible scale"):
        guidance.gradient_guidance(branches[0], Constant(1.0), scale)


def test_a_scale_may_change_over_the_run(branches) -> None:
    ramp = guidance.classifier_free(*branches, 5.0, final_scale=1.0)
    for index, scale in ((0, 5.0), (9, 1.0)):
        step = Step.of(SCHEDULE, index)
        constant = guidance.classifier_free(*branches, scale)
        assert torch.allclose(evaluate(ramp, X_T, step).value, evaluate(constant, X_T, step).value, atol=1e-6)
    assert guidance.classifier_free(*branches, 1.0, final_scale=1.0) is branches[0]
    assert isinstance(guidance.classifier_free(*branches, 1.0, final_scale=2.0), Combination)
    # Its prediction depends on where in the run a step is, which a cached part of another run must not hide.
    assert signature(ramp, 3, 10) != signature(ramp, 4, 10)
    with pytest.raises(GlidewireError, match="classifier_free: impossible scale"):
        guidance.classifier_free(*branches, 1.0, final_scale=math.nan)


def test_impossible_intervals_even_at_scale_one(branches) -> None:
    with pytest.raises(GlidewireError, match="classifier_free: impossible interval"):
        guidance.classifier_free(*branches, 1.0, start=0.7, end=0.2)


def test_pictures_and_gradients_that_do_not_fit_are_named(branches) -> None:
    with pytest.raises(GlidewireError, match=r"known_region: mask does not fit.*got \[1, 1, 3, 4\]"):
        evaluate(guidance.known_region(branches[0], torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 3, 4)), X_T, STEP)

    class Short(Constant):
        def __call__(self, x_t: torch.Tensor, step: Step) -> torch.Tensor:
            return x_t[:1]

    with pytest.raises(GlidewireError, match=r"wrong gradient; expected \[2, 2, 4, 4\]; got \[1, 2, 4, 4\]"):
        evaluate(guidance.gradient_guidance(branches[0], Short(0.0), 1.0), X_T, STEP)
