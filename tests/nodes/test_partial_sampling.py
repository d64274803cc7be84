"""Sampling up to a step: the rest of the walk ends where the whole walk ends, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.cache import Cache
from glidewire.graph_runtime.cache.memo import CacheMemo
from glidewire.graph_runtime.context import Context
from glidewire.nodes import guidance, partial_sampling, samplers
from glidewire.nodes.sockets import CLEAN


@pytest.mark.parametrize("solver", ["ancestral", "ddim"])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_rest_of_the_walk_ends_where_the_whole_ends(materials: Any, solver: Any, steps: int) -> None:
    walk = {"denoiser": materials.denoiser(), "schedule": materials.schedule}
    rest = samplers.ancestral_sampler if solver == "ancestral" else samplers.ddim_sampler
    middle = partial_sampling.sample_until(**walk, start=materials.start(), steps=steps, solver=solver)
    assert middle.timestep == materials.schedule.timesteps[len(materials.schedule) - 1 - steps]
    whole = rest(**walk, start=materials.start())
    assert torch.equal(rest(**walk, start=middle).tensor, whole.tensor)


def test_other_guidance_goes_on_from_the_middle(materials: Any) -> None:
    conditional, unconditional = materials.denoiser(), materials.denoiser("")
    guided = guidance.classifier_free_guidance(conditional, unconditional, 5.0)
    middle = partial_sampling.sample_until(conditional, materials.schedule, materials.start(), steps=2)
    changed = samplers.ancestral_sampler(guided, materials.schedule, middle)
    plain = samplers.ancestral_sampler(conditional, materials.schedule, middle)
    assert not torch.equal(changed.tensor, plain.tensor)


def test_a_walk_to_the_end_leaves_nothing_to_walk(materials: Any) -> None:
    walk = (materials.denoiser(), materials.schedule)
    end = partial_sampling.sample_until(*walk, materials.start(), steps=len(materials.schedule))
    assert end.timestep == CLEAN
    assert torch.equal(samplers.ancestral_sampler(*walk, end).tensor, end.tensor)


def test_a_walk_cannot_stop_before_it_starts_or_after_its_end(materials: Any) -> None:
    walk = (materials.denoiser(), materials.schedule)
    middle = partial_sampling.sample_until(*walk, materials.start(), steps=2)
    total = len(materials.schedule)
    with pytest.raises(GlidewireError, match=rf"cannot stop after 1 steps; expected 2 to {total}"):
        partial_sampling.sample_until(*walk, middle, steps=1)
    with pytest.raises(GlidewireError, match=rf"cannot stop after 999 steps; expected 0 to {total}"):
        partial_sampling.sample_until(*walk, materials.start(), steps=999)


def test_what_a_sampler_stored_need_not_be_walked_again(materials: Any) -> None:
    """Both know a state by all that it depends on, so either resumes what the other left."""
    cache, walk = (
        Cache(),
        {"denoiser": materials.denoiser(), "schedule": materials.schedule, "start": materials.start()},
    )
    done: list[int] = []

    def context(node: Any) -> Context:
        memo = CacheMemo(cache, node.declaration, {})
        return Context(memo=memo, on_progress=lambda at, total, text, preview: done.append(at))

    steps = len(materials.schedule)
    partial_sampling.sample_until(**walk, steps=steps - 1, context=context(partial_sampling.sample_until))
    assert done == list(range(1, steps))
    done.clear()
    samplers.ancestral_sampler(**walk, context=context(samplers.ancestral_sampler))
    assert done == [steps]
