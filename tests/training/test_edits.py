"""Edits and image prompts are measured by what the judge finds: a direction of nothing edits nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from glidewire.models.clip.model import load_clip
from glidewire.models.glide.model import load_model
from glidewire.training.asyrp import AsyrpCourse, AsyrpLesson
from glidewire.training.card import card
from glidewire.training.edits import DirectionMeasures
from glidewire.training.image_prompt_measures import pairs
from glidewire.training.measures import measured
from glidewire.training.run import Run, train

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


@pytest.fixture(scope="module")
def direction(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A direction of one update."""
    course = AsyrpCourse(batch_size=2, run_steps=6, steps=1, direction="large", pool_size=0)
    glide, clip = load_model(WEIGHTS / "mini-glide-base.safetensors"), load_clip(WEIGHTS / "mini-clip.safetensors")
    return train(Run(AsyrpLesson(course, glide, clip, torch.device("cpu")), tmp_path_factory.mktemp("direction")))


def test_sources_are_as_prompted_and_still_to_be_edited(direction: Path) -> None:
    found = DirectionMeasures(direction, WEIGHTS, 16)
    assert 0 < len(found.sources.stated) < 16
    assert found.share(found.sources.pictures) == 0 and found.stayed(found.sources.pictures) == 1
    assert (
        found.stayed(np.roll(found.sources.pictures, 6, axis=2))
        < 1
        == found.stayed(np.roll(found.sources.pictures, 1, axis=1))
    )
    assert found.stayed(np.full_like(found.sources.pictures, 240)) == 0
    plain = found.drawn(found.sources, found.change(0.0))
    assert np.abs(plain.astype(int) - found.sources.pictures).max() <= 1 and abs(found.moved(plain)) < 1e-3
    assert (found.drawn(found.sources, found.change(8.0)) != plain).any()
    whole = found.mean(of_all_timesteps=True)
    ((means, _),) = whole.parts
    assert means.spec.timesteps == (0,) and means.spec.channels == 128


def test_a_direction_is_measured_with_the_minis_beside_it(direction: Path, tmp_path: Path) -> None:
    shutil.copy(direction, tmp_path / direction.name)
    found = measured(tmp_path / direction.name, 10, WEIGHTS)
    assert found is not None and found["at strength 0"] == 0
    assert len(found) == 10 and all(-1 <= value <= 1 for value in found.values())


def test_its_card_says_what_was_measured_and_that_no_picture_was_shown(direction: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    figures.write_text(json.dumps({"scenes": 10, "measures": {"at strength 1": 0.5, "correlation of both": 0.9}}))
    text = card(direction, figures, "python -m ...")
    assert "No pictures: those that the model draws" in text and "10 pictures drawn without noise" in text
    assert "| at strength 1 | 50.0 % |" in text and "| correlation of both | 0.900 |" in text


def test_captions_of_pairs_name_another_shape_and_no_colour() -> None:
    for scene, stated in pairs(12):
        assert stated.objects[0].colour is None and stated.objects[0].shape != scene.solids[0].shape
