"""Large pictures in overlapping tiles, whose results are blended where they overlap."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from ..errors import GlidewireError


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin that cover `length`, evenly spread, neighbours sharing `overlap` or more; one if it fits.

    Raises:
        GlidewireError: Tiles that do not reach beyond their overlap.
    """
    if tile < 1 or not 0 <= overlap < tile:
        raise GlidewireError(
            "tiles must be larger than their overlap", expected="0 <= overlap < tile", got=f"{overlap} and {tile}"
        )
    if length <= tile:
        return [0]
    count = 1 + -(-(length - tile) // (tile - overlap))
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def tent(length: int, ramp: int, *, first: bool, last: bool) -> Tensor:
    """Weights of a tile along a side: rising over `ramp`, 1, falling; flat towards the picture's own edges."""
    weight = torch.ones(length)
    rise = torch.arange(1, ramp + 1) / (ramp + 1)
    if ramp and not first:
        weight[:ramp] = rise[:length]
    if ramp and not last:
        weight[-ramp:] = torch.minimum(weight[-ramp:], rise.flip(0)[-length:])
    return weight


def by_tiles(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    tile: int,
    overlap: int,
    scale: Fraction = Fraction(1),
    on_tile: Callable[[int, int], None] | None = None,
) -> Tensor:
    """function(x) computed tile by tile: y = sum_k w_k f(x_k) / sum_k w_k, w_k falling linearly over the overlaps.

    Args:
        function: From "batch channels h w" to "batch channels' h*scale w*scale"; local, so that a tile's middle
            does not depend on what lies beyond the tile.
        x: "batch channels height width".
        tile: Side of a tile in x; whole after scaling.
        overlap: Least overlap of neighbours in x.
        scale: Size of y over that of x: 8 to decode, 1/8 to encode.
        on_tile: Called with (tiles done, tiles in all); may raise to cancel.

    Returns:
        "batch channels' height*scale width*scale".

    Raises:
        GlidewireError: Tiles that do not reach beyond their overlap, or do not begin at whole places of y.

    Source: compare Bar-Tal et al. 2023 (MultiDiffusion, 2302.08113), eq. 5.
    """
    height, width = x.shape[-2:]
    # Tiles begin where the other side has whole cells too.
    step = scale.denominator
    places = [
        [start * step for start in tile_starts(length // step, tile // step, -(-overlap // step))]
        for length in (height, width)
    ]
    if tile % step or height % step or width % step:
        raise GlidewireError(
            "tiles do not fit the factor",
            expected=f"sides and tiles that are multiples of {step}",
            got=f"{height} x {width} in tiles of {tile}",
        )
    total: Tensor | None = None
    weights = torch.zeros(1)
    count = len(places[0]) * len(places[1])
    for index, (top, left) in enumerate((top, left) for top in places[0] for left in places[1]):
        part = function(x[..., top : top + tile, left : left + tile])
        if total is None:
            total = part.new_zeros(*part.shape[:2], int(height * scale), int(width * scale))
            weights = part.new_zeros(total.shape[-2:])
        ramp = int(overlap * scale)
        corner, size = (int(top * scale), int(left * scale)), part.shape[-2:]
        row, column = (
            tent(side, min(ramp, side), first=start == 0, last=start + side == whole).to(part)
            for side, start, whole in zip(size, corner, total.shape[-2:], strict=True)
        )
        weight = row[:, None] * column
        place = (slice(corner[0], corner[0] + size[0]), slice(corner[1], corner[1] + size[1]))
        total[(..., *place)] += weight * part
        weights[place] += weight
        if on_tile is not None:
            on_tile(index + 1, count)
    assert total is not None
    return total / weights
