"""Bad input through shipped workflows: a finite picture, or a sentence that names the node and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from glidewire.errors import GlidewireError
from glidewire.interfaces.api import Workflow
from PIL import Image


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLIDEWIRE_CACHE", str(tmp_path / "cache"))


def _made(flow: Workflow, folder: Path) -> np.ndarray:
    """The picture that a run saves."""
    flow.run(output=folder)
    (path,) = folder.glob("*.png")
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize(
    "changes",
    [
        {"Prompt.prompt": ""},
        {"Prompt.prompt": "qwzx vrrb 狐狸"},
        {"Prompt.prompt": "a red cube " * 300},
        {"Guidance.scale": 0.0},
        {"Guidance.scale": -30.0},
        {"Guidance.scale": 30.0},
        {"Steps.spacing": "1"},
    ],
    ids=["empty", "unknown words", "long", "scale 0", "negative scale", "huge scale", "one step"],
)
def test_it_still_makes_a_picture(changes: dict[str, Any], tmp_path: Path) -> None:
    flow = Workflow.load("text-to-image")
    flow.set(**{"Steps.spacing": "2", "Noise.batch": 1, **changes})
    made = _made(flow, tmp_path / "output")
    assert made.std() > 1


@pytest.mark.parametrize(
    ("changes", "node", "words"),
    [
        ({"Noise.batch": 0}, "Noise", "out of range"),
        ({"Steps.spacing": "0"}, "Steps", "0"),
        ({"Noise.width": 36}, "Sampler", "sides do not fit"),
        ({"Guidance.scale": 1e9}, "Guidance", "out of range"),
        ({"GLIDE.checkpoint": "mini-clip.safetensors"}, "GLIDE", "clip"),
        ({"GLIDE.checkpoint": "no-such.safetensors"}, "GLIDE", "no-such"),
    ],
    ids=["batch 0", "no steps", "sides", "scale", "another family", "no file"],
)
def test_check_says_what_is_wrong_and_where(changes: dict[str, Any], node: str, words: str) -> None:
    flow = Workflow.load("text-to-image")
    flow.set(**changes)
    told = [(problem.title, str(problem)) for problem in flow.check().problems]
    assert any(title == node and words in text for title, text in told), told


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    flow = Workflow.load("glide-inpainting")
    flow.set(**{"Steps.spacing": "2", "Mask.width": 40})
    with pytest.raises(GlidewireError, match=r"\(Mask\) does not fit.*is 40 there and 32 here") as refused:
        flow.run(output=tmp_path / "output")
    assert "Resize mask" in str(refused.value)
    assert not list((tmp_path / "output").glob("*.png"))
