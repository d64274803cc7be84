"""The renderer: form, determinism, light, and agreement between resolutions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from glidewire.errors import GlidewireError
from glidewire.scenes import Scene, Solid, render, sample_scene

CUBE = Solid("cube", "red", "large", diameter=0.43, x=0.0, y=0.0, yaw=0.7)


def test_a_picture_is_uint8_and_always_the_same() -> None:
    scene = sample_scene(3)
    picture = render(scene, 24)
    assert picture.shape == (24, 24, 3) and picture.dtype == np.uint8
    assert np.array_equal(picture, render(scene, 24))


def test_a_small_picture_is_the_large_one_seen_from_afar() -> None:
    scene = sample_scene(5)
    small = render(scene, 16).astype(float)
    large = render(scene, 64).astype(float).reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(small - large).mean() < 2.5


@pytest.mark.parametrize("shape", ["sphere", "cube", "cone", "cylinder"])
def test_a_silhouette_has_the_stated_place_and_diameter(shape: str) -> None:
    solid = replace(CUBE, shape=shape, x=0.2, y=-0.1)
    picture = render(Scene((solid,), "white", None, 0.0), 128).astype(int)
    rows, columns = np.nonzero(picture.max(2) - picture.min(2) > 90)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert max(height, width) == pytest.approx(0.43 * 128, abs=3)
    assert (columns.min() + columns.max() + 1) / 128 - 1 == pytest.approx(0.2, abs=0.04)
    assert 1 - (rows.min() + rows.max() + 1) / 128 == pytest.approx(-0.1, abs=0.04)


def test_light_falls_from_the_upper_left_and_throws_a_soft_shadow() -> None:
    picture = render(Scene((CUBE,), "white", None, 0.0), 128).astype(float)
    bare = render(Scene((replace(CUBE, x=9.0),), "white", None, 0.0), 128).astype(float)
    solid = picture.max(2) - picture.min(2) > 90
    rows, columns = np.nonzero(solid)
    lower = rows > np.quantile(rows, 0.6)
    middle = np.median(columns)
    left = picture[rows[lower & (columns < middle - 8)], columns[lower & (columns < middle - 8)], 0].mean()
    right = picture[rows[lower & (columns > middle + 8)], columns[lower & (columns > middle + 8)], 0].mean()
    assert left > right + 20
    darkening = (bare - picture).mean(2)[~solid]
    assert darkening.max() > 25  # a shadow
    assert ((darkening > 5) & (darkening < 0.6 * darkening.max())).sum() > 50  # with a penumbra


def test_a_size_below_eight_pixels_is_refused() -> None:
    with pytest.raises(GlidewireError, match=r"size of a rendered scene.*at least 8 pixels.*got 4"):
        render(sample_scene(0), 4)
