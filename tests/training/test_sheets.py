"""Contact sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from glidewire.errors import GlidewireError
from glidewire.training.sheets import contact_sheet, save_sheet
from PIL import Image


def test_pictures_stand_in_rows_on_white(tmp_path: Path) -> None:
    pictures = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 4, 3), np.uint8)
    sheet = contact_sheet(pictures, columns=2, enlarge=3)
    assert sheet.shape == (3 * 5, 3 * 9, 3)
    assert (sheet[0, -1] == 1).all() and (sheet[-1, 0] == 2).all() and (sheet[-1, -1] == 255).all()
    save_sheet(tmp_path / "sheet.png", pictures, columns=2, enlarge=3)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "sheet.png")), sheet)
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_no_picture_is_refused() -> None:
    with pytest.raises(GlidewireError, match=r"contact sheet.*one column or more"):
        contact_sheet(np.zeros((0, 2, 2, 3), np.uint8), columns=2)
