"""DeepFloyd IF: both stages in both layouts against the golden data, and what does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.diffusion.augmentation import conditioning_augmentation
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import StrictLoadError, identify, load
from glidewire.models.imagen.checkpoint import FAMILY
from glidewire.models.imagen.network import ImagenDenoiser
from glidewire.models.imagen.spec import STAGES, ImagenSpec
from glidewire.models.key_map import published_shapes
from safetensors.torch import save_file

TINY = ImagenSpec(
    upsampler=True, in_channels=6, model_channels=32, channel_mult=(1, 1), num_res_blocks=(1, 1), time_width=32,
    attention_levels=(1,), self_attention=False, num_head_channels=16, text_width=8, context_width=32, pool_heads=2,
)  # fmt: skip


def load_published(case: Any, folder: Path, weights: Mapping[str, torch.Tensor] | None = None) -> ImagenDenoiser:
    save_file(dict(weights or case.weights), folder / "m.safetensors")
    stated = {name: case.config[name] for name in ("att_pool_heads", "num_head_channels", "image_size")}
    model = load(folder / "m.safetensors", stated=stated)
    assert isinstance(model, ImagenDenoiser)
    return model


def evaluated(model: ImagenDenoiser, case: Any, conditioning: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    """The raw output, with the text projected at once and projected ahead."""
    x, t = case.inputs["x"][:, : model.spec.channels], case.inputs["timesteps"]
    return [model(x, t, conditioning), model(x, t, model.prepare(conditioning))]


def augmented(case: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    size = tuple(case.inputs["x"].shape[2:])
    low_res, level = conditioning_augmentation(
        case.inputs["low_res"], size, case.config["aug_level"], case.inputs["aug_noise"]
    )
    text = case.inputs["text_emb"]
    return low_res, {"text_states": text, "low_res": low_res, "noise_level": torch.tensor([level])}


@torch.no_grad()
def test_first_stage(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("if_stage1")
    model = load_published(case, tmp_path)
    assert model.learned_variance and model.prediction == "eps"
    case.assert_close("text_pool", model.pooled_text(case.inputs["text_emb"]))
    for output in evaluated(model, case, {"text_states": case.inputs["text_emb"]}):
        case.assert_close("model_output", output)


@torch.no_grad()
def test_second_stage(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("if_stage2")
    model = load_published(case, tmp_path)
    low_res, conditioning = augmented(case)
    case.assert_close("low_res_noised", low_res)
    case.assert_close("text_pool", model.pooled_text(case.inputs["text_emb"]))
    for output in evaluated(model, case, conditioning):
        case.assert_close("model_output", output)


@pytest.mark.parametrize("name", ["if_stage1_diffusers", "if_stage2_diffusers"])
@torch.no_grad()
def test_diffusers_folders(name: str, parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(name)
    (tmp_path / "config.json").write_text(json.dumps(case.config))
    save_file(case.weights, tmp_path / "diffusion_pytorch_model.safetensors")
    identity = identify(tmp_path)
    assert identity.layout == "diffusers" and "pool_heads" not in identity.assumed
    model = load(tmp_path)
    assert isinstance(model, ImagenDenoiser)
    conditioning = {"text_states": case.inputs["text_emb"]}
    if model.spec.upsampler:
        low_res = case.inputs["x"][:, model.spec.channels :]
        conditioning |= {"low_res": low_res, "noise_level": case.inputs["class_labels"]}
    for output in evaluated(model, case, conditioning):
        case.assert_close("model_output", output)


@pytest.mark.parametrize("mistake", ["rows", "scale"])
@torch.no_grad()
def test_mistakes_show(mistake: str, parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("if_stage2" if mistake == "scale" else "if_stage1")
    weights = dict(case.weights)
    if mistake == "rows":
        for key in [key for key in weights if ".encoder_kv." in key]:
            # Keys and values of the text exchanged within every head.
            heads = weights[key].unflatten(0, (-1, 2, case.config["num_head_channels"]))
            weights[key] = heads.flip(1).flatten(0, 2).contiguous()
    model = load_published(case, tmp_path, weights)
    conditioning = {"text_states": case.inputs["text_emb"]}
    if mistake == "scale":
        conditioning = augmented(case)[1]
        for module in model.unet.modules():
            if hasattr(module, "output_scale_factor"):
                module.output_scale_factor = 1.0
    with pytest.raises(AssertionError, match="error"):
        case.assert_close("model_output", evaluated(model, case, conditioning)[0])


@torch.no_grad()
def test_half_precision_keeps_the_dtype_of_pictures() -> None:
    model = ImagenDenoiser(TINY).eval()
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([5, 900])
    conditioning = {"text_states": torch.randn(1, 3, 8).expand(2, -1, -1), "low_res": x, "noise_level": t[:1]}
    full = model(x, t, conditioning)
    half = model.bfloat16()(x, t, model.prepare(conditioning))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, atol=0.05, rtol=0.05)


def test_the_largest_first_stage_has_its_published_size() -> None:
    spec = STAGES["stage I"]
    with torch.device("meta"):
        model = FAMILY.build(spec)
    assert round(sum(value.numel() for value in model.parameters()) / 1e6) == 4305
    shapes = published_shapes(model, FAMILY.key_map(spec))
    assert shapes["encoder_proj.weight"] == (2816, 4096)


def test_missing_tensors_are_listed(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("if_stage1")
    weights = dict(case.weights)
    weights["out.2.extra"] = weights.pop("out.0.bias")
    with pytest.raises(StrictLoadError, match=r"missing:\s+out\.0: bias"):
        load_published(case, tmp_path, weights)


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    model = ImagenDenoiser(TINY)
    text = {"text_states": torch.zeros(1, 3, 8)}
    x, t = torch.zeros(1, 3, 8, 8), torch.tensor([5])
    with pytest.raises(GlidewireError, match=r"needs 'low_res' and 'noise_level'; expected a picture of 3 x 8 x 8"):
        model(x, t, text)
    beside = {"low_res": x, "noise_level": t}
    with pytest.raises(GlidewireError, match=r"'text_states' does not fit; expected batch x positions x 8; got noth"):
        model(x, t, beside)
    with pytest.raises(GlidewireError, match=r"multiples of 2; got \(1, 3, 7, 8\)"):
        model(x[:, :, :7], t, text | beside)
    with pytest.raises(GlidewireError, match="pool_heads does not fit; expected a divisor of 4096; got 3"):
        ImagenSpec(pool_heads=3)
    marks = ("encoder_pooling.0.weight", "encoder_proj.weight", "input_blocks.0.0.weight", "output_blocks.0.0.x")
    save_file({mark: torch.zeros(2, 2) for mark in marks}, tmp_path / "half.safetensors")
    with pytest.raises(GlidewireError, match="is not a"):
        identify(tmp_path / "half.safetensors")
