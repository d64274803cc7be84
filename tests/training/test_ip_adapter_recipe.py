"""The recipe of the image-prompt adapter: what captions hide, what pictures show, and a file that adapts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from glidewire.models.clip.image_encoder import load_image_encoder
from glidewire.models.clip.model import load_clip
from glidewire.models.ip_adapter.model import load_adapter
from glidewire.models.ldm.attention import attention_layers
from glidewire.scenes import parse
from glidewire.training.frozen import Frozen
from glidewire.training.ip_adapter import IpAdapterCourse, IpAdapterLesson
from glidewire.training.pool import Pool
from glidewire.training.run import Run, train

CPU = torch.device("cpu")
WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


@pytest.fixture(scope="module")
def lesson(small_pool: Pool, scenes: Path) -> IpAdapterLesson:
    files = (WEIGHTS / f"{name}.safetensors" for name in ("mini-ldm", "mini-kl-f4", "mini-clip-text"))
    frozen, clip = Frozen.load(*files, CPU), load_clip(WEIGHTS / "mini-clip.safetensors")
    course = IpAdapterCourse(steps=3, batch_size=4, pool_size=12)
    return IpAdapterLesson(course, small_pool, frozen, clip, scenes, CPU)


def test_captions_hide_the_colour_that_pictures_show(lesson: IpAdapterLesson) -> None:
    rng = np.random.default_rng(0)
    drawn, shown = lesson.choose(rng, 40)
    for one, other in zip(drawn, shown, strict=True):
        (solid,), (beside,) = lesson.pool.scenes[one].solids, lesson.pool.scenes[other].solids
        assert solid.colour == beside.colour
        stated = parse(lesson.caption(one, rng))
        assert stated.objects[0].colour is None and stated.objects[0].shape == solid.shape
        assert stated.ground in (None, lesson.pool.scenes[one].ground)


def test_keys_and_values_begin_as_those_of_the_text(lesson: IpAdapterLesson) -> None:
    attending = attention_layers(lesson.frozen.denoiser.network.unet)[1::2]
    for ours, theirs in zip(lesson.adapter.layers.values(), attending, strict=True):
        assert torch.equal(ours.to_v_ip.weight, theirs.to_v.weight)


def test_only_the_adapter_is_trained_and_its_file_fits_its_encoder(lesson: IpAdapterLesson, tmp_path: Path) -> None:
    network = lesson.frozen.denoiser.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    path = train(Run(lesson, tmp_path))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    adapter = load_adapter(path)
    prompt, none = adapter.tokens(load_image_encoder(WEIGHTS / "mini-clip.safetensors"), torch.zeros(2, 3, 32, 32))
    assert prompt.shape == (2, 4, 96) and none.shape == (1, 4, 96)
