"""Gradients of critics of the predicted x_0: exact through the network, on a denoiser whose answer is known."""

from __future__ import annotations

import math
from typing import Any

import torch
from glidewire.diffusion import guidance, schedules
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.evaluator import evaluate
from glidewire.diffusion.guidance import PredictedGradient
from glidewire.diffusion.oracle import GaussianMixture
from glidewire.diffusion.prediction import Step
from torch import Tensor

SCHEDULE = schedules.squared_cosine(1000)
STEP = Step.of(schedules.respace(SCHEDULE, "10"), 4)
DEVIATION = 0.5


def gaussian() -> GaussianMixture:
    """One Gaussian N(0, DEVIATION^2 I): x_0(x_t) = sqrt(abar) s^2 / (abar s^2 + 1 - abar) x_t."""
    one = torch.ones(1, 1, dtype=torch.float64)
    covariance = DEVIATION**2 * torch.eye(2, dtype=torch.float64)
    return GaussianMixture(torch.zeros(1, 1, 2, dtype=torch.float64), covariance[None, None], one, one[0], SCHEDULE)


class Towards:
    """log p = -|x_0 - goal|^2 / 2."""

    def __init__(self, goal: float) -> None:
        self.goal = goal

    def digest(self) -> str:
        return f"towards {self.goal}"

    def __call__(self, x_0: Tensor, step: Step) -> Tensor:
        return -(x_0 - self.goal).square().sum(dim=1) / 2


def test_the_gradient_goes_through_the_network_or_past_it() -> None:
    x_t = torch.tensor([[0.4, -1.0], [2.0, 0.1]], dtype=torch.float64)
    alpha_bar = STEP.alpha_bar
    slope = math.sqrt(alpha_bar) * DEVIATION**2 / (alpha_bar * DEVIATION**2 + 1 - alpha_bar)
    inner = 3 - slope * x_t
    leaf, critic = gaussian().leaf(None), Towards(3.0)
    torch.testing.assert_close(PredictedGradient(leaf, critic)(x_t, STEP), slope * inner)
    past = PredictedGradient(leaf, critic, through_network=False)(x_t, STEP)
    torch.testing.assert_close(past, inner / math.sqrt(alpha_bar))
    assert not x_t.requires_grad


def test_it_works_where_samplers_turn_gradients_off() -> None:
    gradient = PredictedGradient(gaussian().leaf(None), Towards(1.0))
    x_t = torch.ones(1, 2, dtype=torch.float64)
    expected = gradient(x_t, STEP)
    with torch.inference_mode():
        inside = PredictedGradient(gaussian().leaf(None), Towards(1.0))(torch.ones(1, 2, dtype=torch.float64), STEP)
        torch.testing.assert_close(inside, expected)
    with torch.no_grad():
        torch.testing.assert_close(gradient(x_t, STEP), expected)


class Counted:
    """A network that counts its evaluations."""

    def __init__(self, network: Any) -> None:
        self.network, self.calls = network, 0
        self.prediction, self.learned_variance = network.prediction, network.learned_variance
        self.digest, self.prepare = network.digest, network.prepare

    def __call__(self, *given: Any) -> Tensor:
        self.calls += 1
        return self.network(*given)


def test_past_the_network_what_is_guided_is_not_evaluated_again() -> None:
    x_t = torch.tensor([[0.4, -1.0], [2.0, 0.1]], dtype=torch.float64)
    network = Counted(gaussian().leaf(None).network)
    leaf, other = (Leaf(network, gaussian().leaf(label).conditioning) for label in (None, 0))
    for guided, through, calls in ((leaf, False, 1), (leaf, True, 2), (other, False, 2)):
        gradient = PredictedGradient(leaf, Towards(3.0), through_network=through)
        expected, network.calls = 2 * gradient(x_t, STEP), 0
        found = evaluate(guidance.gradient_guidance(guided, gradient, 2.0), x_t, STEP)
        assert network.calls == calls
        assert found.mean_shift is not None
        torch.testing.assert_close(found.mean_shift, expected)
        with torch.inference_mode():
            inside = evaluate(guidance.gradient_guidance(guided, gradient, 2.0), x_t.clone(), STEP)
        assert inside.mean_shift is not None
        torch.testing.assert_close(inside.mean_shift, expected)


def test_its_identity_tells_all_that_decides_it() -> None:
    leaf, other = gaussian().leaf(None), gaussian().leaf(0)

    def text(denoiser: Any = leaf, goal: float = 1.0, through: bool = True) -> str:
        return PredictedGradient(denoiser, Towards(goal), through_network=through).digest()

    early, late = (guidance.classifier_free(other, leaf, 3.0, 0.0, end) for end in (0.5, 0.501))
    found = [text(), text(other), text(goal=2.0), text(through=False), text(early), text(late)]
    assert len(set(found)) == len(found)
    assert text() == text()
