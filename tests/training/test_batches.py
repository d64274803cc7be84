"""Batches: the pictures that were asked for, in order, and captions that are true of them."""

from __future__ import annotations

import numpy as np
import torch
from glidewire.scenes import Caption, caption, sample_scene
from glidewire.scenes.judge import judge, score
from glidewire.scenes.render import render
from glidewire.training import batches
from glidewire.training.pool import Pool
from glidewire.training.timesteps import stratified
from hypothesis import given
from hypothesis import strategies as st


def test_pictures_come_in_the_order_asked_for(small_pool: Pool) -> None:
    chosen = np.array([7, 2, 2, 11])
    found = batches.pictures(small_pool, chosen)
    assert found.shape == (4, 3, 32, 32) and found.abs().max() <= 1
    for row, index in zip(found, chosen, strict=True):
        back = ((row + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
        assert np.array_equal(back, small_pool.pictures[index])


@given(st.integers(0, 500))
def test_everything_that_is_said_of_a_scene_is_seen(seed: int) -> None:
    scene = sample_scene(seed)
    whole = batches.everything(scene)
    scores = score(judge(render(scene, 64)), whole.statement)
    assert all(scores.values()) and scores.keys() >= {"shape", "colour", "size", "ground"}


def test_captions_are_drawn_anew_and_some_are_left_empty(small_pool: Pool) -> None:
    chosen = np.arange(12)
    first, other = (batches.captions(small_pool, chosen, np.random.default_rng(n), silence=0.1) for n in (0, 1))
    assert [one.text for one in first] != [one.text for one in other]
    many: list[Caption] = [caption(sample_scene(0), 0)] * 400
    kept = batches.texts(many, np.random.default_rng(0), empty=0.25)
    assert 0.15 < kept.count("") / 400 < 0.35


@given(st.integers(1, 40), st.integers(40, 1000), st.integers(0, 5))
def test_timesteps_are_spread_over_the_schedule(count: int, steps: int, seed: int) -> None:
    found = stratified(count, steps, torch.Generator().manual_seed(seed)).sort().values
    assert found.min() >= 0 and found.max() < steps
    parts = (found.double() + 0.5) * count / steps
    assert (parts - (torch.arange(count) + 0.5)).abs().max() <= 1 + count / steps
