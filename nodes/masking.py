"""What masks are made of: colours and strokes read from text, boxes, brushes, growth and softness."""

from __future__ import annotations

import re

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as Pillow
from PIL import ImageColor, ImageDraw
from torch import Tensor

from ..errors import GlidewireError

_WEIGHTS = {
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
    "lightness": (0.2126, 0.7152, 0.0722),
}
_NUMBER = r"-?\d{1,5}(?:\.\d{1,4})?"
_STROKE = re.compile(rf"(?:(?P<radius>\d{{1,4}}(?:\.\d{{1,4}})?)\s*:)?(?P<points>(?:\s*{_NUMBER}\s*,\s*{_NUMBER})+)\s*")


def channel(image: Tensor, name: str) -> Tensor:
    """A channel (or the lightness) of pictures "batch height width 3", as "batch height width"."""
    return (image * image.new_tensor(_WEIGHTS[name])).sum(dim=-1)


def colour(text: str) -> Tensor:
    """A colour "3" in [0, 1]; raises GlidewireError for a text that names none."""
    try:
        return torch.tensor(ImageColor.getrgb(text.strip())[:3], dtype=torch.float32) / 255
    except ValueError:
        raise GlidewireError("this is no colour", expected='"#rrggbb" or a name such as red', got=repr(text)) from None


def region(mask: Tensor, whose: str) -> Tensor:
    """How much something counts in each place: a mask "batch height width" as float32 "batch 1 height width".

    Raises:
        GlidewireError: A value that is not from 0 to 1.
    """
    found = mask[:, None].float()
    wrong = found[~((found >= 0) & (found <= 1))]
    if wrong.numel():
        raise GlidewireError(
            f"{whose} region has values that are no shares",
            expected="a mask from 0 (nowhere) to 1 (fully)",
            got=f"{float(wrong[0]):g} in {wrong.numel()} of {found.numel()} places",
        )
    return found


def box(height: int, width: int, sides: tuple[int, int, int, int]) -> Tensor:
    """1 inside of a box (left, top, right, bottom), "1 height width".

    Raises:
        GlidewireError: The box is empty, or leaves the mask.
    """
    require_box(height, width, sides)
    left, top, right, bottom = sides
    mask = torch.zeros(1, height, width)
    mask[:, top:bottom, left:right] = 1
    return mask


def require_box(height: int, width: int, sides: tuple[int, int, int, int]) -> None:
    """Raise a GlidewireError for a box (left, top, right, bottom) that is empty or leaves the mask."""
    left, top, right, bottom = sides
    if not (left < right <= width and top < bottom <= height):
        raise GlidewireError(
            "the box does not lie in the mask",
            expected=f"left < right <= {width} and top < bottom <= {height}",
            got=f"left {left}, right {right}, top {top}, bottom {bottom}",
        )


def strokes_of(text: str, radius: float) -> list[tuple[float, list[tuple[float, float]]]]:
    """The radius and the points (x, y) of each stroke, one to a line.

    Raises:
        GlidewireError: A line that is no stroke, or no line at all.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _STROKE.fullmatch(line)
        own = float(match["radius"]) if match and match["radius"] else radius
        if match is None or not own > 0:
            raise GlidewireError(
                f"line {number} is no stroke of a brush",
                expected='points such as "10,20 40,60", or "6: 10,20 40,60" with a radius above 0',
                got=repr(line[:80]),
            )
        numbers = [float(found) for found in re.findall(_NUMBER, match["points"])]
        found.append((own, list(zip(numbers[::2], numbers[1::2], strict=True))))
    if not found:
        raise GlidewireError("there is no stroke", expected='at least one line such as "10,20 40,60"', got=repr(text))
    return found


def brushed(height: int, width: int, strokes: str, radius: float) -> Tensor:
    """1 where a round brush passed, "1 height width"; errors as `strokes_of`."""
    canvas = Pillow.new("L", (width, height))
    pen = ImageDraw.Draw(canvas)
    for own, points in strokes_of(strokes, radius):
        for x, y in points:
            pen.ellipse((x - own, y - own, x + own, y + own), fill=255)
        if len(points) > 1:
            pen.line(points, fill=255, width=max(1, round(2 * own)))
    return torch.from_numpy(np.array(canvas, dtype=np.float32) / 255)[None]


def combined(first: Tensor, second: Tensor, how: str) -> Tensor:
    """Two masks "batch height width" as one; raises GlidewireError unless sizes and batches fit."""
    if first.shape[1:] != second.shape[1:] or (len(first) != len(second) and 1 not in (len(first), len(second))):
        raise GlidewireError(
            "the masks do not fit together",
            expected="one size, and batches of one length or of 1",
            got=f"{' x '.join(map(str, first.shape))} and {' x '.join(map(str, second.shape))}",
            hint="Resize one of them.",
        )
    if how == "either":
        return torch.maximum(first, second)
    if how == "both":
        return torch.minimum(first, second)
    return torch.minimum(first, 1 - second) if how == "first without second" else (first - second).abs()


def grown(mask: Tensor, pixels: int) -> Tensor:
    """The largest (for negative pixels: smallest) value within a square around every pixel of "batch height width"."""
    if not pixels:
        return mask.clone()
    side = 2 * abs(pixels) + 1
    outwards = mask if pixels > 0 else 1 - mask
    # A square is a row after a column: linear in its side.
    rows = F.max_pool2d(outwards[:, None], (side, 1), stride=1, padding=(side // 2, 0))
    spread = F.max_pool2d(rows, (1, side), stride=1, padding=(0, side // 2))[:, 0]
    return spread if pixels > 0 else 1 - spread


def softened(mask: Tensor, deviation: float) -> Tensor:
    """A Gaussian blur of "batch height width" with its standard deviation in pixels; edges are repeated."""
    if deviation <= 0:
        return mask
    reach = max(1, int(3 * deviation + 0.5))
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    weights = (weights / weights.sum()).to(mask)
    padded = F.pad(mask[:, None], (reach, reach, reach, reach), mode="replicate")
    rows = F.conv2d(padded, weights[None, None, :, None])
    return F.conv2d(rows, weights[None, None, None, :])[:, 0].clamp(0, 1)


def resized(mask: Tensor, height: int, width: int) -> Tensor:
    """ "batch h w" at another size, bilinear, antialiased where it shrinks."""
    return F.interpolate(mask[:, None], (height, width), mode="bilinear", antialias=True)[:, 0].clamp(0, 1)
