"""The shipped workflows are what `workflows/make.py` writes, check without a problem, and make pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from glidewire.interfaces.api import Workflow
from glidewire.workflows.claims.study import ITEMS, PARTS, PICTURES
from glidewire.workflows.make import FOLDER, WEIGHTS, WRITTEN, missing, runnable
from glidewire.workflows.page import document
from glidewire.workflows.parts import file
from PIL import Image

NAMES = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.json"))
# What makes any workflow short: its pictures are then no good, but they are pictures.
SHORT = {"spacing": "3", "steps": 2, "renoise_steps": 1, "resamples": 1, "jump": 1, "cutouts": 1}


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLIDEWIRE_CACHE", str(tmp_path / "cache"))


def shortened(flow: Workflow) -> Workflow:
    """The same workflow with few steps, and a claim's for two items."""
    titles = {call.title for call in flow.graph.calls.values()}
    # Parts hold more than the neighbours that precision and recall look for, and two are needed to differ.
    sizes = {ITEMS: 8, PARTS: 4} if PARTS in titles else {ITEMS: 2, PICTURES: 2}
    for call in flow.graph.calls.values():
        if call.title in sizes:
            flow.set(**{f"{call.id}.value": sizes[call.title]})
        for name, value in call.inputs.items():
            if name in SHORT and isinstance(value, int | str) and not isinstance(value, bool):
                flow.set(**{f"{call.id}.{name}": SHORT[name] if value != -1 else value})
    return flow


def _apart(first: list[float], second: list[float]) -> bool:
    (left, top, wide, high), (x, y, width, height) = first, second
    return x + width <= left or left + wide <= x or y + height <= top or top + high <= y


def test_every_file_has_its_source_and_every_source_its_file() -> None:
    assert sorted(runnable()) == NAMES
    for name, shipped in WRITTEN.items():
        if name not in NAMES:
            assert missing(shipped) and all(not (WEIGHTS / file(mini)).exists() for mini in missing(shipped))


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_what_its_source_writes(name: str) -> None:
    saved = json.loads((FOLDER / f"{name}.json").read_text())
    assert saved == document(name, WRITTEN[name]), "run: python -m glidewire.workflows.make"


@pytest.mark.parametrize("name", NAMES)
def test_it_names_every_mini_that_it_loads(name: str) -> None:
    loaded = {value for value in _texts(json.loads((FOLDER / f"{name}.json").read_text())) if "safetensors" in value}
    assert loaded == {file(mini) for mini in WRITTEN[name].minis}


def _texts(saved: dict) -> list[str]:
    return [value for node in saved["nodes"] for value in node.get("widgets_values", []) if isinstance(value, str)]


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_as_an_explanation(name: str) -> None:
    saved = json.loads((FOLDER / f"{name}.json").read_text())
    notes = [node for node in saved["nodes"] if node["type"] == "MarkdownNote"]
    assert len(notes) == 1 and len(notes[0]["widgets_values"][0]) > 80
    boxes = {group["title"]: group["bounding"] for group in saved["groups"]}
    assert len(boxes) >= 3
    for title, box in boxes.items():
        for other, another in boxes.items():
            assert _apart(box, another) or other == title, f"group {title} lies on group {other}"
    rooms = [(node.get("title"), [*node["pos"], *node["size"]]) for node in saved["nodes"]]
    for index, (title, room) in enumerate(rooms):
        for other, another in rooms[:index]:
            assert _apart(room, another), f"{title} lies on {other}"
        if title != "About":
            inside = [box for box in boxes.values() if not _apart(room, box)]
            assert len(inside) == 1, f"{title} stands in {len(inside)} groups"


@pytest.mark.parametrize("name", NAMES)
def test_it_checks_and_makes_a_picture(name: str, tmp_path: Path) -> None:
    flow = Workflow.load(name)
    assert not flow.check().problems
    results = shortened(flow).run(output=tmp_path / "output")
    pictures = list((tmp_path / "output").rglob("*.png"))
    if name.startswith("claims/") and all(call.type != "GlidewireSaveImage" for call in flow.graph.calls.values()):
        assert results.digests  # its table is shown
        return
    assert len(pictures) == 1
    with Image.open(pictures[0]) as picture:
        assert min(picture.size) >= 128 and picture.convert("L").getextrema() != (255, 255)
        assert set(picture.text) >= {"workflow", "prompt"}
    # The picture is itself a workflow, with the values of this run.
    assert Workflow.load(pictures[0]).graph.calls.keys() == flow.graph.calls.keys()
