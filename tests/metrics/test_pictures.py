"""Pixel error and the visibility of edges."""

from __future__ import annotations

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.metrics.pictures import (
    boundary_error,
    clipped_share,
    contrast,
    peak_signal_to_noise,
    saturation,
    squared_error,
)

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


def coloured(*colour: float) -> torch.Tensor:
    return torch.tensor(colour)[None, :, None, None].expand(2, 3, SIDE, SIDE)


def test_clipped_values_are_those_at_either_bound() -> None:
    assert clipped_share(coloured(0.5, 0.02, 0.98)) == 0
    assert clipped_share(coloured(0.5, 0.005, 0.995)) == pytest.approx(2 / 3)
    assert clipped_share(torch.cat([coloured(0.0, 0.0, 1.0), coloured(0.5, 0.5, 0.5)])) == 0.5


def test_contrast_is_the_deviation_of_luma_in_each_picture() -> None:
    assert contrast(torch.cat([coloured(0.0, 0.0, 0.0), coloured(1.0, 1.0, 1.0)])) == pytest.approx(0)
    halves = HALF[:, None].expand(1, 3, SIDE, SIDE)
    assert contrast(halves) == pytest.approx(0.5)
    assert contrast(0.2 + 0.4 * halves) == pytest.approx(0.2)
    green = halves * torch.tensor([0.0, 1.0, 0.0])[None, :, None, None]
    assert contrast(green) == pytest.approx(0.587 / 2)


def test_saturation_is_none_for_greys_and_whole_for_pure_colours() -> None:
    assert saturation(coloured(0.3, 0.3, 0.3)) == saturation(coloured(0.0, 0.0, 0.0)) == 0
    assert saturation(coloured(0.2, 0.0, 0.0)) == 1
    assert saturation(coloured(0.8, 0.6, 0.4)) == pytest.approx(0.5)
