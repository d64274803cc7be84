"""Pixel error and the visibility of edges."""

from __future__ import annotations

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.metrics.pictures import boundary_error, peak_signal_to_noise, squared_error

SIDE = 16
HALF = (torch.arange(SIDE) >= SIDE // 2).float().expand(1, SIDE, SIDE)


def test_the_error_counts_only_what_the_mask_says() -> None:
    black, white = torch.zeros(2, 3, SIDE, SIDE), torch.ones(2, 3, SIDE, SIDE)
    assert squared_error(black, white / 2) == 0.25
    half_wrong = white * HALF[:, None]
    assert squared_error(black, half_wrong) == 0.5
    assert squared_error(black, half_wrong, HALF) == 1
    assert squared_error(black, half_wrong, 1 - HALF) == 0


def test_decibels_fall_by_ten_for_ten_times_the_error() -> None:
    assert peak_signal_to_noise(0.01) == pytest.approx(20)
    assert peak_signal_to_noise(0.1) == pytest.approx(10)
    assert peak_signal_to_noise(0) == 100


def test_only_a_step_at_the_edge_of_the_mask_is_an_error() -> None:
    smooth = torch.linspace(0, 1, SIDE).expand(1, 3, SIDE, SIDE)
    assert boundary_error(smooth, HALF) == pytest.approx(0, abs=1e-6)
    step = 0.5 * HALF[:, None].expand(1, 3, SIDE, SIDE)
    assert boundary_error(step, HALF) == pytest.approx(0.5)
    assert boundary_error(step.roll(3, dims=-1), HALF) < 0.2
    assert boundary_error(step, 1 - HALF) == boundary_error(step, HALF)


def test_what_cannot_be_measured_is_refused() -> None:
    picture = torch.zeros(1, 3, SIDE, SIDE)
    with pytest.raises(GlidewireError, match="differ in size"):
        squared_error(picture, picture[..., 1:])
    with pytest.raises(GlidewireError, match="differ in size"):
        squared_error(picture, picture, HALF[:, 1:])
    with pytest.raises(GlidewireError, match="the mask is empty"):
        squared_error(picture, picture, torch.zeros(1, SIDE, SIDE))
    with pytest.raises(GlidewireError, match="no edge to measure"):
        boundary_error(picture, torch.ones(1, SIDE, SIDE))
