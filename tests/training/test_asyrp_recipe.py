"""The recipe of directions in a bottleneck: what it asks for, a few updates, and a file that edits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.asyrp.edit import load_directions
from glidewire.models.clip.model import load_clip
from glidewire.models.glide.model import load_model
from glidewire.scenes import parse, worded
from glidewire.training.asyrp import ATTRIBUTES, CHANGED, AsyrpCourse, AsyrpLesson, changed, silent
from glidewire.training.run import Run, train

CPU = torch.device("cpu")
WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


def lesson(**numbers: object) -> AsyrpLesson:
    """One over shipped minis, of two pictures and four steps."""
    course = AsyrpCourse(batch_size=2, run_steps=4, **numbers)  # type: ignore[arg-type]
    glide, clip = load_model(WEIGHTS / "mini-glide-base.safetensors"), load_clip(WEIGHTS / "mini-clip.safetensors")
    return AsyrpLesson(course, glide, clip, CPU)


@pytest.mark.parametrize("direction", CHANGED)
def test_prompts_leave_out_what_is_edited_and_nothing_else(direction: str) -> None:
    attribute, rng = CHANGED[direction], np.random.default_rng(0)
    for _ in range(20):
        statement = silent(attribute, rng)
        stated = statement.objects[0]
        assert {name for name in ATTRIBUTES if getattr(stated, name) is None} == {attribute} and statement.ground
        wanted = worded(changed(statement, attribute, direction))
        assert getattr(parse(wanted.text).objects[0], attribute) == direction


def test_a_run_is_walked_step_by_step_in_its_edited_part() -> None:
    one = lesson(start=0.25, t_edit=300, seed=3)
    assert list(one.edited_steps) == [1, 2]
    indices = []
    for step in range(4):
        found = one.losses(step, 0.0)
        assert found["total"].requires_grad and found["total"].isfinite()
        indices.append(one.walk.index if one.walk else None)
    assert indices == [2, None, 2, None]


def test_what_is_wanted_is_told_from_every_other_statement() -> None:
    one = lesson(direction="sphere", contrast=0.5, seed=3)
    assert len(one.statements) == len(one.said) == 4 * 6 * 2 * 4
    found = {name: value.item() for name, value in one.losses(0, 0.0).items()}
    walk, said = one.walk, list(one.statements)
    assert walk is not None
    for shown, wanted in zip(walk.shown.tolist(), walk.wanted.tolist(), strict=True):
        assert changed(said[shown], "shape", "sphere") == said[wanted] != said[shown]
    parts = found["direction"] + 3 * found["kept"] + 0.5 * found["contrast"]
    assert found["total"] == pytest.approx(parts) and found["contrast"] > 0


def test_only_the_direction_is_trained_and_its_file_edits_what_it_was_made_for(tmp_path: Path) -> None:
    one = lesson(steps=3, direction="large")
    before = one.glide.network.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    path = train(Run(one, tmp_path))
    for name, value in one.glide.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert path.name == "mini-asyrp-large.safetensors"
    directions = load_directions(path)
    sheet = one.sheet(directions.parts[0][0]).reshape(4, 8, 32, 32, 3)
    assert (sheet[0] != sheet[2]).any()


def test_a_direction_that_is_none_is_named() -> None:
    with pytest.raises(GlidewireError, match=r"direction.*blue or large or sphere.*happy"):
        AsyrpCourse(direction="happy")
