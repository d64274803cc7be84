"""The prior's recipe: statistics of the pool in its file, and conditions as the nodes make them."""

from __future__ import annotations

from pathlib import Path

import torch
from glidewire.models.unclip.model import load_decoder, load_prior
from glidewire.training.measures import measured
from glidewire.training.pool import Pool
from glidewire.training.prior import PriorCourse, PriorLesson
from glidewire.training.run import Run, train
from glidewire.training.unclip import DecoderCourse, DecoderLesson


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
    condition = lesson.conditions(["a red cube", ""])
    model.network.prepare(condition)
    assert condition["text_mask"].sum(dim=1).tolist() == [5, 2]
    found, _ = lesson.clip.encode_prompt("a red cube")
    assert torch.allclose(condition["text_states"][:1], found["text_states"], atol=1e-5)


def test_a_decoder_carries_the_space_of_its_latents_and_its_clip(
    minis: Path, small_pool: Pool, scenes: Path, tmp_path: Path
) -> None:
    course = DecoderCourse(steps=2, batch_size=3, pool_size=12)
    kl, clip = minis / "mini-kl-f4.safetensors", minis / "mini-clip.safetensors"
    lesson = DecoderLesson(course, small_pool, kl, clip, scenes, torch.device("cpu"))
    model = load_decoder(train(Run(lesson, tmp_path)))
    assert (model.network.space, model.clip) == ("mini-kl-f4", "mini-clip")
    assert model.network.spec == lesson.network.spec and not model.network.spec.takes_text
    assert len(list(tmp_path.glob("sheet-*.png"))) == 1
