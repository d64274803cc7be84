"""A predictor of noised tokens under masks: what it sees, the time it is told, and shared forwards."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from glidewire.diffusion import guidance
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.evaluator import Evaluator
from glidewire.diffusion.masks_as_noise import NOISE, TIMES, MasksAsNoise, masks_as_noise
from glidewire.diffusion.prediction import Progress
from glidewire.diffusion.renoising import cosine_share
from glidewire.errors import GlidewireError
from torch import Tensor

CODES, MASK = 5, 5
NOISE_TOKENS = torch.tensor([[[1, 2], [3, 4]]])
STEP = Progress(0, 4, 3)


class Recorder:
    """A predictor that remembers what it was asked."""

    learned_variance = False

    def __init__(self, prediction: str = "logits") -> None:
        self.prediction = prediction
        self.seen: list[tuple[Tensor, Tensor]] = []

    def digest(self) -> str:
        return "recorder"

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        assert NOISE not in conditioning
        return conditioning

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        self.seen.append((x_t, timesteps))
        shift = conditioning["c"][:, :, None, None] if "c" in conditioning else 0
        return torch.zeros(len(x_t), CODES, *x_t.shape[1:]) + shift


def test_noise_stands_for_masks_and_the_time_for_their_share() -> None:
    network = Recorder()
    viewed = masks_as_noise(Leaf(network), NOISE_TOKENS, MASK, lambda _: "linear")
    tokens = torch.tensor([[[0, MASK], [MASK, MASK]], [[0, 0], [0, 0]]])
    logits = Evaluator()(viewed, tokens, STEP).value
    assert logits.shape == (2, CODES, 2, 2)
    seen, times = network.seen[0]
    assert seen.tolist() == [[[0, 2], [3, 4]], [[0, 0], [0, 0]]]
    assert times.tolist() == [0.75, 0]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_times_are_those_at_which_so_much_is_noise(share: float) -> None:
    r = TIMES["cosine"](torch.tensor(share)).item()
    assert cosine_share(r) == pytest.approx(share, abs=1e-6)
    assert math.isclose(TIMES["linear"](torch.tensor(share)).item(), share)


def test_guided_leaves_still_share_one_forward_and_have_an_identity_of_their_own() -> None:
    network = Recorder()
    leaves = [Leaf(network, {"c": torch.full((1, 1), value)}) for value in (1.0, 0.0)]
    viewed = masks_as_noise(guidance.classifier_free(*leaves, 3.0), NOISE_TOKENS, MASK, lambda _: "cosine")
    evaluator = Evaluator()
    made = evaluator(viewed, torch.full((1, 2, 2), MASK), STEP).value
    assert evaluator.forwards == 1
    assert made.unique().tolist() == [3]
    view = MasksAsNoise(network, MASK, "cosine")
    assert view.digest() not in (network.digest(), MasksAsNoise(network, MASK, "linear").digest())


def test_a_network_without_tokens_is_refused() -> None:
    with pytest.raises(GlidewireError, match="only be shown to a predictor of tokens; expected logits; got eps"):
        masks_as_noise(Leaf(Recorder("eps")), NOISE_TOKENS, MASK, lambda _: "linear")
