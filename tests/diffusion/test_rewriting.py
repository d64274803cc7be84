from __future__ import annotations

import pytest
import torch
from glidewire.diffusion import guidance
from glidewire.diffusion.denoiser import Leaf, Observed
from glidewire.diffusion.evaluator import Evaluator, evaluate
from glidewire.diffusion.prediction import Step
from glidewire.diffusion.rewriting import leaves, with_leaves, within
from glidewire.diffusion.schedules import squared_cosine
from glidewire.errors import GlidewireError

SCHEDULE = squared_cosine(10)
STEP = Step.of(SCHEDULE, 4)
X_T = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def branches(toy) -> tuple[Leaf, Leaf]:
    network = toy()
    return Leaf(network, {"text": torch.eye(3)[:1]}), Leaf(network, {"text": torch.zeros(1, 3)})


def test_one_denoiser_stands_inside_and_another_outside(branches) -> None:
    c, u = branches
    mixed = within(c, u, 0.3, 0.6)
    for index in range(10):
        step = Step.of(SCHEDULE, index)
        expected = evaluate(c if 3 <= index < 6 else u, X_T, step)
        assert torch.equal(evaluate(mixed, X_T, step).value, expected.value)
    assert within(c, u) is c
    with pytest.raises(GlidewireError, match="within: impossible interval"):
        within(c, u, 0.6, 0.3)


def test_leaves_are_found_once_wherever_they_stand(branches) -> None:
    c, u = branches
    other = Leaf(c.network, {"text": torch.eye(3)[1:2]})
    expression = within(guidance.classifier_free(c, u, 3.0), guidance.rescale(other, c, 0.5), 0.2, 0.8)
    assert list(leaves(expression)) == [c, u, other]


def test_an_expression_over_other_leaves_shares_what_the_old_one_shared(branches) -> None:
    c, u = branches
    expression = guidance.rescale(guidance.classifier_free(c, u, 3.0), c, 0.5)
    asked: list[Leaf] = []

    def darker(leaf: Leaf) -> Leaf:
        asked.append(leaf)
        return Leaf(leaf.network, {"text": leaf.conditioning["text"] - 1})

    changed = with_leaves(expression, darker)
    assert asked == [c, u] and list(leaves(expression)) == [c, u]
    by_hand = [darker(leaf) for leaf in (c, u)]
    expected = guidance.rescale(guidance.classifier_free(*by_hand, 3.0), by_hand[0], 0.5)
    assert torch.equal(evaluate(changed, X_T, STEP).value, evaluate(expected, X_T, STEP).value)
    assert changed.inputs["conditional"] is changed.inputs["guided"].inputs["conditional"]


def test_equal_networks_are_one_network(toy, branches) -> None:
    c, u = branches
    same, other = toy(), toy(seed=1)
    for network, forwards in ((same, 1), (other, 2)):
        evaluator = Evaluator()
        found = evaluator(guidance.classifier_free(c, Leaf(network, u.conditioning), 3.0), X_T, STEP)
        assert evaluator.forwards == forwards and found.value.isfinite().all()
    assert torch.equal(
        evaluate(guidance.classifier_free(c, Leaf(same, u.conditioning), 3.0), X_T, STEP).value,
        evaluate(guidance.classifier_free(c, u, 3.0), X_T, STEP).value,
    )


def test_what_a_network_shows_goes_with_its_prediction(toy, branches) -> None:
    class Showing(type(toy())):
        def forward(self, x_t, timesteps, conditioning):
            return Observed(super().forward(x_t, timesteps, conditioning), {"bias": conditioning["bias"]})

    network = Showing()
    c, u = (Leaf(network, branch.conditioning) for branch in branches)
    guided = evaluate(guidance.classifier_free(c, u, 3.0), X_T, STEP)
    assert torch.equal(guided.value, evaluate(guidance.classifier_free(*branches, 3.0), X_T, STEP).value)
    assert torch.equal(guided.observed["bias"], network.bias(torch.eye(3)[:1]).expand(2, -1))
    assert torch.equal(evaluate(u, X_T, STEP).observed["bias"], network.bias(torch.zeros(1, 3)).expand(2, -1))
    assert evaluate(branches[0], X_T, STEP).observed == {}
