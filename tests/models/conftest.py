"""Tiny real models: every layer randomised, since a zero-initialised layer would hide an error behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.models.asyrp.network import PixelDenoiser
from glidewire.models.asyrp.spec import PixelUnetSpec
from glidewire.models.glide import checkpoint as glide
from glidewire.models.glide.network import GlideTextToImage
from glidewire.models.glide.spec import GlideSpec
from glidewire.models.glide.tokenizer import GlideTokenizer
from glidewire.models.imagen.network import ImagenDenoiser
from glidewire.models.imagen.spec import ImagenSpec
from glidewire.models.ldm.network import LatentDenoiser
from glidewire.models.ldm.spec import UnetSpec
from glidewire.models.unclip.decoder import Decoder
from glidewire.models.unclip.spec import DecoderSpec


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


# --- every U-Net, tiny, with a condition for each seed ----------------------------------------------------------------

SIZES: dict[str, Any] = {
    "model_channels": 8, "channel_mult": (1, 2), "num_res_blocks": 1, "attention_levels": (0,), "context_width": 6,
    "num_heads": 2, "norm_groups": 4,
}  # fmt: skip


def tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_weights(network: Any, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.2 + (value.ndim == 1))
    return network.eval().requires_grad_(False)


def tiny_glide() -> tuple[Any, Callable[[int], Mapping[str, torch.Tensor]]]:
    spec = tiny_spec()
    width = 4 * spec.model_channels
    return GlideTextToImage(spec), lambda seed: {
        "text_embedding": tensor(1, width, seed=seed), "text_states": tensor(1, 8, spec.text_width, seed=seed),
    }  # fmt: skip


def tiny_latent() -> tuple[Any, Callable[[int], Mapping[str, torch.Tensor]]]:
    return LatentDenoiser(UnetSpec(**SIZES)), lambda seed: {"context": tensor(1, 3, 6, seed=seed)}


def tiny_unclip() -> tuple[Any, Callable[[int], Mapping[str, torch.Tensor]]]:
    spec = DecoderSpec(
        model_channels=32, channel_mult=(1, 2), num_res_blocks=1, attention_levels=(1,), context_width=6,
        image_tokens=2, embedding_width=8, text_width=12, pooled_width=8,
    )  # fmt: skip
    network = random_weights(Decoder(spec))
    return network, lambda seed: network.encode(
        tensor(1, 8, seed=seed), tensor(1, 8), tensor(1, 4, 12, seed=seed), torch.tensor([[True, True, False, False]])
    )


def tiny_imagen() -> tuple[Any, Callable[[int], Mapping[str, torch.Tensor]]]:
    spec = ImagenSpec(
        model_channels=8, channel_mult=(1, 2), num_res_blocks=(1, 1), attention_levels=(1,), num_head_channels=8,
        text_width=8, context_width=32, pool_heads=2, time_width=16, norm_groups=4, size=8,
    )  # fmt: skip
    return ImagenDenoiser(spec), lambda seed: {"text_states": tensor(1, 3, 8, seed=seed)}


def tiny_pixel() -> tuple[Any, Callable[[int], Mapping[str, torch.Tensor]]]:
    spec = PixelUnetSpec(model_channels=8, channel_mult=(1, 2), num_res_blocks=1, attention_levels=(1,), norm_groups=4)
    return PixelDenoiser(spec), lambda seed: {}


FAMILIES = {
    "glide": tiny_glide,
    "latent": tiny_latent,
    "unclip": tiny_unclip,
    "imagen": tiny_imagen,
    "pixel": tiny_pixel,
}


def unet(name: str) -> Any:
    network, condition = FAMILIES[name]()
    return random_weights(network), condition


@pytest.fixture(scope="session")
def unet_of() -> Callable[[str], Any]:
    """A tiny network by its family, and its condition by a seed."""
    return unet


@pytest.fixture(scope="module", params=FAMILIES)
def any_unet(request: Any) -> Any:
    """As `unet_of`, each family in turn."""
    return unet(request.param)


@pytest.fixture(scope="module", params=[name for name in FAMILIES if name != "pixel"])
def attending_unet(request: Any) -> Any:
    """As `unet_of`, each family with a condition."""
    return unet(request.param)
