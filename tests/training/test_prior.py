"""The prior's recipe: statistics of the pool in its file, and conditions as the nodes make them."""

from __future__ import annotations

from pathlib import Path

import torch
from glidewire.models.unclip.model import load_prior
from glidewire.training.batches import clip_texts
from glidewire.training.measures import measured
from glidewire.training.pool import Pool
from glidewire.training.prior import PriorCourse, PriorLesson
from glidewire.training.run import Run, train


def test_a_prior_is_trained_on_normalised_embeddings_and_carries_how(
    minis: Path, small_pool: Pool, scenes: Path, tmp_path: Path
) -> None:
    course = PriorCourse(steps=2, batch_size=3, pool_size=12)
    lesson = PriorLesson(course, small_pool, minis / "mini-clip.safetensors", scenes, torch.device("cpu"))
    path = train(Run(lesson, tmp_path))
    model = load_prior(path)
    assert model.clip == "mini-clip" and model.network.spec.heads == 3
    shares = measured(path, 4, minis)
    assert shares is not None and shares.keys() >= {"picture of a made embedding", "cosine of a caption"}
    statistics = model.network.statistics
    assert statistics is not None
    known = torch.from_numpy(lesson.pictures[:].astype("float32"))
    assert torch.allclose(statistics.normalise(known).std(dim=0), torch.ones(96), atol=0.05)


def test_captions_are_encoded_together_as_the_nodes_encode_them_alone(
    minis: Path, small_pool: Pool, scenes: Path
) -> None:
    course = PriorCourse(steps=2, batch_size=3, pool_size=12)
    lesson = PriorLesson(course, small_pool, minis / "mini-clip.safetensors", scenes, torch.device("cpu"))
    condition = clip_texts(lesson.clip, ["a red cube", ""])
    lesson.network.prepare(condition)
    assert condition["text_mask"].sum(dim=1).tolist() == [5, 2]
    for row, text in enumerate(("a red cube", "")):
        for name, value in lesson.clip.encode_prompt(text)[0].items():
            assert torch.allclose(condition[name][row : row + 1].float(), value.float(), atol=1e-5), name
