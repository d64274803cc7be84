"""Regions: each place follows its own denoiser, and what masks leave follows the background."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from glidewire.diffusion import guidance
from glidewire.diffusion.denoiser import Leaf, signature
from glidewire.diffusion.evaluator import evaluate
from glidewire.diffusion.prediction import Step
from glidewire.diffusion.schedules import squared_cosine
from glidewire.errors import GlidewireError
from torch import Tensor

STEP = Step.of(squared_cosine(4), 1)
X = torch.zeros(2, 3, 4, 4)
LEFT = (torch.arange(8) < 4).float().expand(1, 8, 8)


class Constant:
    """A network that says one number."""

    learned_variance = False

    def __init__(self, value: float, prediction: str = "eps") -> None:
        self.value, self.prediction = value, prediction

    def digest(self) -> str:
        return f"{self.value} {self.prediction}"

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return conditioning

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        if self.prediction == "logits":
            return torch.full((len(x_t), 5, *x_t.shape[1:]), self.value)
        return torch.full_like(x_t, self.value)


def test_each_place_follows_its_own_denoiser() -> None:
    made = evaluate(guidance.by_region(Leaf(Constant(1)), [(Leaf(Constant(3)), LEFT)]), X, STEP).value
    assert made[..., :2].unique().tolist() == [3]
    assert made[..., 2:].unique().tolist() == [1]


def test_overlapping_masks_share_and_half_a_mask_is_half_background() -> None:
    both = [(Leaf(Constant(3)), LEFT), (Leaf(Constant(5)), torch.ones(1, 4, 4))]
    made = evaluate(guidance.by_region(Leaf(Constant(1)), both), X, STEP).value
    assert made[0, 0, 0].tolist() == [4, 4, 5, 5]
    half = evaluate(guidance.by_region(Leaf(Constant(1)), [(Leaf(Constant(3)), LEFT / 2)]), X, STEP).value
    assert half[0, 0, 0].tolist() == [2, 2, 1, 1]


def test_scores_of_tokens_have_regions_too() -> None:
    regional = guidance.by_region(Leaf(Constant(1, "logits")), [(Leaf(Constant(3, "logits")), LEFT)])
    made = evaluate(regional, torch.zeros(2, 4, 4, dtype=torch.long), STEP).value
    assert made.shape == (2, 5, 4, 4)
    assert made[0, 0, 0].tolist() == [3, 3, 1, 1]


def test_outside_of_the_interval_the_background_is_alone() -> None:
    late = guidance.by_region(Leaf(Constant(1)), [(Leaf(Constant(3)), LEFT)], start=0.5)
    assert evaluate(late, X, STEP).value.unique().tolist() == [1]
    assert signature(late, 1, 4) == signature(Leaf(Constant(1)), 1, 4)
    other = guidance.by_region(Leaf(Constant(1)), [(Leaf(Constant(3)), 1 - LEFT)], start=0.5)
    assert signature(late, 3, 4) != signature(other, 3, 4), "the mask is part of the signature"


@pytest.mark.parametrize("mask", [torch.ones(1, 6, 8), torch.ones(3, 4, 4), torch.ones(4, 4), torch.ones(1, 4, 8)])
def test_a_mask_that_does_not_fit_is_refused(mask: Tensor) -> None:
    with pytest.raises(GlidewireError, match="region does not fit the sample; expected 1 or 2 masks of 4 x 4"):
        evaluate(guidance.by_region(Leaf(Constant(1)), [(Leaf(Constant(3)), mask)]), X, STEP)


def test_no_region_is_refused() -> None:
    with pytest.raises(GlidewireError, match="there is no region"):
        guidance.by_region(Leaf(Constant(1)), [])
