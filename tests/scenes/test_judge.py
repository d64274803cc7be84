"""The judge against the truth of fresh renders, clean and disturbed, and its scoring."""

from __future__ import annotations

import numpy as np
import pytest
from glidewire.errors import GlidewireError
from glidewire.scenes import Described, Scene, Statement, render, sample_scene
from glidewire.scenes.judge import Reading, Seen, judge, score
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage


def truth(scene: Scene) -> Statement:
    return Statement(tuple(Described(s.shape, s.colour, s.size) for s in scene.solids), scene.axis, scene.ground)


def share_right(count: int, size: int, disturb: float = 0.0) -> float:
    right = 0
    for seed in range(10**6, 10**6 + count):
        scene = sample_scene(seed, held_out=seed % 4 == 0)
        picture: NDArray[np.uint8] = render(scene, size)
        if disturb:
            noise = np.random.default_rng(seed).normal(0, 6 * disturb, picture.shape)
            blurred = ndimage.gaussian_filter(picture.astype(float), (disturb, disturb, 0))
            picture = np.clip(blurred + noise, 0, 255).round().astype(np.uint8)
        right += all(score(judge(picture), truth(scene)).values())
    return right / count


@pytest.mark.parametrize(("size", "count"), [(32, 150), (64, 50), (128, 25)])
def test_every_attribute_of_fresh_renders_is_read(size: int, count: int) -> None:
    assert share_right(count, size) >= 0.99


def test_mild_blur_and_noise_change_little() -> None:
    assert share_right(150, 32, disturb=0.4) >= 0.97


def test_an_empty_picture_holds_nothing() -> None:
    reading = judge(np.full((32, 32, 3), 240, np.uint8))
    assert reading == Reading((), "white")
    assert score(reading, Statement((Described("cube", "red"),), None, "white")) == {
        "objects": False,
        "shape": False,
        "colour": False,
        "ground": True,
    }


RED_CUBE = Seen("cube", "red", "large", x=-0.5, y=0.0, diameter=0.43)
BLUE_CONE = Seen("cone", "blue", "small", x=0.5, y=0.1, diameter=0.3)


def test_only_what_is_stated_is_judged() -> None:
    reading = Reading((RED_CUBE, BLUE_CONE), "sand")
    assert score(reading, Statement((Described("cube"), Described()))) == {"objects": True, "shape": True}
    stated = Statement((Described("cube", "red"), Described("cone", "blue", "small")), "left of", "slate")
    assert score(reading, stated) == {
        "objects": True,
        "shape": True,
        "colour": True,
        "size": True,
        "relation": True,
        "ground": False,
    }


def test_swapped_colours_and_swapped_places_are_told_apart() -> None:
    reading = Reading((RED_CUBE, BLUE_CONE), "sand")
    swapped_places = score(reading, Statement((Described("cone", "blue"), Described("cube", "red")), "left of"))
    assert swapped_places == {"objects": True, "shape": True, "colour": True, "relation": False}
    swapped_colours = score(reading, Statement((Described("cube", "blue"), Described("cone", "red")), "left of"))
    assert not swapped_colours["shape"] or not swapped_colours["colour"]


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(GlidewireError, match=r"picture to judge.*uint8 \[side side 3\].*float64"):
        judge(np.zeros((32, 32, 3)))  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 4, 8]), st.sampled_from([16, 32]))
def test_any_picture_at_all_gets_a_reading(seed: int, block: int, side: int) -> None:
    rng = np.random.default_rng(seed)
    palette = rng.integers(0, 256, (3, 3), dtype=np.uint8)
    blocks = palette[rng.integers(0, 3, (side // block, side // block))]
    picture = blocks.repeat(block, axis=0).repeat(block, axis=1)
    reading = judge(picture)
    assert all(-1 <= solid.x <= 1 and -1 <= solid.y <= 1 and 0 < solid.diameter <= 1 for solid in reading.solids)
    assert judge(picture) == reading
