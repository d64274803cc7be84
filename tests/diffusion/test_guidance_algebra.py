"""What every combiner of a conditional and an unconditional prediction keeps, alone and nested in any other."""

from __future__ import annotations

import pytest
import torch
from glidewire.diffusion import guidance, samplers, schedules, solvers
from glidewire.diffusion.denoiser import Denoiser, Leaf, signature
from glidewire.diffusion.evaluator import Evaluator, evaluate
from glidewire.diffusion.guidance import Scale, ScaleSchedule
from glidewire.diffusion.prediction import Step
from glidewire.diffusion.trajectory import MemoryTrajectory
from glidewire.errors import GlidewireError

SCHEDULE = schedules.squared_cosine(10)
STEP = Step.of(SCHEDULE, 4)
X_T = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def less_one(scale: Scale) -> Scale:
    """c + (s - 1) (c - u) is u + s (c - u)."""
    if isinstance(scale, ScaleSchedule):
        return ScaleSchedule(scale.first - 1, scale.last - 1, scale.shape)
    return scale - 1


# (c, u, scale, start, end) -> guided
GUIDED = {
    "classifier_free": guidance.classifier_free,
    "autoguidance": guidance.autoguidance,
    "composable": lambda c, u, s, *within: guidance.composable([c], u, [s], *within),
    "negative_prompt": lambda c, u, s, *within: guidance.negative_prompt(c, u, u, s, 3.0, *within),
    "perpendicular_negative": lambda c, u, s, *within: guidance.perpendicular_negative(c, u, [u], [2.0], s, *within),
    "two_scale": lambda c, u, s, *within: guidance.two_scale(c, u, u, 1.0, s, *within),
    "adaptive_projected": lambda c, u, s, *within: guidance.adaptive_projected(c, u, s, 0.3, 4.0, 0.0, *within),
    "momentum": lambda c, u, s, *within: guidance.adaptive_projected(c, u, s, 0.3, 4.0, -0.5, *within),
    "tangential": guidance.tangential,
    "zero_star": lambda c, u, s, *within: guidance.zero_star(c, u, s, 0, *within),
    "magnitude_aware": lambda c, u, s, *within: guidance.magnitude_aware(c, u, s, 2.0, *within),
    "frequency_decoupled": lambda c, u, s, *within: guidance.frequency_decoupled(c, u, [s, s], *within),
    "perturbed": lambda c, u, s, *within: guidance.perturbed(c, c, u, less_one(s), *within),
}
# (guided, conditional, start, end) -> bounded
BOUNDED = {
    "rescale": lambda p, c, *within: guidance.rescale(p, c, 0.7, *within),
    "dynamic_threshold": lambda p, c, *within: guidance.dynamic_threshold(p, 0.9, 3.0, *within),
    "static_threshold": lambda p, c, *within: guidance.static_threshold(p, 1.0, *within),
    "renoised": lambda p, c, *within: guidance.classifier_free_plus_plus(p, c, 0.5, *within),
}
every_guidance = pytest.mark.parametrize("guide", [pytest.param(guide, id=name) for name, guide in GUIDED.items()])
every_bound = pytest.mark.parametrize("bound", [pytest.param(bound, id=name) for name, bound in BOUNDED.items()])


@pytest.fixture(scope="module")
def branches(toy) -> tuple[Leaf, Leaf]:
    network = toy()
    return Leaf(network, {"text": 3 * torch.eye(3)[:1]}), Leaf(network, {"text": torch.zeros(1, 3)})


def eps(denoiser: Denoiser, step: Step = STEP) -> torch.Tensor:
    return evaluate(denoiser, X_T, step).eps(X_T, step)


@every_guidance
def test_scale_one_is_the_conditional(guide, branches) -> None:
    ramp = ScaleSchedule(1.0, 4.0)  # scale 1, but only in the first step
    first, last = Step.of(SCHEDULE, 0), Step.of(SCHEDULE, 9)
    for scale, step in ((1.0, STEP), (ramp, first)):
        if guide is GUIDED["negative_prompt"]:
            continue  # at scale 1 it still moves away from the negative
        assert torch.allclose(eps(guide(*branches, scale, 0.0, 1.0), step), eps(branches[0], step), atol=1e-5)
    assert not torch.allclose(eps(guide(*branches, ramp, 0.0, 1.0), last), eps(branches[0], last), atol=1e-3)


@every_guidance
def test_equal_branches_change_nothing(guide, branches) -> None:
    c, _ = branches
    assert torch.allclose(eps(guide(c, c, 7.5, 0.0, 1.0)), eps(c), atol=1e-5)


@every_bound
def test_what_is_in_bounds_stays(bound, given_answers) -> None:
    mild = given_answers({"c": X_T.clamp(-0.9, 0.9)}, "x_0").leaf("c")
    assert torch.equal(evaluate(bound(mild, mild, 0.0, 1.0), X_T, STEP).value, X_T.clamp(-0.9, 0.9))


@every_guidance
def test_an_interval_of_nothing_is_nothing(guide, branches) -> None:
    for index in range(10):
        step, evaluator = Step.of(SCHEDULE, index), Evaluator()
        found = evaluator(guide(*branches, 7.5, 0.3, 0.3), X_T, step)
        assert torch.equal(found.value, evaluate(branches[0], X_T, step).value)
        assert evaluator.rows == len(X_T)


@every_bound
def test_bounds_in_an_interval_of_nothing_are_none(bound, branches) -> None:
    p = guidance.classifier_free(*branches, 7.5)
    assert torch.equal(evaluate(bound(p, branches[0], 0.3, 0.3), X_T, STEP).value, evaluate(p, X_T, STEP).value)


@pytest.mark.parametrize("inner", GUIDED)
@pytest.mark.parametrize("outer", [*GUIDED, *BOUNDED])
def test_any_nesting_keeps_the_variance(outer: str, inner: str, branches) -> None:
    c, u = branches
    inside = GUIDED[inner](c, u, 3.0, 0.0, 1.0)
    nested = BOUNDED[outer](inside, c, 0.0, 1.0) if outer in BOUNDED else GUIDED[outer](inside, u, 2.0, 0.0, 1.0)
    evaluator = Evaluator()
    found = evaluator(nested, X_T, STEP)
    assert torch.equal(found.variance, evaluate(c, X_T, STEP).variance)
    assert found.value.isfinite().all()
    assert evaluator.forwards == 1
    assert evaluator.rows == 2 * len(X_T)


@every_guidance
def test_scales_and_intervals_are_checked_at_every_scale(guide, branches) -> None:
    with pytest.raises(GlidewireError, match="impossible scale; expected a finite number"):
        guide(*branches, float("nan"), 0.0, 1.0)
    with pytest.raises(GlidewireError, match="impossible interval"):
        guide(*branches, 1.0, 0.7, 0.2)


@every_guidance
def test_another_scale_is_another_text(guide, branches) -> None:
    texts = {signature(guide(*branches, scale, 0.0, 1.0), 3, 10) for scale in (2.0, 3.0, ScaleSchedule(2.0, 3.0))}
    texts.add(signature(guide(*branches, ScaleSchedule(2.0, 3.0, "cosine"), 0.0, 1.0), 3, 10))
    assert len(texts) == 4


def test_forms_that_are_classifier_free_guidance(branches) -> None:
    c, u = branches
    expected = eps(guidance.classifier_free(c, u, 4.0))
    for same in (
        guidance.autoguidance(c, u, 4.0),
        guidance.composable([c], u, [4.0]),
        guidance.composable([c, c], u, [3.0, 1.0]),
        guidance.negative_prompt(c, u, c, 6.0, 2.0),
        guidance.perpendicular_negative(c, u, [], [], 4.0),
        guidance.perpendicular_negative(c, u, [c], [5.0], 4.0),
        guidance.two_scale(c, c, u, 4.0, 1.0),
        guidance.two_scale(c, u, u, 1.0, 4.0),
        guidance.adaptive_projected(c, u, 4.0, parallel_strength=1.0),
        guidance.magnitude_aware(c, u, 4.0, damping=0.0),
        guidance.frequency_decoupled(c, u, [4.0, 4.0]),
        guidance.frequency_decoupled(c, u, [4.0]),
        guidance.perturbed(c, c, u, 3.0),
        guidance.perturbed(u, c, u, 4.0),
    ):
        assert torch.allclose(eps(same), expected, atol=1e-4), same.name


def test_linear_guidance_commutes(branches, toy) -> None:
    """Guidance of guided branches is the guided branch of guidance."""
    c, u = branches
    worse = toy(seed=1)
    bad = [Leaf(worse, leaf.conditioning) for leaf in (c, u)]
    one = guidance.autoguidance(guidance.classifier_free(c, u, 3.0), guidance.classifier_free(*bad, 3.0), 1.7)
    other = guidance.classifier_free(guidance.autoguidance(c, bad[0], 1.7), guidance.autoguidance(u, bad[1], 1.7), 3.0)
    assert torch.allclose(eps(one), eps(other), atol=1e-4)
    bands = guidance.frequency_decoupled(
        guidance.autoguidance(c, bad[0], 1.7), guidance.autoguidance(u, bad[1], 1.7), [5.0, 2.0]
    )
    split = [guidance.frequency_decoupled(*pair, [5.0, 2.0]) for pair in ((c, u), bad)]
    assert torch.allclose(eps(bands), eps(guidance.autoguidance(*split, 1.7)), atol=1e-4)


def test_momentum_is_remembered_forgotten_and_resumed(branches) -> None:
    c, u = branches

    def guided(momentum: float, start: float = 0.0, end: float = 1.0) -> Denoiser:
        return guidance.adaptive_projected(c, u, 3.0, 1.0, momentum=momentum, start=start, end=end)

    def run(denoiser: Denoiser, **options) -> torch.Tensor:
        return samplers.sample(denoiser, SCHEDULE, X_T, solvers.ddim(clip=False), **options)

    with_momentum = run(guided(-0.5))
    assert not torch.allclose(with_momentum, run(guided(0.0)), atol=1e-3)
    # One step of momentum has nothing to remember.
    assert torch.equal(run(guided(-0.5, 0.3, 0.4)), run(guided(0.0, 0.3, 0.4)))
    store = MemoryTrajectory()
    run(guided(-0.5, end=0.5), trajectory=store, store_every=2)
    evaluator, seen = Evaluator(), []
    resumed = run(guided(-0.5), trajectory=store, evaluator=evaluator, on_step=lambda record: seen.append(record.index))
    assert seen[0] == 5
    assert torch.equal(resumed, with_momentum)
    # A run with the same evaluator starts without the last one's memory.
    assert torch.equal(run(guided(-0.5), evaluator=evaluator), with_momentum)


def test_two_momenta_in_one_expression_keep_apart(branches, toy) -> None:
    c, u = branches
    bad = [Leaf(toy(seed=1), leaf.conditioning) for leaf in (c, u)]
    pair = [guidance.adaptive_projected(*each, 3.0, momentum=-0.5) for each in ((c, u), bad)]
    together, alone, evaluator = guidance.autoguidance(*pair, 2.0), [Evaluator(), Evaluator()], Evaluator()
    for index in range(3):
        step = Step.of(SCHEDULE, index)
        first, second = (each(one, X_T, step).eps(X_T, step) for each, one in zip(alone, pair, strict=True))
        found = evaluator(together, X_T, step).eps(X_T, step)
        assert torch.allclose(found, second + 2 * (first - second), atol=1e-4)
    assert len(evaluator.memory) == 2
