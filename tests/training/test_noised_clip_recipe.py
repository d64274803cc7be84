"""Noised CLIP's recipe: it begins as CLIP, and its towers load with CLIP's small vocabulary."""

from __future__ import annotations

from pathlib import Path

import torch
from glidewire.models.clip.model import load_clip
from glidewire.models.noised_clip.model import load_noised_clip
from glidewire.training.measures import measured
from glidewire.training.noised_clip import NoisedClipCourse, NoisedClipLesson, image_tower
from glidewire.training.pool import Pool
from glidewire.training.run import Run, train


def test_it_begins_as_clip_at_every_timestep(minis: Path) -> None:
    clip = load_clip(minis / "mini-clip.safetensors")
    picture = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        found = image_tower(clip, 10)(picture, torch.tensor([0, 9]))
    assert torch.allclose(found, clip.encode_picture(picture), atol=1e-4)


def test_its_towers_load_and_share_clips_texts(minis: Path, small_pool: Pool, tmp_path: Path) -> None:
    course = NoisedClipCourse(steps=2, batch_size=4, pool_size=12)
    lesson = NoisedClipLesson(course, small_pool, minis / "mini-clip.safetensors", torch.device("cpu"))
    path = train(Run(lesson, tmp_path))
    model = load_noised_clip(path, path.with_name("mini-noised-clip-text.safetensors"))
    shares = measured(path, 4, minis)
    assert shares is not None and list(shares)[-1] == "caption of a picture at timestep 750"
    assert model.image.spec.heads == model.text.spec.heads == 3
    embedding, dropped = model.encode_prompt("a large red cube")
    clip = load_clip(minis / "mini-clip.safetensors")
    assert dropped == ""
    assert torch.allclose(embedding, clip.encode_prompt("a large red cube")[0]["text_embedding"], atol=1e-2)
