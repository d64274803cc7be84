"""Measures: right where nothing is lost, and less where something is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from glidewire.models.clip.model import load_clip
from glidewire.training.batches import everything
from glidewire.training.fresh import fresh_scenes
from glidewire.training.measures import measured, retrieval, verdicts_kept


def test_every_verdict_is_kept_where_nothing_is_lost() -> None:
    found = verdicts_kept(lambda pictures: pictures, 12, 32)
    assert found["everything"] == 1.0 and found["signal to noise"] > 100
    assert verdicts_kept(np.zeros_like, 12, 32)["everything"] == 0.0


def test_fresh_scenes_are_new_to_training_by_half_and_distinct_if_wanted() -> None:
    scenes = fresh_scenes(40)
    assert [scene.held_out for scene in scenes] == [bool(i % 2) for i in range(40)]
    texts = [everything(scene).text for scene in fresh_scenes(150, distinct=True)]
    assert len(set(texts)) == 150


def test_each_mini_has_its_measures(minis: Path) -> None:
    for name in ("mini-kl-f4", "mini-vq-f4"):
        found = measured(minis / f"{name}.safetensors", 4, minis)
        assert found is not None and 0 <= found["everything"] <= 1 and found["signal to noise"] < 40
    shares = retrieval(load_clip(minis / "mini-clip.safetensors"), 4)
    assert shares == measured(minis / "mini-clip.safetensors", 4, minis)
    assert all(share in (0.0, 0.25, 0.5, 0.75, 1.0) for share in shares.values())
