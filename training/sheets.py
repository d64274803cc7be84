"""Pictures of many pictures: contact sheets of samples and scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import GlidewireError


def contact_sheet(pictures: NDArray[np.uint8], columns: int, *, enlarge: int = 1, gap: int = 1) -> NDArray[np.uint8]:
    """Lay pictures out in rows on white.

    Args:
        pictures: uint8 [count height width 3].
        columns: Pictures in a row.
        enlarge: Whole factor by which each pixel is repeated.
        gap: Pixels between pictures, before enlarging.

    Returns:
        uint8 [height width 3].

    Raises:
        GlidewireError: when there is no picture or no column.
    """
    if pictures.ndim != 4 or len(pictures) == 0 or columns < 1:
        raise GlidewireError(
            "contact sheet", expected="[count height width 3], one column or more", got=f"{pictures.shape}, {columns}"
        )
    count, height, width, _ = pictures.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet.repeat(enlarge, axis=0).repeat(enlarge, axis=1)


def save_sheet(path: Path, pictures: NDArray[np.uint8], columns: int, *, enlarge: int = 4) -> None:
    """Write a contact sheet as a PNG, all or nothing."""
    unfinished = path.with_suffix(".partial")
    Image.fromarray(contact_sheet(pictures, columns, enlarge=enlarge)).save(unfinished, format="PNG")
    unfinished.replace(path)
