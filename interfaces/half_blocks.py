"""Pictures as terminal text: two pixels per character, the upper half block in truecolour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style
from rich.text import Text

if TYPE_CHECKING:
    from PIL.Image import Image

UPPER_HALF = "\u2580"


def half_blocks(picture: Image, columns: int = 48) -> Text:
    """A picture as rows of half blocks, at most `columns` wide and never enlarged beyond 2x.

    Args:
        picture: Any Pillow picture.
        columns: The width in characters; a character shows one pixel across and two down.
    """
    from PIL import Image as Pillow

    width = max(1, min(columns, picture.width * 2))
    height = max(2, round(picture.height * width / picture.width / 2) * 2)
    method = Pillow.Resampling.NEAREST if width >= picture.width else Pillow.Resampling.BOX
    pixels = picture.convert("RGB").resize((width, height), method).load()
    assert pixels is not None
    text = Text(no_wrap=True, end="")
    for row in range(0, height, 2):
        for column in range(width):
            text.append(UPPER_HALF, Style(color=_hex(pixels[column, row]), bgcolor=_hex(pixels[column, row + 1])))
        text.append("\n")
    return text


def _hex(pixel: object) -> str:
    red, green, blue = pixel  # type: ignore[misc]
    return f"#{red:02x}{green:02x}{blue:02x}"
