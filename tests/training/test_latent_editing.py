"""Latent diffusion's fine-tunes: they begin as the base model, see what they shall, and are measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.ldm.model import LatentModel, load_denoiser
from glidewire.training import batches
from glidewire.training.latent import LatentCourse, LatentLesson
from glidewire.training.latent_editing import LatentEditingCourse, LatentEditingLesson
from glidewire.training.measures import measured
from glidewire.training.pool import Pool
from glidewire.training.repainting import decibels, halved
from glidewire.training.run import Run, train

CPU = torch.device("cpu")
FEW = {"steps": 2, "batch_size": 3, "pool_size": 12}


@pytest.fixture(scope="module")
def base(minis: Path, small_pool: Pool, scenes: Path) -> LatentModel:
    kl, text = minis / "mini-kl-f4.safetensors", minis / "mini-clip-text.safetensors"
    return LatentModel(LatentLesson(LatentCourse(**FEW), small_pool, kl, text, scenes, CPU).network)


@pytest.mark.parametrize(
    ("task", "names", "figure"),
    [("inpaint", ["mask", "masked_latents"], "known pixels"), ("upsample", ["low_res"], "small picture")],
)
def test_a_fine_tune_begins_as_its_base_and_sees_more(
    task: str,
    names: list[str],
    figure: str,
    base: LatentModel,
    minis: Path,
    small_pool: Pool,
    scenes: Path,
    tmp_path: Path,
) -> None:
    kl, text = minis / "mini-kl-f4.safetensors", minis / "mini-clip-text.safetensors"
    course = LatentEditingCourse(task=task, **FEW)  # type: ignore[arg-type]
    lesson = LatentEditingLesson(course, small_pool, base, kl, text, scenes, CPU)
    lesson.prepare()
    beside, context = lesson.beside(np.arange(2), 0), {"context": batches.states(lesson.text, ["a red cube"] * 2)}
    assert sorted(beside) == names and {value.shape[-2:] for value in beside.values()} == {(8, 8)}
    x_t, timesteps = torch.randn(2, 4, 8, 8), torch.tensor([10, 500])
    found = lesson.network(x_t, timesteps, {**context, **beside})
    assert torch.allclose(found, base.network(x_t, timesteps, context), atol=1e-5)
    path = train(Run(lesson, tmp_path))
    assert sorted(name for name, _ in load_denoiser(path).spec.beside) == names
    measures = measured(path, 2, minis)
    assert measures is not None and {"everything", figure} <= measures.keys()


def test_an_unknown_task_is_refused(base: LatentModel, minis: Path, small_pool: Pool, scenes: Path) -> None:
    course = LatentEditingCourse(task="outpaint", **FEW)  # type: ignore[arg-type]
    with pytest.raises(GlidewireError, match=r"task.*inpaint or upsample.*outpaint"):
        LatentEditingLesson(course, small_pool, base, minis, minis, scenes, CPU)


def test_small_pictures_are_means() -> None:
    pictures = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    assert halved(pictures).shape == (2, 2, 2, 3)
    assert halved(pictures)[0, 0, 0, 0] == round(float(np.mean(pictures[0, :2, :2, 0])))
    assert halved(pictures, 2)[1, 0, 0, 2] == round(float(np.mean(pictures[1, ..., 2])))


def test_decibels_of_an_error_of_one_level() -> None:
    assert decibels(np.ones((2, 2)), np.zeros((2, 2))) == pytest.approx(48.13, abs=0.01)
