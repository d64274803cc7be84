"""Letters on pictures, drawn with Pillow's own font."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..errors import GlidewireError

_AROUND = 6  # pixels that a word left of a row has around it


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of every label and plot, at a size in pixels."""
    return ImageFont.load_default(size)


def wrapped(text: str, width: int, size: int) -> list[str]:
    """A text in lines of at most `width` pixels; a word that is longer is broken."""
    lines = [""]
    for part in (part for word in text.split() for part in _broken(word, width, size)):
        longer = f"{lines[-1]} {part}".strip()
        if lines[-1] and length(longer, size) > width:
            lines.append(part)
        else:
            lines[-1] = longer
    return lines


def length(text: str, size: int) -> float:
    """Width of a line of text in pixels."""
    return ImageDraw.Draw(Image.new("L", (1, 1))).textlength(text, font(size))


def _broken(word: str, width: int, size: int) -> list[str]:
    """A word in parts of at most `width` pixels, each as long as may be and of one letter at least."""
    parts = [""]
    for letter in word:
        if parts[-1] and length(parts[-1] + letter, size) > width:
            parts.append("")
        parts[-1] += letter
    return parts


def label(text: str, width: int, height: int, size: int, *, top: bool = False) -> Tensor:
    """A text in black on white, "height width 3", in the middle or at the top; what has no room is cut off."""
    canvas = Image.new("L", (width, height), 255)
    pen = ImageDraw.Draw(canvas)
    joined = "\n".join(wrapped(text, width - 2, size))
    place, anchor = ((width / 2, 2), "ma") if top else ((width / 2, height / 2), "mm")
    pen.multiline_text(place, joined, fill=0, font=font(size), anchor=anchor, align="center")
    grey = torch.from_numpy(np.array(canvas, dtype=np.float32) / 255)
    return grey[..., None].expand(-1, -1, 3)


def lines_of(text: str, most: int, what: str) -> list[str]:
    """The lines of a text, one for each thing; raises GlidewireError for more lines than things."""
    lines = text.splitlines()
    if len(lines) > most:
        raise GlidewireError(f"there are more labels than {what}", expected=f"at most {most} lines", got=len(lines))
    return lines


def sheet(
    images: Tensor, columns: int, gap: int, size: int, labels: Sequence[str], heads: tuple[Sequence[str], Sequence[str]]
) -> Tensor:
    """Pictures "batch height width 3" in rows on white, "1 rows columns 3".

    Args:
        images: The pictures.
        columns: Pictures in a row.
        gap: White pixels around each.
        size: Height of the letters in pixels.
        labels: One below each picture, as far as there are.
        heads: One above each column, and one left of each row, where there is room for the longest word.
    """
    count, height, width, _ = images.shape
    rows = math.ceil(count / columns)
    under = max((len(wrapped(text, width - 2, size)) for text in labels), default=0) * (size + 4)
    over = (size + 6) * max((len(wrapped(text, width - 2, size)) for text in heads[0]), default=0)
    longest = max((length(word, size) for text in heads[1] for word in text.split()), default=0)
    beside = max(width // 2, 4 * size, math.ceil(longest) + _AROUND) if heads[1] else 0
    cell = (height + under + gap, width + gap)
    canvas = images.new_ones(1, over + rows * cell[0] + gap, beside + columns * cell[1] + gap, 3)

    def put(picture: Tensor, top: int, left: int) -> None:
        canvas[0, top : top + picture.shape[0], left : left + picture.shape[1]] = picture

    for index, picture in enumerate(images):
        top, left = over + gap + index // columns * cell[0], beside + gap + index % columns * cell[1]
        put(picture, top, left)
        if index < len(labels) and under:
            put(label(labels[index], width, under, size, top=True), top + height, left)
    for column, text in enumerate(heads[0]):
        put(label(text, width, over, size), 0, beside + gap + column * cell[1])
    for row, text in enumerate(heads[1]):
        put(label(text, beside, height, size), over + gap + row * cell[0], 0)
    return canvas
