"""A pool of a dozen scenes, and minis of a few updates, which the recipes' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from glidewire.models.glide.model import GlideModel, load_model
from glidewire.training.autoencoder import AutoencoderCourse, AutoencoderLesson
from glidewire.training.clip import ClipCourse, ClipLesson
from glidewire.training.pool import Pool, open_pool
from glidewire.training.run import Run, train

CPU = torch.device("cpu")
WEIGHTS = Path(__file__).parents[2] / "weights"


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="session")
def small_pool(scenes: Path) -> Pool:
    return open_pool(scenes, 12, 32, tints=0.4)


@pytest.fixture(scope="session")
def minis(small_pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a KL autoencoder, a VQ autoencoder that grew out of it, and CLIP, of two updates each."""
    folder = tmp_path_factory.mktemp("minis")
    few = {"steps": 2, "batch_size": 3, "pool_size": 12}
    kl = train(Run(AutoencoderLesson(AutoencoderCourse(kind="kl", **few), small_pool, CPU), folder))
    (folder / "state.pt").unlink()
    train(Run(AutoencoderLesson(AutoencoderCourse(kind="vq", revive_every=1, **few), small_pool, CPU, kl), folder))
    (folder / "state.pt").unlink()
    train(Run(ClipLesson(ClipCourse(reading_share=0.5, **few), small_pool, CPU), folder))
    return folder


@pytest.fixture(scope="session")
def glide() -> GlideModel:
    """The shipped mini GLIDE, which other recipes begin with."""
    return load_model(WEIGHTS / "mini-glide-base.safetensors")
