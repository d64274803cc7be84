"""The recipes of the cascade: T5 listens to GLIDE, a first stage begins as GLIDE, a second is told a level of noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from glidewire.models.glide.model import GlideModel
from glidewire.models.imagen.model import T5TextEncoder, load_stage, load_t5
from glidewire.models.imagen.network import ImagenDenoiser
from glidewire.models.text_image_unet import attentions
from glidewire.training import batches, imagen, t5
from glidewire.training.imagen_upsampling import ImagenUpsamplingCourse, ImagenUpsamplingLesson
from glidewire.training.measures import states_told
from glidewire.training.painters import Sampling, painter_of
from glidewire.training.pool import Pool, open_pool
from glidewire.training.repainters import imagen_upsampling
from glidewire.training.run import Run, train

CPU = torch.device("cpu")
FEW: dict[str, Any] = {"steps": 2, "batch_size": 2, "pool_size": 12}


@pytest.fixture(scope="module")
def folder(small_pool: Pool, glide: GlideModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with T5 after a few updates."""
    folder = tmp_path_factory.mktemp("imagen")
    course = t5.T5Course(captions=40, **{**FEW, "steps": 25, "batch_size": 16})
    lesson = t5.T5Lesson(course, small_pool, glide, CPU)
    before = lesson.losses(99, 0.0)
    train(Run(lesson, folder))
    after = lesson.losses(99, 0.0)
    assert after["asked"] < before["asked"] and after["states"] < before["states"]
    (folder / "state.pt").unlink()
    return folder


@pytest.fixture(scope="module")
def text(folder: Path) -> T5TextEncoder:
    return load_t5(folder / "mini-t5.safetensors")


def test_t5_knows_every_word_of_captions_and_is_taken_up_again(
    folder: Path, text: T5TextEncoder, small_pool: Pool, glide: GlideModel
) -> None:
    texts = [batches.everything(scene).text for scene in small_pool.scenes]
    tokens, mask = text.tokenizer.encode_batch(texts, 24)
    unknown = text.tokenizer.encode("xyzzy", 2).tokens[0]
    assert mask.sum() == sum(len(one.split()) + 1 for one in texts) and not (tokens == unknown).any()
    assert all(share < 1 for share in states_told(text, glide, 12).values())
    again = t5.T5Lesson(t5.T5Course(**FEW), small_pool, glide, CPU)
    again.begin_with(folder / "mini-t5.safetensors")
    theirs = text.network.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in again.text.state_dict().items())


@torch.no_grad()
def test_the_form_of_if_holds_glides_unet(glide: GlideModel) -> None:
    network = ImagenDenoiser(imagen.mini_spec(glide.spec, 96)).eval()
    imagen.begun(network, glide)
    said = glide.encode_prompt("a small red cube on white ground")[0]
    for attention in attentions(network.unet):
        attention.norm_cross = None  # GLIDE's keys and values take states as they are
    network.unet.encoder_hid_proj = torch.nn.Identity()
    added = said["text_embedding"] / imagen.GELU
    network.unet.add_embedding = torch.nn.Module()
    network.unet.add_embedding.forward = lambda states: added
    x_t, timesteps = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.tensor([700])
    wanted = glide.network(x_t, timesteps, said)
    found = network(x_t, timesteps, {"text_states": said["text_states"]})
    assert (found - wanted).square().mean() < 1e-3 * wanted.square().mean()


@torch.no_grad()
def test_keys_and_values_of_its_text_begin_near_glides(small_pool: Pool, glide: GlideModel) -> None:
    network = ImagenDenoiser(imagen.mini_spec(glide.spec, glide.spec.text_width)).eval()
    imagen.begun(network, glide)
    captions = batches.captions(small_pool, range(12), np.random.default_rng(0), silence=0)
    texts = [one.text for one in captions] * 8
    states = t5.glide_states(glide, texts)
    with torch.enable_grad():
        imagen.read(network, glide, states, texts)
    ours, theirs = attentions(network.unet)[0], attentions(glide.network.unet)[0]
    wanted = theirs.add_v_proj(states)
    found = ours.add_v_proj(ours.norm_encoder_hidden_states(network.unet.encoder_hid_proj(states)))
    assert (found - wanted).square().mean() < 0.1 * wanted.var()
    added = glide.network.text.transformer_proj(states[:, -1]) / imagen.GELU
    assert (network.unet.add_embedding(states) - added).square().mean() < 0.5 * added.var()


def test_the_stages_are_files_of_if_that_draw_and_enlarge(
    folder: Path, text: T5TextEncoder, small_pool: Pool, glide: GlideModel, scenes: Path
) -> None:
    first = train(Run(imagen.ImagenLesson(imagen.ImagenCourse(read=24, **FEW), small_pool, glide, text, CPU), folder))
    (folder / "state.pt").unlink()
    pictures = painter_of(first, folder, Sampling("2"), CPU)(["a red cube", ""], [0, 1], 0, 3.0)
    assert pictures.shape == (2, 32, 32, 3) and load_stage(first).spec.size == 32
    course = ImagenUpsamplingCourse(**FEW)
    large = open_pool(scenes, 12, 64, tints=0.4)
    second = train(Run(ImagenUpsamplingLesson(course, large, text, CPU), folder))
    model = load_stage(second)
    assert model.spec.upsampler and not model.spec.self_attention
    enlarge = imagen_upsampling(model, text, Sampling("2", eta=0.0))
    assert enlarge(pictures, [0, 1]).shape == (2, 64, 64, 3)
