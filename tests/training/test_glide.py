"""The recipe, in a few steps: it learns, stops and goes on, and publishes weights that load."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.glide.model import load_model
from glidewire.training.glide import GlideLesson, fresh_model
from glidewire.training.pool import Pool, open_pool
from glidewire.training.recipe import Recipe, caption_tokenizer, draw_batch
from glidewire.training.run import Run, train

RECIPE = Recipe(steps=4, stages=((0.5, 16, 4), (0.5, 32, 2)), reading_steps=1, pool_size=12)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return open_pool(tmp_path_factory.mktemp("pool"), RECIPE.pool_size, 32)


def lesson(pool: Pool) -> GlideLesson:
    return GlideLesson(RECIPE, pool, fresh_model(RECIPE.seed), CPU)


def test_a_run_logs_draws_and_publishes_weights_that_load(pool: Pool, tmp_path: Path) -> None:
    run = Run(lesson(pool), tmp_path)
    train(run, log_every=2)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["pictures"]) for line in lines] == [(2, 4), (4, 2)]
    assert (tmp_path / "sheet-000004.png").is_file()
    model = load_model(tmp_path / "mini-glide-base.safetensors")
    assert model.tokenizer.merges == lesson(pool).tokenizer.merges
    for name, weight in model.network.state_dict().items():
        assert torch.equal(weight, run.averaged.state_dict()[name].half().float()), name


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(pool: Pool, tmp_path: Path) -> None:
    whole = Run(lesson(pool), tmp_path / "whole")
    for _ in range(4):
        whole.take_step()
    for _ in range(2):
        part = Run(lesson(pool), tmp_path / "parts")
        part.take_step()
        part.take_step()
        part.save()
    assert part.step == 4
    for name, weight in whole.averaged.state_dict().items():
        assert torch.equal(weight, part.averaged.state_dict()[name]), name


def test_a_batch_is_a_function_of_seed_and_step(pool: Pool) -> None:
    tokenizer = caption_tokenizer()
    first, again = (draw_batch(pool, tokenizer, RECIPE, 3, 0.0) for _ in range(2))
    assert torch.equal(first.pictures, again.pictures) and torch.equal(first.tokens, again.tokens)
    assert first.pictures.shape == (4, 3, 16, 16) and first.pictures.abs().max() <= 1
    other = draw_batch(pool, tokenizer, replace(RECIPE, seed=1), 3, 0.0)
    assert not torch.equal(first.pictures, other.pictures)
    assert draw_batch(pool, tokenizer, RECIPE, 3, 0.5).pictures.shape == (2, 3, 32, 32)


def test_some_captions_are_empty(pool: Pool) -> None:
    recipe = replace(RECIPE, stages=((1.0, 16, 200),))
    batch = draw_batch(pool, caption_tokenizer(), recipe, 0, 0.0)
    assert 0.04 < (~batch.mask.any(1)).float().mean() < 0.25


def test_the_rate_warms_up_stays_and_falls() -> None:
    rates = [RECIPE.rate(step, progress) for step, progress in ((0, 0), (199, 0.1), (900, 0.5), (900, 1.0))]
    assert rates[0] == pytest.approx(RECIPE.learning_rate / 200)
    assert rates[1] == rates[2] == RECIPE.learning_rate
    assert rates[3] == pytest.approx(0.02 * RECIPE.learning_rate)


def test_a_run_that_diverges_says_so(pool: Pool, tmp_path: Path) -> None:
    taught = lesson(pool)
    run = Run(taught, tmp_path)
    with torch.no_grad():
        taught.network.unet.conv_in.weight.fill_(float("nan"))
    with pytest.raises(GlidewireError, match=r"diverged at step 0.*Lower the learning rate"):
        run.take_step()


@pytest.mark.parametrize("content", [b"", b"not a state"])
def test_a_damaged_state_is_named(content: bytes, pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(GlidewireError, match=r"training state .*state\.pt cannot be taken up.*Remove it"):
        Run(lesson(pool), tmp_path)
