"""The recipes over latents and over tokens: a few updates, files that load, and pictures drawn from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.ldm.model import load_denoiser
from glidewire.models.paella.model import load_predictor
from glidewire.training.latent import LatentCourse, LatentLesson
from glidewire.training.paella import PaellaCourse, PaellaLesson
from glidewire.training.painters import Sampling, painter_of
from glidewire.training.pool import Pool
from glidewire.training.run import Run, train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def drawing(minis: Path, small_pool: Pool, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of both recipes."""
    kl, vq = minis / "mini-kl-f4.safetensors", minis / "mini-vq-f4.safetensors"
    few = {"steps": 2, "batch_size": 3, "pool_size": 12}
    text, clip = minis / "mini-clip-text.safetensors", minis / "mini-clip.safetensors"
    latent = LatentLesson(LatentCourse(**few), small_pool, kl, text, scenes, CPU)
    paella = PaellaLesson(PaellaCourse(**few), small_pool, vq, clip, scenes, CPU)
    return {
        "latent": train(Run(latent, tmp_path_factory.mktemp("latent"))),
        "paella": train(Run(paella, tmp_path_factory.mktemp("paella"))),
    }


def test_the_denoiser_knows_its_space(drawing: dict[str, Path]) -> None:
    model = load_denoiser(drawing["latent"])
    assert model.network.space == "mini-kl-f4" and model.spec.prediction == "v" and model.spec.size == 8
    assert next(drawing["latent"].parent.glob("sheet-*.png")).stat().st_size > 0


def test_a_new_run_begins_with_what_an_earlier_one_published(
    drawing: dict[str, Path], minis: Path, small_pool: Pool, scenes: Path, tmp_path: Path
) -> None:
    lesson = LatentLesson(
        LatentCourse(steps=2, batch_size=3, pool_size=12, seed=1),
        small_pool,
        minis / "mini-kl-f4.safetensors",
        minis / "mini-clip-text.safetensors",
        scenes,
        CPU,
    )
    run = Run(lesson, tmp_path, start=drawing["latent"])
    published = load_denoiser(drawing["latent"]).network.state_dict()
    for name, weight in run.averaged.state_dict().items():
        assert torch.equal(weight, published[name]), name
    with pytest.raises(GlidewireError, match=r"mini-paella.safetensors are another network's than mini-ldm's"):
        Run(lesson, tmp_path / "other", start=drawing["paella"])


def test_the_predictor_knows_its_codebook_and_its_clip(drawing: dict[str, Path]) -> None:
    model = load_predictor(drawing["paella"])
    assert (model.codebook, model.clip) == ("mini-vq-f4", "mini-clip")


@pytest.mark.parametrize("name", ["latent", "paella"])
def test_a_picture_depends_on_its_prompt_seed_and_number_alone(
    name: str, drawing: dict[str, Path], minis: Path
) -> None:
    paint = painter_of(drawing[name], minis, Sampling("3"), CPU)
    prompts = ["a red cube", "a blue cone", "a green sphere"]
    together = paint(prompts, [5, 6, 7], 0, 2.0)
    alone = paint(prompts[1:2], [6], 1, 2.0)
    assert together.shape == (3, 32, 32, 3) and together.dtype == np.uint8
    assert np.abs(together[1].astype(int) - alone[0]).max() <= 1
    assert np.abs(together[1].astype(int) - paint(prompts[1:2], [8], 1, 2.0)[0]).max() > 1


def test_a_file_that_draws_nothing_is_refused(minis: Path) -> None:
    with pytest.raises(GlidewireError, match=r"mini-kl-f4.safetensors draws no pictures.*first_stage"):
        painter_of(minis / "mini-kl-f4.safetensors", minis, Sampling(), CPU)
