"""Tiny real models: every layer randomised, since a zero-initialised layer would hide an error behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from glidewire.models.glide import checkpoint as glide
from glidewire.models.glide.network import GlideTextToImage
from glidewire.models.glide.spec import GlideSpec
from glidewire.models.glide.tokenizer import GlideTokenizer


def tiny_spec(variant: str = "base", **changes: object) -> GlideSpec:
    sizes = {
        "variant": variant,
        "image_size": 16,
        "model_channels": 16,
        "channel_mult": (1, 2),
        "num_res_blocks": 1,
        "num_head_channels": 16,
        "attention_resolutions": (8,),
        "text_context": 8,
        "text_width": 16,
        "text_layers": 2,
        "text_heads": 2,
        "vocabulary_size": 300,
        "norm_groups": 8,
    }
    return GlideSpec(**{**sizes, **changes})


def randomised(spec: GlideSpec, seed: int = 0) -> GlideTextToImage:
    model = GlideTextToImage(spec)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            fan_in = value[0].numel() if value.ndim > 1 else 1
            centre = 1.0 if name.endswith("weight") and value.ndim == 1 else 0.0
            value.copy_(centre + noise * (0.7 / fan_in**0.5 if value.ndim > 1 else 0.1))
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def tokenizer() -> GlideTokenizer:
    captions = ["a red cube left of a blue sphere", "a small green cone above a yellow cylinder"]
    return GlideTokenizer.train(captions, 300)


@pytest.fixture(scope="session")
def spec(tokenizer: GlideTokenizer) -> GlideSpec:
    return tiny_spec(vocabulary_size=tokenizer.vocabulary_size)


@pytest.fixture(scope="session")
def model(spec: GlideSpec) -> GlideTextToImage:
    return randomised(spec)


@pytest.fixture
def saved(model: GlideTextToImage, tokenizer: GlideTokenizer, tmp_path: Path) -> Path:
    """A checkpoint as the minis are shipped: published layout, own spec and vocabulary."""
    path = tmp_path / "mini.safetensors"
    glide.save(model, path, merges=tokenizer)
    return path


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., GlideSpec]:
    return tiny_spec


@pytest.fixture(scope="session")
def make_model() -> Callable[..., GlideTextToImage]:
    return randomised
