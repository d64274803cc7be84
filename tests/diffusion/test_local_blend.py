from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from glidewire.diffusion import guidance, samplers, schedules, solvers
from glidewire.diffusion.denoiser import Leaf, Observed
from glidewire.diffusion.evaluator import evaluate
from glidewire.diffusion.prediction import Step
from glidewire.diffusion.trajectory import MemoryTrajectory
from glidewire.errors import GlidewireError
from torch import Tensor

SCHEDULE = schedules.squared_cosine(6)
X_T = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0)).expand(2, -1, -1, -1)


class Showing:
    """Predicts another constant for each item, and shows its words in the left half of the picture."""

    prediction, learned_variance = "eps", False

    def __init__(self, words: int = 1, showing: bool = True) -> None:
        self.words, self.showing = words, showing

    def digest(self) -> str:
        return f"{self.words} {self.showing}"

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return conditioning

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor | Observed:
        eps = torch.tensor([0.1, 0.4]).reshape(2, 1, 1, 1).expand_as(x_t)
        maps = torch.zeros(2, self.words, 4, 4)
        maps[:, 0, :, :2] = 1
        maps[:, 1:, :, 0] = 1
        return Observed(eps, {"words": maps}) if self.showing else eps


def run(denoiser, **options) -> Tensor:
    return samplers.sample(denoiser, SCHEDULE, X_T, solvers.ddim(clip=False), **options)


def test_outside_of_the_words_the_target_is_the_source() -> None:
    leaf = Leaf(Showing())
    source, target = run(guidance.local_blend(leaf, 0.5, start=0.0))
    free = run(leaf)
    # The region is widened by one place: columns 0 to 2.
    assert torch.equal(source[..., 3], target[..., 3])
    assert (source[..., :3] != target[..., :3]).all()
    torch.testing.assert_close(target[..., :3], free[1][..., :3])
    torch.testing.assert_close(source, free[0])


def test_a_second_word_is_left_out() -> None:
    source, target = run(guidance.local_blend(Leaf(Showing(words=2)), 0.5, 0.5, start=0.0))
    assert torch.equal(source[..., 0], target[..., 0]) and torch.equal(source[..., 3], target[..., 3])
    assert (source[..., 1:3] != target[..., 1:3]).all()


def test_it_begins_late_and_resumes() -> None:
    leaf = Leaf(Showing())
    assert torch.equal(run(guidance.local_blend(leaf, 0.5, start=1.0)), run(leaf))
    store = MemoryTrajectory()
    blend = guidance.local_blend(leaf, 0.5, start=0.5)
    whole = run(blend, trajectory=store, store_every=2)
    for key in list(store.states)[2:]:
        del store.states[key]
    assert torch.equal(run(blend, trajectory=store, store_every=2), whole)


def test_what_does_not_fit() -> None:
    with pytest.raises(GlidewireError, match="local_blend: impossible threshold; expected 0 to 1; got 2"):
        guidance.local_blend(Leaf(Showing()), 2.0)
    with pytest.raises(GlidewireError, match="predictions do not show where words act; expected words"):
        evaluate(guidance.local_blend(Leaf(Showing(showing=False))), X_T, Step.of(SCHEDULE, 0))
