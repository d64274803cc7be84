"""The decoder's recipe: it begins as GLIDE under an embedding's own words, and draws from embeddings and prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from glidewire.models.clip.model import load_clip
from glidewire.models.glide.model import GlideModel
from glidewire.models.unclip.model import load_decoder
from glidewire.training.painters import Sampling, decoder_painter, painter_of
from glidewire.training.pool import Pool
from glidewire.training.prior import PriorCourse, PriorLesson
from glidewire.training.run import Run, train
from glidewire.training.unclip import DecoderCourse, DecoderLesson, fit

CPU = torch.device("cpu")
FEW = {"steps": 2, "batch_size": 3, "pool_size": 12}


@pytest.fixture(scope="module")
def decoder(
    glide: GlideModel, minis: Path, small_pool: Pool, scenes: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    clip = load_clip(minis / "mini-clip.safetensors")
    lesson = DecoderLesson(DecoderCourse(**FEW), small_pool, glide, clip, scenes, CPU)
    return train(Run(lesson, tmp_path_factory.mktemp("unclip")))


def test_it_begins_with_the_unet_and_with_what_the_text_transformer_says(
    glide: GlideModel, minis: Path, small_pool: Pool, scenes: Path
) -> None:
    clip = load_clip(minis / "mini-clip.safetensors")
    lesson = DecoderLesson(DecoderCourse(**FEW), small_pool, glide, clip, scenes, CPU)
    lesson.prepare()
    for name, weight in lesson.network.unet.state_dict().items():
        assert torch.equal(weight, glide.network.unet.state_dict()[name]), name


def test_a_line_is_fitted_exactly() -> None:
    given, true = torch.randn(40, 3), torch.nn.Linear(3, 2)
    found = torch.nn.Linear(3, 2)
    fit(found, given, true(given))
    assert torch.allclose(found.weight, true.weight, atol=1e-5) and torch.allclose(found.bias, true.bias, atol=1e-5)


def test_directions_that_hardly_vary_are_not_blown_up() -> None:
    given = torch.randn(400, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1e-3])
    found, ridged = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    wanted = given[:, :1] + 500 * given[:, 1:]
    fit(found, given, wanted)
    fit(ridged, given, wanted, noise=0.1)
    assert found.weight[0, 1] > 490 and ridged.weight[0].abs().max() < 2


def test_its_file_knows_its_clip_and_loads(decoder: Path) -> None:
    model = load_decoder(decoder)
    assert (model.network.space, model.clip, model.network.spec.takes_text) == ("pixels", "mini-clip", True)
    assert len(list(decoder.parent.glob("sheet-*.png"))) == 1


def test_the_chain_draws_from_prompts(
    decoder: Path, minis: Path, small_pool: Pool, scenes: Path, tmp_path: Path
) -> None:
    prior = PriorLesson(PriorCourse(**FEW), small_pool, minis / "mini-clip.safetensors", scenes, CPU)
    train(Run(prior, tmp_path)).rename(minis / "mini-prior.safetensors")
    paint = painter_of(decoder, minis, Sampling("3"), CPU)
    prompts = ["a red cube", "a blue cone"]
    together = paint(prompts, [5, 6], 0, 2.0)
    assert together.shape == (2, 32, 32, 3) and together.dtype == np.uint8
    assert np.abs(together[1].astype(int) - paint(prompts[1:], [6], 1, 2.0)[0]).max() <= 1


def test_the_decoder_hears_captions(decoder: Path, minis: Path) -> None:
    clip = load_clip(minis / "mini-clip.safetensors")
    paint = decoder_painter(load_decoder(decoder), clip, Sampling("3"))
    embedding = torch.randn(1, clip.spec.image.projection, generator=torch.Generator().manual_seed(0))
    silent, told = paint(embedding, [5], 0, 2.0), paint(embedding, [5], 0, 2.0, ["a red cube"])
    assert np.array_equal(silent, paint(embedding, [5], 0, 2.0, [""]))
    assert not np.array_equal(silent, told)
