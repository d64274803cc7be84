"""Tiles cover everything, and blending leaves local functions as they are."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from glidewire.diffusion.tiles import by_tiles, tent, tile_starts
from glidewire.errors import GlidewireError
from hypothesis import given, settings
from hypothesis import strategies as st


@given(st.integers(1, 200), st.integers(1, 64), st.integers(0, 63))
def test_tiles_cover_the_side_and_overlap_enough(length: int, tile: int, overlap: int) -> None:
    overlap = min(overlap, tile - 1)
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] + tile >= length
    assert length <= tile or starts[-1] + tile == length
    assert all(0 < after - before <= tile - overlap for before, after in pairwise(starts))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(2, 5), st.integers(0, 3))
def test_a_function_of_each_place_is_the_same_in_tiles(rows: int, columns: int, tile: int, overlap: int) -> None:
    x = torch.rand(2, 3, 4 * rows, 4 * columns, generator=torch.Generator().manual_seed(0))

    def enlarged(part: torch.Tensor) -> torch.Tensor:
        return F.interpolate(part * 2, scale_factor=2, mode="nearest")

    tiled = by_tiles(enlarged, x, 4 * tile, min(overlap, 4 * tile - 1), Fraction(2))
    torch.testing.assert_close(tiled, enlarged(x))
    shrunk = by_tiles(lambda part: F.avg_pool2d(part, 4), x, 4 * tile, 4 * min(overlap, tile - 1), Fraction(1, 4))
    torch.testing.assert_close(shrunk, F.avg_pool2d(x, 4))


def test_neighbours_are_blended_linearly() -> None:
    counted = iter([0.0, 1.0])

    def constant(part: torch.Tensor) -> torch.Tensor:
        return torch.full_like(part, next(counted))

    row = by_tiles(constant, torch.zeros(1, 1, 4, 12), 8, 4)[0, 0, 0]
    assert row[:4].tolist() == [0] * 4 and row[8:].tolist() == [1] * 4
    assert row[4:8].diff().min() > 0


def test_weights_are_flat_towards_the_edges_of_the_picture() -> None:
    assert tent(4, 2, first=True, last=True).tolist() == [1, 1, 1, 1]
    assert tent(4, 1, first=False, last=False).tolist() == [0.5, 1, 1, 0.5]


def test_tiles_that_cannot_be_are_refused() -> None:
    with pytest.raises(GlidewireError, match="larger than their overlap; expected 0 <= overlap < tile; got 8 and 8"):
        by_tiles(torch.clone, torch.zeros(1, 1, 16, 16), 8, 8)
    with pytest.raises(GlidewireError, match="multiples of 4; got 18 x 16 in tiles of 8"):
        by_tiles(torch.clone, torch.zeros(1, 1, 18, 16), 8, 4, Fraction(1, 4))
