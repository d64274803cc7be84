"""The upsamplers' recipes: crops and degraded small pictures, files that load, and pictures of twice the side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from glidewire.models.glide.model import GlideModel, load_model
from glidewire.models.unclip.upsampling import load_upsampler
from glidewire.training.measures import measured
from glidewire.training.painters import to_bytes, to_pixels
from glidewire.training.pool import Pool, open_pool
from glidewire.training.repainters import glide_upsampling, unclip_upsampling
from glidewire.training.run import Run, train
from glidewire.training.upsampling import (
    GlideUpsamplingLesson,
    UnclipUpsamplingLesson,
    UpsamplingCourse,
    broad_noise,
    crops,
    small,
)

CPU = torch.device("cpu")
COURSE = UpsamplingCourse(steps=2, batch_size=3, pool_size=6)


@pytest.fixture(scope="module")
def large_pool(scenes: Path) -> Pool:
    return open_pool(scenes, 6, 64, tints=0.4)


def test_crops_lie_on_whole_small_pixels() -> None:
    pictures = torch.arange(64 * 64).reshape(1, 1, 64, 64).float().expand(20, 3, -1, -1)
    found = crops(pictures, 32, np.random.default_rng(0))
    assert found.shape == (20, 3, 32, 32)
    places = found[:, 0, 0, 0].long()
    assert (places // 64 % 2 == 0).all() and (places % 64 % 2 == 0).all() and len(places.unique()) > 10


def test_small_pictures_are_means_that_went_through_something() -> None:
    pictures = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    means = torch.nn.functional.avg_pool2d(pictures, 2)
    clean = UpsamplingCourse(blurred=0.0, degraded=0.0, noise=0.0)
    assert (small(pictures, clean, np.random.default_rng(0)) - means).abs().max() <= 0.5 / 127.5 + 1e-6
    found = small(pictures, UpsamplingCourse(blurred=0.5, degraded=0.5), np.random.default_rng(0))
    again = small(pictures, UpsamplingCourse(blurred=0.5, degraded=0.5), np.random.default_rng(0))
    assert torch.equal(found, again) and found.abs().max() <= 1
    assert ((found - means).flatten(1).abs().mean(1) > 1e-3).all()


def test_broad_noise_has_colours_that_white_noise_lacks() -> None:
    def means(deviation: float, side: int) -> torch.Tensor:
        noise = broad_noise(torch.zeros(400, 3, 32, 32), deviation, torch.Generator().manual_seed(0))
        return torch.nn.functional.adaptive_avg_pool2d(noise, side)

    white = 1 / 32  # the deviation of a mean over the picture
    assert abs(float(means(0.0, 1).std()) - white) < 0.2 * white
    assert float(means(0.25, 1).std()) > 0.25
    within = means(0.25, 4)
    assert float((within - within.mean(dim=(2, 3), keepdim=True)).std()) > 1.5 * float(means(0.0, 4).std())


def test_bytes_and_pixels_are_one_another_s_way_back() -> None:
    pictures = np.random.default_rng(0).integers(256, size=(2, 4, 5, 3), dtype=np.uint8)
    assert np.array_equal(to_bytes(to_pixels(pictures)), pictures)


def test_unclip_s_upsampler_learns_and_enlarges(large_pool: Pool, tmp_path: Path) -> None:
    path = train(Run(UnclipUpsamplingLesson(COURSE, large_pool, CPU), tmp_path))
    model = load_upsampler(path)
    assert model.last_step is None and model.network.spec.model_channels == 16
    pictures = np.full((2, 32, 32, 3), 128, np.uint8)
    found = unclip_upsampling(model.network)(pictures, [0, 1])
    assert found.shape == (2, 64, 64, 3)
    assert np.array_equal(found[:1], unclip_upsampling(model.network)(pictures[:1], [0]))
    shares = measured(path, 2, tmp_path)
    assert shares is not None and {"verdict kept at 64 px", "verdict kept at 128 px"} <= shares.keys()


def test_glide_s_upsampler_keeps_the_text_transformer(glide: GlideModel, large_pool: Pool, tmp_path: Path) -> None:
    path = train(Run(GlideUpsamplingLesson(COURSE, large_pool, glide, CPU), tmp_path))
    model = load_model(path)
    assert model.spec.takes_low_resolution and model.tokenizer.merges == glide.tokenizer.merges
    for name, weight in model.network.text.state_dict().items():
        assert torch.equal(weight, glide.network.text.state_dict()[name].half().float()), name
    assert glide_upsampling(model)(np.full((1, 32, 32, 3), 128, np.uint8), [0]).shape == (1, 64, 64, 3)
    shares = measured(path, 2, tmp_path)
    assert shares is not None and "verdict kept at 64 px" in shares


def test_glide_s_upsampler_begins_with_the_convolutions_of_unclip_s(large_pool: Pool, glide: GlideModel) -> None:
    known = UnclipUpsamplingLesson(COURSE, large_pool, CPU).network
    fresh = GlideUpsamplingLesson(COURSE, large_pool, glide, CPU).network.unet.state_dict()
    found = GlideUpsamplingLesson(COURSE, large_pool, glide, CPU, known).network.unet.state_dict()
    theirs = known.unet.state_dict()
    for name in ("conv_in.weight", "mid_block.resnets.0.conv1.weight", "up_blocks.0.resnets.0.conv_shortcut.weight"):
        assert torch.equal(found[name], theirs[name])
    assert torch.equal(found["conv_out.weight"][:3], theirs["conv_out.weight"])
    assert torch.equal(found["conv_out.weight"][3:], fresh["conv_out.weight"][3:])
    assert torch.equal(found["mid_block.attentions.0.to_q.weight"], fresh["mid_block.attentions.0.to_q.weight"])
