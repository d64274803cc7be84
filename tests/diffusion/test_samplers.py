from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from glidewire.diffusion import guidance, samplers, schedules, solvers
from glidewire.diffusion.denoiser import Combination, Denoiser, Leaf
from glidewire.diffusion.evaluator import Evaluator
from glidewire.diffusion.noise import SeededNoise
from glidewire.diffusion.trajectory import MemoryTrajectory
from glidewire.errors import GlidewireError
from torch import Tensor

FULL = schedules.squared_cosine(200)
SCHEDULE = schedules.respace(FULL, "20")
NOISE = SeededNoise((5, 6))
X_T = NOISE.draw((2, 4, 4))
SOLVERS = {
    "ddim": solvers.ddim(),
    "ddim_eta": solvers.ddim(0.7),
    "ancestral": solvers.ancestral(),
    "unclipped": solvers.ddim(clip=False),
}


@pytest.fixture(scope="module")
def pair(toy) -> tuple[Leaf, Leaf]:
    network = toy()
    return Leaf(network, {"text": torch.eye(3)[:1]}), Leaf(network, {"text": torch.zeros(1, 3)})


@pytest.fixture(params=[*SOLVERS])
def solver(request) -> solvers.Solver:
    return SOLVERS[request.param]


def run(denoiser: Denoiser, solver: solvers.Solver, **options) -> tuple[Tensor, int]:
    """The result, and how many forwards it took."""
    evaluator = Evaluator()
    schedule, x_T = options.pop("schedule", SCHEDULE), options.pop("x_T", X_T)
    noise = options.pop("noise", NOISE)
    result = samplers.sample(denoiser, schedule, x_T, solver, noise, evaluator=evaluator, **options)
    return result, evaluator.forwards


# A run resumed from a stored state equals a fresh one, bit for bit.


def test_storing_changes_nothing_and_the_same_run_is_not_computed_again(pair, solver) -> None:
    guided, store = guidance.classifier_free(*pair, 3.0), MemoryTrajectory()
    fresh, _ = run(guided, solver)
    first, forwards = run(guided, solver, trajectory=store)
    again, none = run(guided, solver, trajectory=store)
    assert torch.equal(first, fresh)
    assert torch.equal(again, fresh)
    assert (forwards, none) == (20, 0)


@pytest.mark.parametrize("change", [1, 7, 10, 19])
def test_guidance_changed_from_a_step_on_resumes_before_it(pair, solver, change: int) -> None:
    c, u = pair
    store, fraction = MemoryTrajectory(), change / 20
    run(guidance.classifier_free(c, u, 3.0), solver, trajectory=store, store_every=5)
    early = guidance.classifier_free(c, u, 3.0, end=fraction)
    changed = guidance.classifier_free(early, u, 6.0, start=fraction)
    fresh, _ = run(changed, solver)
    resumed, forwards = run(changed, solver, trajectory=store, store_every=5)
    assert torch.equal(resumed, fresh)
    assert forwards == 20 - change // 5 * 5


def test_states_are_stored_where_the_active_guidance_changes(pair, solver) -> None:
    c, u = pair
    store = MemoryTrajectory()
    run(guidance.classifier_free(c, u, 3.0, end=0.35), solver, trajectory=store, store_every=0)
    assert len(store.states) == 2
    later = guidance.classifier_free(guidance.classifier_free(c, u, 3.0, end=0.35), u, 2.0, start=0.35)
    fresh, _ = run(later, solver)
    resumed, forwards = run(later, solver, trajectory=store, store_every=0)
    assert torch.equal(resumed, fresh)
    assert forwards == 13


def test_another_tail_of_the_schedule_resumes_at_the_common_part(pair, solver) -> None:
    """The noisy sections agree; the clean one has another number of steps."""
    guided, store = guidance.classifier_free(*pair, 3.0), MemoryTrajectory()
    long, short = schedules.respace(FULL, "8,6,6"), schedules.respace(FULL, "3,6,6")
    run(guided, solver, schedule=long, trajectory=store, store_every=5)
    fresh, _ = run(guided, solver, schedule=short)
    resumed, forwards = run(guided, solver, schedule=short, trajectory=store, store_every=5)
    assert torch.equal(resumed, fresh)
    assert forwards == 15 - 10


def test_a_combiner_that_reads_progress_never_shares_across_lengths(pair) -> None:
    def fade(inputs, x_t, step):
        return inputs["a"].with_value(inputs["a"].value * (1 - step.index / step.total))

    faded, store = Combination(fade, {"a": pair[0]}, "fade"), MemoryTrajectory()
    long, short = schedules.respace(FULL, "8,6,6"), schedules.respace(FULL, "3,6,6")
    run(faded, solvers.ddim(), schedule=long, trajectory=store, store_every=1)
    fresh, _ = run(faded, solvers.ddim(), schedule=short)
    resumed, forwards = run(faded, solvers.ddim(), schedule=short, trajectory=store, store_every=1)
    assert torch.equal(resumed, fresh)
    assert forwards == 15


def test_anything_that_matters_misses(pair, toy) -> None:
    c, u = pair
    guided, store = guidance.classifier_free(c, u, 3.0), MemoryTrajectory()
    run(guided, solvers.ancestral(), trajectory=store, store_every=1)
    changed = [
        ({"x_T": X_T + 1e-6}, guided, solvers.ancestral()),
        ({"noise": SeededNoise((5, 7))}, guided, solvers.ancestral()),
        ({"schedule": schedules.respace(FULL, "19")}, guided, solvers.ancestral()),
        ({}, guided, solvers.ancestral(0.9)),
        ({}, guidance.classifier_free(c, u, 3.1), solvers.ancestral()),
        ({}, guidance.classifier_free(Leaf(toy(seed=1), c.conditioning), u, 3.0), solvers.ancestral()),
    ]
    for options, denoiser, solver in changed:
        _, forwards = run(denoiser, solver, trajectory=store, store_every=0, **options)
        steps = len(options.get("schedule", SCHEDULE))
        # Two networks cannot share a forward.
        assert forwards in (steps, 2 * steps)


def test_the_weights_are_read_once_for_all_keys(toy) -> None:
    network = toy()
    guided = guidance.classifier_free(
        Leaf(network, {"text": torch.eye(3)[:1]}), Leaf(network, {"text": torch.zeros(1, 3)}), 3.0
    )
    run(guided, solvers.ddim(), trajectory=MemoryTrajectory())
    assert network.digests == 1
    run(guided, solvers.ddim())
    assert network.digests == 1


def test_the_seed_does_not_matter_to_a_deterministic_solver(pair) -> None:
    store = MemoryTrajectory()
    one, _ = run(pair[0], solvers.ddim(), trajectory=store)
    other, forwards = run(pair[0], solvers.ddim(), trajectory=store, noise=SeededNoise((8, 9)))
    assert torch.equal(one, other)
    assert forwards == 0


def test_a_stored_state_that_does_not_fit_is_not_trusted(pair) -> None:
    class Damaged(MemoryTrajectory):
        def load(self, key: str) -> Mapping[str, Tensor] | None:
            state = super().load(key)
            return None if state is None else {"x_t": state["x_t"][:, :1]}

    store = Damaged()
    fresh, _ = run(pair[0], solvers.ddim(), trajectory=store)
    again, forwards = run(pair[0], solvers.ddim(), trajectory=store)
    assert torch.equal(again, fresh)
    assert forwards == 20


def test_a_result_from_the_store_is_the_callers_own(pair) -> None:
    store = MemoryTrajectory()
    run(pair[0], solvers.ddim(), trajectory=store)
    first, _ = run(pair[0], solvers.ddim(), trajectory=store)
    kept = first.clone()
    first.zero_()
    assert torch.equal(run(pair[0], solvers.ddim(), trajectory=store)[0], kept)


# What a run reports, and how it ends.


def test_on_step_reports_every_step(pair) -> None:
    records: list[samplers.StepRecord] = []
    result, _ = run(guidance.classifier_free(*pair, 2.0), solvers.ddim(), on_step=records.append)
    assert [record.index for record in records] == [*range(20)]
    assert [record.timestep for record in records] == [*reversed(SCHEDULE.timesteps)]
    assert all(record.total == 20 for record in records)
    assert all(record.x_0.abs().max() <= 1 for record in records)
    assert torch.equal(records[-1].x_next, result)
    assert torch.equal(records[1].x_t, records[0].x_next)
    norms = records[0].norms()
    assert {name: tuple(norm.shape) for name, norm in norms.items()} == {"x_t": (2,), "x_0": (2,), "eps": (2,)}
    assert norms["x_t"][0].item() == pytest.approx(X_T[0].square().mean().sqrt().item())


@pytest.mark.parametrize("last", [0, 3, 9, 11])
def test_cancelling_ends_within_one_step_and_loses_none(pair, solver, last: int) -> None:
    class Cancelled(Exception):
        pass

    def cancel(record: samplers.StepRecord) -> None:
        if record.index == last:
            raise Cancelled

    evaluator, store = Evaluator(), MemoryTrajectory()
    settings = {"on_step": cancel, "trajectory": store, "evaluator": evaluator}
    with pytest.raises(Cancelled):
        samplers.sample(pair[0], SCHEDULE, X_T, solver, NOISE, **settings)
    assert evaluator.forwards == last + 1
    resumed, forwards = run(pair[0], solver, trajectory=store)
    assert forwards == len(SCHEDULE) - last - 1 and torch.equal(resumed, run(pair[0], solver)[0])


def test_the_same_run_twice_is_the_same_and_touches_nothing(pair, solver) -> None:
    before = X_T.clone()
    guided = guidance.classifier_free(*pair, 3.0)
    assert torch.equal(run(guided, solver)[0], run(guided, solver)[0])
    assert torch.equal(X_T, before)


def test_a_picture_of_a_batch_can_be_made_again_alone(pair, solver) -> None:
    guided = guidance.classifier_free(*pair, 2.0)
    batch, _ = run(guided, solver)
    noise = SeededNoise((6,), first_item=1)
    alone, _ = run(guided, solver, noise=noise, x_T=noise.draw((2, 4, 4)))
    assert torch.allclose(alone[0], batch[1], atol=1e-5)


def test_a_run_in_two_parts_is_one_run(pair, solver) -> None:
    whole, _ = run(pair[0], solver)
    half, _ = run(pair[0], solver, stop_index=9)
    assert torch.equal(run(pair[0], solver, x_T=half, start_index=9)[0], whole)


def test_low_precision_states_are_computed_in_single(pair) -> None:
    assert run(pair[0], solvers.ddim(), x_T=X_T.bfloat16())[0].dtype == torch.float32
    empty, _ = run(pair[0], solvers.ddim(), start_index=20)
    assert torch.equal(empty, X_T)
    assert empty.data_ptr() != X_T.data_ptr()


def test_a_state_that_is_not_finite_names_the_step(pair) -> None:
    def explode(inputs, x_t, step):
        return inputs["a"].with_value(inputs["a"].value / (0.0 if step.index == 3 else 1.0))

    with pytest.raises(GlidewireError, match=r"step 3 of 20 \(timestep \d+\): the state is not finite.*64 of 64"):
        run(Combination(explode, {"a": pair[0]}, "explode"), solvers.ddim(clip=False))


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (6, 5), (0, 21)])
def test_steps_outside_the_schedule(pair, start: int, stop: int) -> None:
    with pytest.raises(GlidewireError, match=f"start_index <= stop_index <= 20; got {start} and {stop}"):
        run(pair[0], solvers.ddim(), start_index=start, stop_index=stop)


def test_noise_is_asked_for(pair) -> None:
    with pytest.raises(GlidewireError, match=r"step 0 of 20 adds noise.*SeededNoise"):
        run(pair[0], solvers.ancestral(), noise=None)


# Starting from a picture.


@pytest.mark.parametrize(("strength", "start"), [(0.0, 20), (0.25, 15), (0.5, 10), (1.0, 0)])
def test_strength_is_the_fraction_of_steps_that_run(pair, strength: float, start: int) -> None:
    picture = torch.full((2, 2, 4, 4), 0.5)
    x_t, index = samplers.sdedit_start(picture, SCHEDULE, strength, NOISE)
    assert index == start
    _, forwards = run(pair[0], solvers.ddim(), x_T=x_t, start_index=index)
    assert forwards == 20 - start


def test_sdedit_noises_exactly_to_its_step() -> None:
    picture = torch.full((2, 2, 4, 4), 0.5)
    x_t, index = samplers.sdedit_start(picture, SCHEDULE, 0.5, NOISE)
    alpha_bar = SCHEDULE.alpha_bar[20 - 1 - index].item()
    drawn = NOISE(index, picture, "sdedit")
    assert torch.allclose(x_t, alpha_bar**0.5 * picture + (1 - alpha_bar) ** 0.5 * drawn)
    kept, _ = samplers.sdedit_start(picture, SCHEDULE, 0.0, NOISE)
    assert torch.equal(kept, picture)
    assert kept.data_ptr() != picture.data_ptr()


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_impossible_strength(strength: float) -> None:
    with pytest.raises(GlidewireError, match="sdedit_start: impossible strength; expected 0 to 1"):
        samplers.sdedit_start(X_T, SCHEDULE, strength, NOISE)


def test_inversion_comes_back_closer_with_more_steps(pair) -> None:
    picture = X_T * 0.3
    errors = []
    for spacing in ("20", "100"):
        schedule = schedules.respace(FULL, spacing)
        x_T = samplers.invert(pair[0], schedule, picture)
        again = samplers.sample(pair[0], schedule, x_T, solvers.ddim(clip=False), stop_index=len(schedule) - 1)
        errors.append((again - picture).abs().max().item())
    assert errors[1] < errors[0] / 2
