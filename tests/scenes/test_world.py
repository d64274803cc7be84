"""The scene world: seeds, the split, and what scenes hold."""

from __future__ import annotations

import pytest
from glidewire.errors import GlidewireError
from glidewire.scenes import sample_scene
from glidewire.scenes.world import DIAMETERS, HELD_OUT_OBJECTS, TINTS


def test_a_seed_names_one_scene() -> None:
    assert sample_scene(7) == sample_scene(7)
    assert sample_scene(7) != sample_scene(8)
    assert sample_scene(7) != sample_scene(7, held_out=True)


def test_training_scenes_hold_nothing_that_is_held_out() -> None:
    scenes = [sample_scene(seed) for seed in range(2000)]
    assert not any(scene.held_out for scene in scenes)
    assert not any((s.colour, s.shape) in HELD_OUT_OBJECTS for scene in scenes for s in scene.solids)


def test_held_out_scenes_are_new_by_object_or_by_arrangement() -> None:
    scenes = [sample_scene(seed, held_out=True) for seed in range(300)]
    assert all(scene.held_out for scene in scenes)
    by_object = [any((s.colour, s.shape) in HELD_OUT_OBJECTS for s in scene.solids) for scene in scenes]
    assert any(by_object) and not all(by_object)


def test_tints_come_in_by_chance_and_hold_nothing_that_is_held_out() -> None:
    scenes = [sample_scene(seed, tints=0.4) for seed in range(600)]
    solids = [solid for scene in scenes for solid in scene.solids]
    assert 0.35 < sum(solid.colour in TINTS for solid in solids) / len(solids) < 0.45
    assert {solid.colour for solid in solids} >= set(TINTS)
    assert not any(scene.held_out for scene in scenes)
    assert all(len({solid.colour for solid in scene.solids}) == len(scene.solids) for scene in scenes)
    assert not any(s.colour in TINTS for seed in range(300) for s in sample_scene(seed, held_out=True).solids)


def test_pairs_differ_in_colour_and_stand_as_their_axis_says() -> None:
    for scene in (sample_scene(seed) for seed in range(300)):
        assert all(DIAMETERS[s.size][0] <= s.diameter <= DIAMETERS[s.size][1] for s in scene.solids)
        if scene.axis is None:
            assert len(scene.solids) == 1
            continue
        first, second = scene.solids
        assert first.colour != second.colour
        assert first.x < second.x if scene.axis == "left of" else first.y > second.y and first.floating


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(GlidewireError, match=r"seed of a scene.*non-negative.*-1"):
        sample_scene(-1)
