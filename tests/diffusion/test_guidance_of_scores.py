"""Guidance over tokens: what an arbitrary number added to a position's scores must not change, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from glidewire.diffusion import guidance
from glidewire.diffusion.denoiser import Denoiser, Leaf
from glidewire.diffusion.evaluator import evaluate
from glidewire.diffusion.guidance import centred
from glidewire.diffusion.prediction import Prediction
from glidewire.diffusion.token_run import TokenStep
from glidewire.errors import GlidewireError

CODES, TOKENS = 7, torch.zeros(2, 6, 6, dtype=torch.long)
STEP = TokenStep(1, 4, 2, 1.0)

PAIRS: dict[str, Callable[[Denoiser, Denoiser], Denoiser]] = {
    "classifier_free": lambda c, u: guidance.classifier_free(c, u, 3.0),
    "autoguidance": lambda c, u: guidance.autoguidance(c, u, 2.0),
    "composable": lambda c, u: guidance.composable([c, u], u, [3.0, -1.0]),
    "negative_prompt": lambda c, u: guidance.negative_prompt(c, u, u, 3.0, 1.0),
    "perpendicular_negative": lambda c, u: guidance.perpendicular_negative(c, u, [_third(c)], [1.5], 3.0),
    "two_scale": lambda c, u: guidance.two_scale(c, _third(c), u, 1.5, 3.0),
    "tangential": lambda c, u: guidance.tangential(c, u, 3.0),
    "zero_star": lambda c, u: guidance.zero_star(c, u, 3.0),
    "magnitude_aware": lambda c, u: guidance.magnitude_aware(c, u, 3.0, 2.0),
    "frequency_decoupled": lambda c, u: guidance.frequency_decoupled(c, u, [4.0, 2.0]),
    "rescale": lambda c, u: guidance.rescale(guidance.classifier_free(c, u, 5.0), c, 0.7),
}


class Scores:
    """A network that answers with given scores "batch codes rows columns", and numbers added to each position."""

    prediction, learned_variance = "logits", False

    def __init__(self, shifted: bool) -> None:
        self.shifted = shifted

    def digest(self) -> str:
        return f"scores {self.shifted}"

    def prepare(self, conditioning):
        return conditioning

    def __call__(self, x_t: torch.Tensor, timesteps: torch.Tensor, conditioning) -> torch.Tensor:
        found = []
        for seed in conditioning["seed"].flatten().tolist():
            generator = torch.Generator().manual_seed(int(seed))
            scores = torch.randn(CODES, *x_t.shape[1:], generator=generator)
            numbers = 5 * torch.randn(1, *x_t.shape[1:], generator=generator)
            found.append(scores + numbers * self.shifted)
        return torch.stack(found)


def _leaf(seed: int, shifted: bool) -> Leaf:
    return Leaf(Scores(shifted), {"seed": torch.tensor([[float(seed)]])})


def _third(like: Denoiser) -> Leaf:
    assert isinstance(like, Leaf) and isinstance(like.network, Scores)
    return _leaf(3, like.network.shifted)


def probabilities(guide: Callable[[Denoiser, Denoiser], Denoiser], shifted: bool) -> torch.Tensor:
    return evaluate(guide(_leaf(1, shifted), _leaf(2, shifted)), TOKENS, STEP).value.softmax(dim=1)


@pytest.mark.parametrize("name", PAIRS)
def test_a_number_that_is_added_to_a_positions_scores_means_nothing(name: str) -> None:
    plain = probabilities(PAIRS[name], False)
    torch.testing.assert_close(probabilities(PAIRS[name], True), plain, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(plain, probabilities(lambda c, u: c, False), atol=1e-2)


def test_centred_scores_have_the_same_probabilities_and_no_mean() -> None:
    scores = torch.randn(2, CODES, 3, 3, generator=torch.Generator().manual_seed(0)) + 4
    found = centred(Prediction(scores, "logits")).value
    torch.testing.assert_close(found.softmax(1), scores.softmax(1))
    torch.testing.assert_close(found.mean(1), torch.zeros(2, 3, 3))
    eps = Prediction(scores, "eps")
    assert centred(eps) is eps


@pytest.mark.parametrize(
    "make",
    [
        lambda c, u: guidance.classifier_free_plus_plus(c, u, 0.6),
        lambda c, u: guidance.adaptive_projected(c, u, 3.0),
        lambda c, u: guidance.dynamic_threshold(guidance.classifier_free(c, u, 3.0)),
        lambda c, u: guidance.static_threshold(c),
        lambda c, u: guidance.zero_star(c, u, 3.0, zero_steps=1),
        lambda c, u: guidance.known_region(c, torch.zeros(1, 6, 6), torch.ones(1, 6, 6)),
        lambda c, u: guidance.gradient_guidance(c, None, 1.0),
    ],
    ids=["CFG++", "APG", "dynamic", "static", "zero steps", "known region", "gradient"],
)
def test_what_needs_a_clean_sample_is_refused_before_anything_runs(make) -> None:
    with pytest.raises(
        GlidewireError, match=r"scores of tokens imply neither.*got Scores, which scores tokens\. Tokens"
    ):
        make(_leaf(1, False), _leaf(2, False))
