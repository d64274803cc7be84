"""Every shipped workflow has a small picture, which the editor asks for beside it."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest
from glidewire.interfaces.session import shipped_workflows
from glidewire.workflows.thumbnails import MOST_BYTES, SIDE, pictured, thumbnail
from PIL import Image

SHIPPED = {name: path for name, path in shipped_workflows().items() if "/" not in name}  # a node host lists only these


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_workflow_has_a_small_picture_beside_it(name: str) -> None:
    path = SHIPPED[name].with_suffix(".jpg")
    assert path.is_file(), f"run: python -m glidewire.workflows.thumbnails {name}"
    assert path.stat().st_size <= MOST_BYTES
    with Image.open(path) as picture:
        assert picture.format == "JPEG" and picture.size == (SIDE, SIDE)
        assert len(picture.getcolors(SIDE * SIDE) or ()) > 10


def test_every_picture_has_its_workflow() -> None:
    pictures = {path.stem for path in next(iter(SHIPPED.values())).parent.glob("*.jpg")}
    assert pictures <= set(SHIPPED)


@pytest.mark.parametrize("size", [(4, 4), (100, 30), (333, 777), (1000, 1000)])
def test_a_thumbnail_is_square_and_small_whatever_the_picture(size: tuple[int, int]) -> None:
    data = thumbnail(Image.effect_noise(size, 120))
    made = Image.open(BytesIO(data))
    assert made.format == "JPEG" and made.size == (SIDE, SIDE) and len(data) <= MOST_BYTES


def test_small_pictures_grow_by_whole_pixels() -> None:
    picture = Image.new("RGB", (4, 4), "white")
    picture.putpixel((0, 0), (0, 0, 0))
    made = Image.open(BytesIO(thumbnail(picture))).convert("L")
    assert made.getpixel((SIDE // 4 - 8, 4)) < 60 < 200 < made.getpixel((SIDE // 4 + 8, 4))


@pytest.mark.parametrize(("kind", "shown"), [("PreviewImage", True), ("ShowText", False)])
def test_the_picture_of_a_workflow_is_the_last_one_that_it_shows(tmp_path: Path, kind: str, shown: bool) -> None:
    Image.new("RGB", (6, 4), "red").save(tmp_path / "red.png")
    shows = {"PreviewImage": {"image": ["1", 0]}, "ShowText": {"value": ["3", 0]}}
    prompt = {
        "1": {"class_type": "GlidewireLoadImage", "inputs": {"file": "red.png"}},
        "2": {"class_type": f"Glidewire{kind}", "inputs": shows[kind]},
        "3": {"class_type": "GlidewireText", "inputs": {}},
    }
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps(prompt))
    (tmp_path / "output").mkdir()
    picture = pictured(flow, tmp_path / "output")
    assert (picture.size if picture else None) == ((6, 4) if shown else None)
