"""Evaluation: pictures depend on prompt, seed and place alone, and the figures count what the judge finds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from glidewire.models.glide.network import GlideTextToImage
from glidewire.scenes import Caption, caption, held_out_prompts, parse, render, sample_scene
from glidewire.training.evaluate import draw, evaluate, figures, kind
from glidewire.training.painters import Sampling, glide_painter
from glidewire.training.recipe import MINI, caption_tokenizer

TOKENIZER = caption_tokenizer()
SAMPLING = Sampling("3", batch=2)


@pytest.fixture(scope="module")
def network() -> GlideTextToImage:
    spec = replace(MINI, vocabulary_size=TOKENIZER.vocabulary_size, channel_mult=(1, 2), attention_resolutions=(16,))
    return GlideTextToImage(spec).initialise(0).eval()


def test_pictures_do_not_depend_on_the_batch_they_are_drawn_in(network: GlideTextToImage) -> None:
    prompts, seeds = ["a red cube", "a blue cone", "a green sphere"], [5, 6, 7]
    together = draw(network, TOKENIZER, prompts, seeds, 2.0, replace(SAMPLING, batch=3))
    apart = draw(network, TOKENIZER, prompts, seeds, 2.0, replace(SAMPLING, batch=1))
    assert together.shape == (3, 32, 32, 3) and together.dtype == np.uint8
    assert np.abs(together.astype(int) - apart).max() <= 1
    assert draw(network, TOKENIZER, prompts[:1], seeds[:1], 2.0, SAMPLING, side=16).shape == (1, 16, 16, 3)


def test_figures_are_shares_of_what_is_stated() -> None:
    scenes = [sample_scene(seed, held_out=True) for seed in range(12)]
    captions = [caption(scene, seed, complete=True) for seed, scene in enumerate(scenes)]
    right = figures(np.stack([render(scene, 32) for scene in scenes]), captions, 2.0)
    assert right.everything == 1.0 and set(right.attributes.values()) == {1.0} and set(right.groups.values()) == {1.0}
    half = np.stack([render(scene, 32) for scene in scenes])
    half[::2] = 128
    row = figures(half, captions, 2.0)
    assert row.everything == 0.5 and row.attributes["objects"] == 0.5 and row.pictures == 12


def test_what_is_not_stated_has_no_figure() -> None:
    said = Caption("a red cube", parse("a red cube"))
    row = figures(np.full((1, 32, 32, 3), 240, np.uint8), [said], 1.0)
    assert row.attributes == {"objects": 0.0, "shape": 0.0, "colour": 0.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a purple cone", "unseen object"),
        ("a red cube above a purple cone", "unseen object in a pair"),
        ("a red cube above a green cone", "unseen arrangement"),
    ],
)
def test_each_prompt_is_new_in_its_own_way(text: str, expected: str) -> None:
    assert kind(Caption(text, parse(text))) == expected


def test_every_scale_is_judged_on_the_same_prompts(network: GlideTextToImage) -> None:
    rows = evaluate(glide_painter(network, TOKENIZER, SAMPLING), prompts=2, images=2, scales=[1.0, 3.0], batch=2)
    assert [(row.scale, row.pictures) for row in rows] == [(1.0, 4), (3.0, 4)]
    assert len(held_out_prompts(2)) == 2
