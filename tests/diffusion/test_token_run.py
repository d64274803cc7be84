"""All samplers of tokens over a tiny network: resumed runs are whole runs, and items do not depend on their batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from itertools import pairwise

import pytest
import torch
from glidewire.diffusion import guidance, halton, masking, renoising
from glidewire.diffusion.denoiser import Denoiser, Leaf
from glidewire.diffusion.evaluator import Evaluator
from glidewire.diffusion.token_noise import SeededTokenNoise
from glidewire.diffusion.token_run import TokenRecord
from glidewire.diffusion.trajectory import MemoryTrajectory
from torch import Tensor

CODES, SIDES, STEPS = 9, (4, 6), 4


class Neighbours:
    """Scores that depend on each token, the one beside it, the time and the condition; the last id is a mask."""

    prediction, learned_variance = "logits", False

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.own, self.beside = torch.randn(2, CODES + 1, CODES, generator=generator)

    def digest(self) -> str:
        return hashlib.sha256(self.own.numpy().tobytes()).hexdigest()

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return conditioning

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        scores = self.own[x_t] + self.beside[x_t.roll(1, -1)] * (1 + timesteps.float())[:, None, None, None]
        return (scores + conditioning["bias"][:, None, None]).movedim(-1, 1)


def renoise(denoiser: Denoiser, noise: SeededTokenNoise, **settings) -> Tensor:
    start = noise.start(SIDES, CODES)
    return renoising.sample_renoising(denoiser, renoising.linear_steps(STEPS), start, noise, **settings)


def mask(denoiser: Denoiser, noise: SeededTokenNoise, **settings) -> Tensor:
    start = torch.full((len(noise.seeds), *SIDES), CODES)
    return masking.sample_masked(denoiser, masking.maskgit_steps(STEPS), start, CODES, noise, **settings)


def in_order(denoiser: Denoiser, noise: SeededTokenNoise, **settings) -> Tensor:
    start = torch.full((len(noise.seeds), *SIDES), CODES)
    order = halton.halton_order(*SIDES) @ torch.tensor([SIDES[1], 1])
    return halton.sample_in_order(denoiser, halton.halton_steps(STEPS), start, order, noise, **settings)


SAMPLERS = pytest.mark.parametrize("sampler", [renoise, mask, in_order])


def guided(end: float = 1.0, network: Neighbours | None = None) -> Denoiser:
    network = network or Neighbours()
    bias = torch.linspace(-1, 1, CODES)[None]
    return guidance.classifier_free(Leaf(network, {"bias": bias}), Leaf(network, {"bias": 0 * bias}), 3.0, end=end)


@SAMPLERS
def test_a_resumed_run_is_the_whole_run(sampler: Callable[..., Tensor]) -> None:
    noise, stored = SeededTokenNoise((3, 4)), MemoryTrajectory()

    def run(end: float, **settings) -> tuple[Tensor, int]:
        evaluator = Evaluator()
        return sampler(guided(end), noise, evaluator=evaluator, store_every=1, **settings), evaluator.forwards

    whole, forwards = run(1.0, trajectory=stored)
    assert forwards == STEPS and torch.equal(whole, run(1.0)[0])
    again, forwards = run(1.0, trajectory=stored)
    assert forwards == 0 and torch.equal(again, whole)
    changed, forwards = run(0.5, trajectory=stored)
    assert forwards == STEPS / 2 and torch.equal(changed, run(0.5)[0])


@SAMPLERS
def test_items_do_not_depend_on_their_batch(sampler: Callable[..., Tensor]) -> None:
    both = sampler(guided(), SeededTokenNoise((3, 4)))
    assert torch.equal(both[1:], sampler(guided(), SeededTokenNoise((4,), first_item=1)))
    assert not torch.equal(both[:1], both[1:])


@SAMPLERS
def test_every_step_is_told_and_the_last_is_the_result(sampler: Callable[..., Tensor]) -> None:
    records: list[TokenRecord] = []
    result = sampler(guided(), SeededTokenNoise((3,)), on_step=records.append)
    assert [record.step.index for record in records] == list(range(STEPS))
    assert torch.equal(records[-1].next, result)
    assert all(torch.equal(a.next, b.tokens) for a, b in pairwise(records))
    assert int(result.max()) < CODES


@SAMPLERS
def test_a_listener_may_end_the_run_and_its_last_step_is_kept(sampler: Callable[..., Tensor]) -> None:
    def stop(record: TokenRecord) -> None:
        if record.step.index == 1:
            raise KeyboardInterrupt

    evaluator, stored = Evaluator(), MemoryTrajectory()
    with pytest.raises(KeyboardInterrupt):
        sampler(guided(), SeededTokenNoise((3,)), on_step=stop, evaluator=evaluator, trajectory=stored)
    assert evaluator.forwards == 2
    sampler(guided(), SeededTokenNoise((3,)), evaluator=(again := Evaluator()), trajectory=stored)
    assert again.forwards == STEPS - 2
