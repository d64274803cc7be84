from __future__ import annotations

import pytest
import torch
from glidewire.diffusion import guidance, samplers, schedules, solvers
from glidewire.diffusion.denoiser import Leaf, active
from glidewire.diffusion.evaluator import Evaluator
from glidewire.diffusion.noise import SeededNoise
from glidewire.diffusion.trajectory import MemoryTrajectory
from glidewire.errors import GlidewireError

SCHEDULE = schedules.squared_cosine(10)
X_T = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0)).repeat(2, 1, 1, 1)
NOISE = SeededNoise((5, 5))


@pytest.fixture(scope="module")
def leaf(toy) -> Leaf:
    return Leaf(toy(), {"text": torch.tensor([[2.0, -1.0, 0.5]])})


def annealed(leaf: Leaf, **changes):
    return guidance.condition_annealed(leaf, **{"noise": NOISE, "batch": 2, "levels": 10, **changes})


def test_annealing_by_its_formula() -> None:
    assert [guidance.annealing(t, 0.5, 0.9) for t in (0.0, 0.5, 0.6, 0.7, 0.9, 1.0)] == pytest.approx(
        [1, 1, 0.75, 0.5, 0, 0]
    )
    assert guidance.annealing(0.7, 0.6, 0.6) == 0


def test_mixing_gives_back_mean_and_deviation() -> None:
    generator = torch.Generator().manual_seed(1)
    y = 3 + 2 * torch.randn(2, 5, 7, generator=generator)
    noise = torch.randn(2, 5, 7, generator=generator)
    plain = guidance.noised_condition(y, noise, 0.36, 0.5, 0.0)
    assert torch.allclose(plain, 0.6 * y + 0.4 * noise)
    restored = guidance.noised_condition(y, noise, 0.36, 0.5, 1.0)
    assert torch.allclose(restored.mean((1, 2)), y.mean((1, 2)), atol=1e-5)
    assert torch.allclose(restored.std((1, 2)), y.std((1, 2)), atol=1e-5)
    assert torch.allclose(guidance.noised_condition(y, noise, 1.0, 0.5, 1.0), y, atol=1e-5)


def test_each_step_sees_one_condition_and_the_last_steps_the_true_one(leaf) -> None:
    denoiser = annealed(leaf, clean_until=0.6, noise_from=0.9)
    for index in range(10):
        inside = active(denoiser, index, 10)
        if 1 - index / 10 <= 0.6:
            assert inside is leaf
        else:
            seen = inside.inputs["inside"].conditioning["text"]
            assert seen.shape == (2, 3)
            assert not torch.allclose(seen[0], seen[1])
    assert torch.equal(leaf.conditioning["text"], torch.tensor([[2.0, -1.0, 0.5]]))


def test_it_costs_no_evaluation_and_makes_equal_starts_differ(leaf) -> None:
    evaluator = Evaluator()
    result = samplers.sample(annealed(leaf), SCHEDULE, X_T, solvers.ddim(), evaluator=evaluator)
    assert (evaluator.forwards, evaluator.rows) == (10, 20)
    assert not torch.allclose(result[0], result[1], atol=1e-3)
    assert annealed(leaf, noise_scale=0.0) is leaf
    assert annealed(leaf, clean_until=1.0, noise_from=1.0) is leaf


def test_a_picture_is_made_again_alone_and_resumed(leaf) -> None:
    denoiser, store = annealed(leaf), MemoryTrajectory()
    both = samplers.sample(denoiser, SCHEDULE, X_T, solvers.ddim(), trajectory=store, store_every=0)
    alone = annealed(leaf, noise=SeededNoise((5,), first_item=1), batch=1)
    assert torch.allclose(samplers.sample(alone, SCHEDULE, X_T[1:], solvers.ddim())[0], both[1], atol=1e-5)
    evaluator = Evaluator()
    guided = guidance.classifier_free(denoiser, Leaf(leaf.network, {"text": torch.zeros(1, 3)}), 3.0, 0.8)
    samplers.sample(guided, SCHEDULE, X_T, solvers.ddim(), trajectory=store, evaluator=evaluator)
    assert evaluator.forwards == 6  # the condition last changes after 4 steps


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": 0}, "impossible numbers"),
        ({"noise_scale": -1.0}, "impossible numbers"),
        ({"clean_until": 0.95}, "clean before it is noise; expected clean_until <= noise_from"),
        ({"noise_scale": float("inf")}, "impossible numbers"),
        ({"mixing": 1.5}, "impossible mixing; expected 0 to 1; got 1.5"),
        ({"names": ["image"]}, "no such tensor of floating point in the condition; expected text; got image"),
    ],
)
def test_impossible_arguments(leaf, changes, message: str) -> None:
    with pytest.raises(GlidewireError, match=message):
        annealed(leaf, **changes)


def test_what_has_no_condition_of_its_own_is_named(leaf) -> None:
    with pytest.raises(GlidewireError, match=r"only a network under a condition.*got a combination, static_threshold"):
        annealed(guidance.static_threshold(leaf))
    with pytest.raises(GlidewireError, match="expected a condition with one; got none"):
        annealed(Leaf(leaf.network, {"label": torch.tensor([3])}))
    with pytest.raises(GlidewireError, match=r"condition 'text' does not fit the batch.*got shape \[3, 3\]"):
        annealed(Leaf(leaf.network, {"text": torch.zeros(3, 3)}))
