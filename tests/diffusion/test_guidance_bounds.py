"""Thresholds, rescaling, pyramids and the negations: what each does beyond its parity."""

from __future__ import annotations

import math

import pytest
import torch
from glidewire.diffusion import guidance, schedules
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.evaluator import evaluate
from glidewire.diffusion.prediction import Step
from glidewire.errors import GlidewireError

STEP = Step.of(schedules.squared_cosine(10), 4)
X_T = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def branches(toy) -> tuple[Leaf, Leaf]:
    network = toy()
    return Leaf(network, {"text": 3 * torch.eye(3)[:1]}), Leaf(network, {"text": torch.zeros(1, 3)})


def test_thresholds_bound_the_clean_sample(branches) -> None:
    strong = guidance.classifier_free(*branches, 20.0)
    free = evaluate(strong, X_T, STEP).x_0(X_T, STEP)
    assert free.abs().max() > 1.5
    for bounded in (guidance.dynamic_threshold(strong, 0.9), guidance.static_threshold(strong)):
        found = evaluate(bounded, X_T, STEP)
        assert found.x_0(X_T, STEP).abs().max() <= 1
        # eps belongs to the bounded sample.
        back = math.sqrt(STEP.alpha_bar) * found.x_0(X_T, STEP) + math.sqrt(1 - STEP.alpha_bar) * found.eps(X_T, STEP)
        assert torch.allclose(back, X_T, atol=1e-5)
    clamped = evaluate(guidance.static_threshold(strong), X_T, STEP).value
    assert torch.equal(evaluate(guidance.dynamic_threshold(strong, 0.9, 1.0), X_T, STEP).value, clamped)
    assert torch.equal(clamped, free.clamp(-1, 1))


def test_a_bound_is_of_one_item_and_at_its_percentile() -> None:
    x_0 = torch.stack([torch.linspace(0, 4, 101), torch.linspace(0, 0.5, 101)])
    assert guidance.dynamic_bound(x_0, 1.0).tolist() == [4.0, 1.0]
    assert guidance.dynamic_bound(x_0, 0.5).tolist() == pytest.approx([2.0, 1.0])
    assert guidance.dynamic_bound(x_0, 0.995).tolist() == pytest.approx([3.98, 1.0])
    assert guidance.dynamic_bound(x_0, 1.0, 1.5).tolist() == [1.5, 1.0]
    assert guidance.dynamic_bound(x_0[:, :1], 0.3).tolist() == [1.0, 1.0]


def test_rescaling_wholly_gives_the_conditionals_deviation(branches) -> None:
    strong = guidance.classifier_free(*branches, 9.0)
    wanted = evaluate(branches[0], X_T, STEP).value.flatten(1).std(1)
    found = evaluate(guidance.rescale(strong, branches[0], 1.0), X_T, STEP).value.flatten(1).std(1)
    assert torch.allclose(found, wanted, rtol=1e-4)
    assert guidance.rescale(strong, branches[0], 0.0) is strong


def test_a_constant_prediction_is_rescaled_to_itself(given_answers) -> None:
    network = given_answers({"p": torch.ones_like(X_T), "c": X_T})
    found = evaluate(guidance.rescale(network.leaf("p"), network.leaf("c"), 0.7), X_T, STEP).value
    assert torch.equal(found, torch.ones_like(X_T))


@pytest.mark.parametrize("size", [(16, 16), (13, 7), (6, 9)])
@pytest.mark.parametrize("levels", [1, 2])
def test_a_pyramid_is_put_together_again(size: tuple[int, int], levels: int) -> None:
    picture = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    bands = guidance.laplacian_pyramid(picture, levels)
    assert len(bands) == levels
    assert torch.allclose(guidance.from_pyramid(bands), picture, atol=1e-6)


def test_a_flat_picture_has_only_low_frequencies(given_answers) -> None:
    flat = torch.ones(2, 2, 16, 16)
    high, low = guidance.laplacian_pyramid(flat, 2)
    assert high.abs().max() < 1e-6
    assert torch.allclose(low, torch.ones_like(low))
    network = given_answers({"c": flat, "u": 0 * flat})
    guided = guidance.frequency_decoupled(network.leaf("c"), network.leaf("u"), [9.0, 2.0])
    assert torch.allclose(evaluate(guided, flat, STEP).value, 2 * flat, atol=1e-5)


def test_zero_steps_predict_nothing(branches) -> None:
    schedule = schedules.squared_cosine(10)
    guided = guidance.zero_star(*branches, 4.0, zero_steps=2)
    for index, expected in ((0, True), (1, True), (2, False)):
        assert evaluate(guided, X_T, Step.of(schedule, index)).value.any().item() != expected


def test_not_goes_away_and_perp_neg_never_from_what_is_wanted(given_answers) -> None:
    wanted, other = torch.zeros(1, 2), torch.zeros(1, 2)
    wanted[0, 0], other[0, 1] = 1, 1
    network = given_answers({"c": wanted, "n": wanted + other, "u": torch.zeros(1, 2)})
    c, n, u = (network.leaf(name) for name in "cnu")
    x_t = torch.zeros(1, 2)
    assert evaluate(guidance.composable([c, n], u, [2.0, -1.0]), x_t, STEP).value.tolist() == [[1.0, -1.0]]
    assert evaluate(guidance.negative_prompt(c, u, n, 2.0, 1.0), x_t, STEP).value.tolist() == [[1.0, -1.0]]
    perpendicular = guidance.perpendicular_negative(c, u, [n], [0.5], 2.0)
    assert evaluate(perpendicular, x_t, STEP).value.tolist() == [[2.0, -1.0]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c, u: guidance.composable([], u, []), "composable: needs at least one condition"),
        (lambda c, u: guidance.composable([c], u, [1.0, 2.0]), "one weight is needed for each condition; expected 1"),
        (lambda c, u: guidance.perpendicular_negative(c, u, [u], [], 2.0), "one weight is needed for each negative"),
        (lambda c, u: guidance.negative_prompt(c, u, u, 1.0, math.nan), "negative_prompt: impossible scale"),
        (lambda c, u: guidance.rescale(c, u, 1.5), "rescale: impossible fraction; expected 0 to 1; got 1.5"),
        (lambda c, u: guidance.dynamic_threshold(c, 1.01), "dynamic_threshold: impossible percentile"),
        (lambda c, u: guidance.dynamic_threshold(c, 0.9, 0.5), "dynamic_threshold: impossible maximum"),
        (lambda c, u: guidance.static_threshold(c, 0.0), "static_threshold: impossible bound"),
        (lambda c, u: guidance.adaptive_projected(c, u, 2.0, norm_threshold=0.0), "impossible threshold"),
        (lambda c, u: guidance.adaptive_projected(c, u, 2.0, momentum=-1.0), "impossible momentum"),
        (lambda c, u: guidance.adaptive_projected(c, u, 2.0, math.inf), "adaptive_projected: impossible scale"),
        (lambda c, u: guidance.zero_star(c, u, 2.0, -1), "zero_star: impossible number of zero steps"),
        (lambda c, u: guidance.magnitude_aware(c, u, 2.0, -1.0), "magnitude_aware: impossible damping"),
        (lambda c, u: guidance.frequency_decoupled(c, u, []), "frequency_decoupled: needs at least one scale"),
    ],
)
def test_impossible_arguments(branches, make, message: str) -> None:
    with pytest.raises(GlidewireError, match=message):
        make(*branches)


def test_samples_without_a_pyramid_are_named(branches) -> None:
    with pytest.raises(GlidewireError, match=r"at least 48 pixels a side for 5 levels; got shape \[2, 2, 8, 8\]"):
        evaluate(guidance.frequency_decoupled(*branches, [2.0] * 5), X_T, STEP)
