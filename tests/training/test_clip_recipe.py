"""Mini CLIP's recipe: towers that load, a small vocabulary of CLIP's own, and losses that mean what they say."""

from __future__ import annotations

from pathlib import Path

import torch
from glidewire.models.clip.model import load_clip
from glidewire.models.clip.tokenizer import ClipTokenizer
from glidewire.models.ldm.text import load_clip_text
from glidewire.training.clip import ClipCourse, ClipLesson, caption_vocabulary, contrastive_loss
from glidewire.training.pool import Pool


def test_the_published_file_loads_as_clip_and_its_text_tower_alone(minis: Path) -> None:
    clip = load_clip(minis / "mini-clip.safetensors")
    assert clip.clip == "mini-clip" and clip.tokenizer.kept == caption_vocabulary()
    assert clip.spec.image.heads == clip.spec.text.heads == 3 and not clip.spec.text.quick_gelu
    text = load_clip_text(minis / "mini-clip-text.safetensors")
    context = text.encode_prompt("a red cube")[0]["context"]
    assert torch.equal(context, clip.encode_prompt("a red cube")[0]["text_states"])


def test_the_vocabulary_tells_every_word_of_the_world_apart() -> None:
    kept = caption_vocabulary()
    tokenizer = ClipTokenizer(0, kept)
    words = "red yellow green cyan blue purple sphere cube cone cylinder small large left above white sand slate rose"
    encoded = [tuple(tokenizer.encode(word, 8).tokens.tolist()) for word in words.split()]
    assert len(set(encoded)) == len(encoded)
    assert all(0 not in ids[: ids.index(tokenizer.end_token)] for ids in encoded)
    assert len(kept) < 64


def test_the_contrastive_loss_is_least_where_pairs_fit() -> None:
    fitting = contrastive_loss(10 * torch.eye(4))
    assert fitting < 1e-2 < contrastive_loss(torch.zeros(4, 4)) < contrastive_loss(10 * (1 - torch.eye(4)))


def test_reading_comes_first(small_pool: Pool) -> None:
    course = ClipCourse(steps=4, batch_size=3, pool_size=12, reading_share=0.5)
    lesson = ClipLesson(course, small_pool, torch.device("cpu"))
    assert set(lesson.losses(0, 0.0)) == {"total", "reading"}
    assert set(lesson.losses(2, 0.5)) == {"total", "reading", "seeing", "contrast"}
