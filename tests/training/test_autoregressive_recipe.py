"""The autoregressive prior's recipe: components of the pool's embeddings, a file that loads, and its measures."""

from __future__ import annotations

from pathlib import Path

import torch
from glidewire.models.autoregressive_prior.model import load_autoregressive_prior
from glidewire.models.clip.model import load_clip
from glidewire.training.autoregressive_prior import AutoregressiveCourse, AutoregressiveLesson
from glidewire.training.encoded import rows
from glidewire.training.measures import measured
from glidewire.training.pool import Pool, open_pool
from glidewire.training.run import Run, train


def test_it_learns_codes_that_hold_the_embeddings(minis: Path, scenes: Path, tmp_path: Path) -> None:
    pool: Pool = open_pool(scenes, 40, 32, tints=0.4)
    clip = load_clip(minis / "mini-clip.safetensors")
    course = AutoregressiveCourse(steps=2, batch_size=3, pool_size=40)
    lesson = AutoregressiveLesson(course, pool, clip, scenes, torch.device("cpu"))
    path = train(Run(lesson, tmp_path))
    model = load_autoregressive_prior(path)
    assert model.clip == "mini-clip" and model.network.spec.kept == 32
    known = rows(lesson.pictures, torch.arange(40).numpy())
    back = model.network.codec.decode(model.network.codec.encode(known))
    assert (back - known).square().sum() < 0.1 * (known - known.mean(dim=0)).square().sum()
    found = measured(path, 4, minis)
    assert found is not None and {"picture of a made embedding", "cosine of a made embedding"} <= found.keys()
