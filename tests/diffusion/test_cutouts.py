"""Cutouts lie in the picture, and the spherical distance is half a squared angle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from glidewire.diffusion.cutouts import cutout_boxes, cutouts, spherical_distance
from glidewire.errors import GlidewireError
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.floats(0, 4), st.integers(0, 99))
def test_squares_lie_in_the_picture(height: int, width: int, least: int, power: float, seed: int) -> None:
    boxes = cutout_boxes((height, width), 5, least, power, np.random.default_rng(seed))
    assert len(boxes) == 5
    for top, left, side in boxes:
        assert 0 <= top <= height - side and 0 <= left <= width - side
        assert min(least, height, width) <= side <= min(height, width)


def test_a_high_power_favours_small_squares() -> None:
    mean = [
        np.mean([side for *_, side in cutout_boxes((64, 64), 400, 8, power, np.random.default_rng(0))])
        for power in (0.3, 1.0, 3.0)
    ]
    assert mean[0] > mean[1] > mean[2]


def test_squares_are_averaged_to_one_size_box_by_box() -> None:
    picture = torch.arange(2 * 3 * 8 * 8.0).reshape(2, 3, 8, 8)
    seen = cutouts(picture, [(0, 0, 8), (2, 4, 4)], 4)
    assert seen.shape == (4, 3, 4, 4)
    torch.testing.assert_close(seen[:2], torch.nn.functional.avg_pool2d(picture, 2))
    torch.testing.assert_close(seen[2:], picture[:, :, 2:6, 4:8])


def test_the_distance_is_half_the_squared_angle_and_differentiable_at_its_ends() -> None:
    angles = torch.tensor([0.3, 1.0, 2.5])
    first, second = torch.tensor([[2.0, 0.0]]), torch.stack([angles.cos(), angles.sin()], dim=1)
    torch.testing.assert_close(spherical_distance(first, second), angles.square() / 2, rtol=1e-4, atol=1e-6)
    for end in (first, -first):
        x = end.clone().requires_grad_()
        spherical_distance(x, first).sum().backward()
        assert x.grad is not None and x.grad.isfinite().all()
    assert spherical_distance(-first, first).item() == pytest.approx(math.pi**2 / 2, rel=1e-2)


def test_impossible_cutouts_are_refused() -> None:
    with pytest.raises(GlidewireError, match="cutouts: impossible settings"):
        cutout_boxes((8, 8), 0, 4, 1.0, np.random.default_rng(0))
    with pytest.raises(GlidewireError, match="cutouts: impossible settings"):
        cutout_boxes((8, 8), 1, 4, -1.0, np.random.default_rng(0))
