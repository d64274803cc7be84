"""Mini CLIP's recipe: towers that load, a small vocabulary of CLIP's own, and losses that mean what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.clip.model import load_clip
from glidewire.models.clip.tokenizer import ClipTokenizer
from glidewire.models.ldm.text import load_clip_text
from glidewire.training import clip as recipe
from glidewire.training.clip import (
    ClipCourse,
    ClipLesson,
    caption_vocabulary,
    contrastive_loss,
    without_colours,
)
from glidewire.training.commands import Options
from glidewire.training.pool import Pool
from glidewire.training.reading import OF_COLOUR, QUESTIONS
from glidewire.training.run import Run


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


def test_grey_pictures_keep_their_luma_alone() -> None:
    picture = torch.rand(2, 3, 4, 4) * 2 - 1
    grey = without_colours(picture)
    assert grey.shape == picture.shape and torch.equal(grey[:, 0], grey[:, 1]) and torch.equal(grey[:, 0], grey[:, 2])
    assert torch.allclose(without_colours(grey), grey, atol=1e-6)
    assert torch.allclose(without_colours(torch.ones(1, 3, 2, 2)), torch.ones(1, 3, 2, 2), atol=1e-6)


def test_questions_of_colour_are_those_whose_answers_are_colours() -> None:
    assert {i for i, answers in enumerate(QUESTIONS) if {"red", "white"} & set(answers)} == set(OF_COLOUR)


def test_a_locked_text_tower_stays_as_it_is_while_the_image_tower_learns(
    minis: Path, small_pool: Pool, tmp_path: Path
) -> None:
    course = ClipCourse(steps=2, batch_size=4, pool_size=12, reading_share=0.0, locked_text=True)
    started = minis / "mini-clip.safetensors"
    run = Run(ClipLesson(course, small_pool, torch.device("cpu")), tmp_path, start=started)
    run.take_step()
    run.take_step()
    ours, known = load_clip(run.publish()).network, load_clip(started).network
    theirs = dict(known.text.named_parameters())
    assert all(torch.equal(weight, theirs[name]) for name, weight in ours.text.named_parameters())
    towers = zip(ours.image.parameters(), known.image.parameters(), strict=True)
    assert any(not torch.equal(mine, its) for mine, its in towers)


def test_a_locked_text_tower_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(GlidewireError, match=r"--locked-text leaves no text tower that can read.*--start"):
        recipe.lesson(Options(tmp_path), locked_text=True)
