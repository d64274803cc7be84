"""The shipped workflows are what `workflows/make.py` writes, check without a problem, and make pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from glidewire.interfaces.api import Workflow
from glidewire.workflows.make import FOLDER, SHIPPED, document
from PIL import Image

NAMES = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.json"))
# What makes a workflow short, where that is no spacing of a schedule.
FEWER: dict[str, dict[str, int]] = {"paella": {"steps": 2}}


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLIDEWIRE_CACHE", str(tmp_path / "cache"))


def test_every_file_has_its_source_and_every_source_its_file() -> None:
    assert sorted(SHIPPED) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_what_its_source_writes(name: str) -> None:
    saved = json.loads((FOLDER / f"{name}.json").read_text())
    assert saved == document(name), "run: python -m glidewire.workflows.make"


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_as_an_explanation(name: str) -> None:
    saved = json.loads((FOLDER / f"{name}.json").read_text())
    notes = [node for node in saved["nodes"] if node["type"] == "MarkdownNote"]
    assert len(notes) == 1 and len(notes[0]["widgets_values"][0]) > 80
    boxes = {group["title"]: group["bounding"] for group in saved["groups"]}
    assert len(boxes) >= 3
    for title, (left, top, wide, high) in boxes.items():
        for other, (x, y, width, height) in boxes.items():
            apart = x + width <= left or left + wide <= x or y + height <= top or top + high <= y
            assert apart or other == title, f"group {title} lies on group {other}"
    for node in saved["nodes"]:
        (x, y), (width, height) = node["pos"], node["size"]
        for other in saved["nodes"]:
            if other is not node:
                (left, top), (wide, high) = other["pos"], other["size"]
                apart = x + width <= left or left + wide <= x or y + height <= top or top + high <= y
                assert apart, f"{node.get('title')} lies on {other.get('title')}"


@pytest.mark.parametrize("name", NAMES)
def test_it_checks_and_makes_a_picture(name: str, tmp_path: Path) -> None:
    flow = Workflow.load(name)
    assert not flow.check().problems
    flow.set(**FEWER.get(name, {"spacing": "3"}))
    flow.run(output=tmp_path / "output")
    pictures = list((tmp_path / "output").rglob("*.png"))
    assert len(pictures) == 1
    with Image.open(pictures[0]) as picture:
        assert min(picture.size) >= 256 and picture.convert("L").getextrema() != (255, 255)
        assert set(picture.text) >= {"workflow", "prompt"}
    # The picture is itself a workflow, with the values of this run.
    assert Workflow.load(pictures[0]).graph.calls.keys() == flow.graph.calls.keys()
