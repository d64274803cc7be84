"""Latent denoisers: every published kind against the golden data, in the published and in diffusers' layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import StrictLoadError, identify, load, save_published
from glidewire.models.header import Header
from glidewire.models.key_map import published_shapes
from glidewire.models.ldm.checkpoint import FAMILY
from glidewire.models.ldm.layout import diffusers_key_map, key_map
from glidewire.models.ldm.network import LatentDenoiser
from glidewire.models.ldm.spec import PUBLISHED, UnetSpec
from safetensors.torch import load_file, save_file

CASES = ("ldm_unet_crossattn", "ldm_unet_inpaint7", "ldm_unet_scale_shift", "ldm_unet_uncond", "ldm_unet_class")
WITHOUT_CONTEXT = ("ldm_unet_inpaint7", "ldm_unet_scale_shift", "ldm_unet_uncond")
FIRST = "model.diffusion_model.input_blocks.0.0.weight"

# Parameters that the released checkpoints' U-Nets have, as their model cards and logs give them.
PARAMETERS = {"stable-diffusion-1": 859_520_964, "stable-diffusion-2": 865_910_724, "cin256-v2": 400_920_579}

TINY = UnetSpec(
    model_channels=8, channel_mult=(1, 2), attention_levels=(0,), context_width=6, num_heads=2, norm_groups=4
)


def stated(config: Mapping[str, Any], groups: int) -> dict[str, int]:
    heads = {name: config[name] for name in ("num_heads", "num_head_channels") if name in config}
    return {"norm_groups": groups, **heads}


def load_case(case: Any, folder: Path, weights: Mapping[str, torch.Tensor] | None = None) -> LatentDenoiser:
    save_file(dict(weights or case.weights), folder / "m.safetensors")
    options = stated(case.config["unet_config"], case.config["norm_groups"])
    return load(folder / "m.safetensors", component="denoiser", stated=options)


def conditioned(model: LatentDenoiser, x: torch.Tensor, context: torch.Tensor | None) -> tuple[torch.Tensor, dict]:
    """x_t and the conditioning out of all channels of the first convolution."""
    channels = [model.spec.out_channels, *(channels for _, channels in model.spec.beside)]
    x_t, *beside = x.split(channels, dim=1)
    names = [name for name, _ in model.spec.beside]
    return x_t, dict(zip(names, beside, strict=True)) | ({} if context is None else {"context": context})


def randomised(spec: UnetSpec, seed: int = 0) -> LatentDenoiser:
    model = LatentDenoiser(spec)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn(value.shape, generator=generator))
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_parity(name: str, parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(name)
    model = load_case(case, tmp_path)
    context = case.inputs.get("context", case.outputs.get("context"))
    x_t, conditioning = conditioned(model, case.inputs["x"], context)
    eps = model(x_t, case.inputs["timesteps"], conditioning)
    case.assert_close("eps", eps)
    case.assert_close("eps", model(x_t, case.inputs["timesteps"], model.prepare(conditioning)))
    assert model.prediction == "eps" and not model.learned_variance


@torch.no_grad()
def test_cross_attention_parity(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("ldm_unet_crossattn")
    model = load_case(case, tmp_path)
    x, t = case.inputs["x"], case.inputs["timesteps"]
    embedding = model.unet.time_embedding(model.unet.time_proj(t))
    case.assert_close("time_emb", embedding)
    case.assert_close("eps_77_tokens_row0", model(x[:1], t[:1], {"context": case.inputs["context_77"]}))
    inpainting = load_case(case, tmp_path, case.weights | case.tensors("weights_in9"))
    parts = {name: case.inputs[short] for name, short in (("mask", "mask"), ("masked_latents", "masked_z"))}
    case.assert_close("eps_in9", inpainting(x, t, {"context": case.inputs["context"], **parts}))
    seven = load_case(case, tmp_path, case.weights | case.tensors("weights_in7"))
    x_t, conditioning = conditioned(seven, case.inputs["x_in7"], case.inputs["context"])
    case.assert_close("eps_in7", seven(x_t, t, conditioning))


@torch.no_grad()
def test_inpainting_parity_from_its_parts(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("ldm_unet_inpaint7")
    model = load_case(case, tmp_path)
    parts = {"masked_latents": case.inputs["masked_z"], "mask": case.outputs["mask_latent"]}
    case.assert_close("eps_from_parts", model(case.inputs["z"], case.inputs["timestep_z"], parts))


@torch.no_grad()
def test_super_resolution_parity(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("ldm_unet_uncond")
    model = load_case(case, tmp_path, case.weights | case.tensors("weights_in6"))
    x_t, conditioning = conditioned(model, case.inputs["x_in6"], None)
    case.assert_close("eps_in6", model(x_t, case.inputs["timesteps"], conditioning))


@torch.no_grad()
def test_class_embedding_parity(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("ldm_unet_class")
    save_file(case.tensors("weights_label_emb"), tmp_path / "m")
    model = load(tmp_path / "m", stated=stated(case.config["label_emb_unet_config"], case.config["norm_groups"]))
    conditioning = {"class_label": case.inputs["class_label"]}
    case.assert_close("eps_label_emb", model(case.inputs["x"], case.inputs["timesteps"], conditioning))


def test_other_parts_of_the_file_do_not_count(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("ldm_unet_class")
    model = load_case(case, tmp_path)
    prefix = "model.diffusion_model."
    alone = {key.removeprefix(prefix): value for key, value in case.weights.items() if key.startswith(prefix)}
    save_file(alone, tmp_path / "alone")
    options = stated(case.config["unet_config"], case.config["norm_groups"])
    again = load(tmp_path / "alone", stated=options)
    state = model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in again.state_dict().items())


def rows_by_part(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows [part][head][channel] read as if they were [head][part][channel]."""
    return weight.unflatten(0, (3, heads, -1)).transpose(0, 1).flatten(0, 2).contiguous()


@pytest.mark.parametrize("name", WITHOUT_CONTEXT)
@torch.no_grad()
def test_query_key_and_value_rows_in_another_order_show(
    name: str, parity: Callable[[str], Any], tmp_path: Path
) -> None:
    case = parity(name)
    config = case.config["unet_config"]
    weights = {}
    for key, value in case.weights.items():
        heads = config.get("num_heads") or value.shape[0] // 3 // config["num_head_channels"]
        weights[key] = rows_by_part(value, heads) if ".qkv." in key else value
    if all(torch.equal(value, case.weights[key]) for key, value in weights.items()):
        pytest.skip("with a single head both orders are the same")
    model = load_case(case, tmp_path, weights)
    x_t, conditioning = conditioned(model, case.inputs["x"], None)
    with pytest.raises(AssertionError, match="error"):
        case.assert_close("eps", model(x_t, case.inputs["timesteps"], conditioning))


@torch.no_grad()
def test_another_number_of_heads_shows(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("ldm_unet_crossattn")
    heads = 2 if case.config["unet_config"].get("num_heads") == 1 else 1
    save_file(case.weights, tmp_path / "m")
    model = load(tmp_path / "m", stated={"norm_groups": case.config["norm_groups"], "num_heads": heads})
    with pytest.raises(AssertionError, match="error"):
        case.assert_close("eps", model(case.inputs["x"], case.inputs["timesteps"], {"context": case.inputs["context"]}))


@torch.no_grad()
def test_swapped_keys_and_values_show(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("ldm_unet_crossattn")
    names = {".to_k.": ".to_v.", ".to_v.": ".to_k."}
    swap = {key: next((key.replace(a, b) for a, b in names.items() if a in key), key) for key in case.weights}
    model = load_case(case, tmp_path, {swap[key]: value for key, value in case.weights.items()})
    with pytest.raises(AssertionError, match="error"):
        case.assert_close("eps", model(case.inputs["x"], case.inputs["timesteps"], {"context": case.inputs["context"]}))


@pytest.mark.parametrize("name", PARAMETERS)
def test_full_size_is_the_published_file(name: str) -> None:
    with torch.device("meta"):
        model = LatentDenoiser(PUBLISHED[name])
    assert sum(value.numel() for value in model.state_dict().values()) == PARAMETERS[name]


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("layout", ["published", "diffusers"])
def test_every_published_shape_is_recognised(name: str, layout: str) -> None:
    spec = PUBLISHED[name]
    with torch.device("meta"):
        shapes = published_shapes(LatentDenoiser(spec), {"published": key_map, **FAMILY.layouts}[layout](spec))
    header = Header(Path("m"), "safetensors", shapes, {}, locations={key: (key,) for key in shapes})
    twins = [other for other in PUBLISHED if _told_alike(PUBLISHED[other], spec)]
    identity = FAMILY.recognise(header, {"prediction": spec.prediction, "size": spec.size})
    assert (identity.spec, identity.variant, identity.assumed) == (spec, name, ())
    assert identity.layout == layout
    assert identity.dims["context_width"] == spec.context_width
    if len(twins) > 1:  # base and 768-pixel models of Stable Diffusion 2 have the same tensors
        assert set(FAMILY.recognise(header, {}).assumed) == {"size", "prediction"}


def _told_alike(one: UnetSpec, other: UnetSpec) -> bool:
    untold = {"size", "prediction", "betas", "num_heads", "num_head_channels", "norm_groups"}
    return all(getattr(one, f.name) == getattr(other, f.name) for f in fields(UnetSpec) if f.name not in untold)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"linear_projection": True, "transformer_depth": 2, "num_heads": 0, "num_head_channels": 4},
        {"context_only_levels": (0,), "classes": 5, "in_channels": 7, "prediction": "v"},
        {"vector_width": 10, "in_channels": 5},
        {"context_width": 0, "residual_resampling": True, "scale_shift": True, "num_heads": 0, "num_head_channels": 2},
    ],
    ids=["stable diffusion 1", "linear", "upscaler", "unclip", "unconditional"],
)
@torch.no_grad()
def test_both_layouts_hold_the_same_network(changes: dict[str, Any], tmp_path: Path) -> None:
    spec = replace(TINY, **changes)
    model = randomised(spec)
    options = {name: getattr(spec, name) for name in ("norm_groups", "prediction")}
    options |= {name: value for name in ("num_heads", "num_head_channels") if (value := getattr(spec, name))}
    x = torch.randn(2, spec.in_channels, 4, 6)
    x_t, conditioning = conditioned(model, x, torch.randn(2, 3, 6) if spec.context_width else None)
    if spec.classes:
        conditioning["class_label"] = torch.tensor([1, 4])
    if spec.vector_width:
        conditioning["vector"] = torch.randn(2, spec.vector_width)
    expected = model(x_t, torch.tensor([3, 700]), conditioning)
    assert expected.shape == x_t.shape
    for layout in (key_map, diffusers_key_map):
        save_published(model, layout(spec), tmp_path / "m", metadata={})
        again = load(tmp_path / "m", stated=options)
        assert again.spec == replace(spec, size=again.spec.size, betas=again.spec.betas)
        assert torch.equal(again(x_t, torch.tensor([3, 700]), conditioning), expected)
        torch.testing.assert_close(again(x_t, torch.tensor([3, 700]), again.prepare(conditioning)), expected)
    assert len(load_file(tmp_path / "m")) == len(model.state_dict())


@pytest.mark.parametrize(
    "changes",
    [{}, {"num_heads": 0, "num_head_channels": 4}, {"context_width": 0, "num_heads": 0, "num_head_channels": 4}],
)
def test_a_folder_of_diffusers_tells_heads_and_groups(changes: dict[str, Any], tmp_path: Path) -> None:
    spec = replace(TINY, attention_levels=(0, 1), size=16, **changes)
    model = randomised(spec)
    if not spec.context_width:
        model.unet.register_to_config(attention_head_dim=spec.num_head_channels)
    model.unet.save_pretrained(tmp_path / "unet")
    identity = identify(tmp_path / "unet")
    assert replace(identity.spec, betas=spec.betas) == spec
    assert set(identity.assumed) == {"prediction", "betas"}
    assert load(tmp_path / "unet").digest() != model.digest()


def test_another_network_of_the_same_tensors_is_not_taken(tmp_path: Path) -> None:
    model = randomised(replace(TINY, context_width=0))
    model.unet.register_to_config(flip_sin_to_cos=False, freq_shift=1)
    model.unet.save_pretrained(tmp_path / "unet")
    with pytest.raises(GlidewireError, match="no known family"):
        identify(tmp_path / "unet")


def test_names_and_numbers_of_bad_input(tmp_path: Path) -> None:
    model = randomised(replace(TINY, in_channels=9))
    t, context = torch.tensor([1]), torch.zeros(1, 3, 6)
    mask, latents = torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, 4)
    good = {"context": context, "mask": mask, "masked_latents": latents}
    assert model(latents, t, good).shape == latents.shape
    for x_t, conditioning, message in (
        (torch.zeros(1, 3, 4, 4), good, r"4 channels x sides that are multiples of 2; got \(1, 3, 4, 4\)"),
        (torch.zeros(1, 4, 5, 4), good, "multiples of 2"),
        (latents, {**good, "context": torch.zeros(1, 3, 8)}, r"'context' does not fit; expected batch positions 6"),
        (latents, {"context": context, "mask": mask}, "'masked_latents' does not fit; expected 1 x 4 x 4 x 4; got n"),
        (latents, {**good, "mask": torch.zeros(1, 1, 8, 8)}, r"'mask' does not fit.*got \(1, 1, 8, 8\)"),
    ):
        with pytest.raises(GlidewireError, match=message):
            model(x_t, t, conditioning)
    save_published(model, key_map(model.spec), tmp_path / "m", metadata={})
    with pytest.raises(GlidewireError, match="contradicts the stated in_channels; expected 9, from its tensors; got 4"):
        identify(tmp_path / "m", stated={"in_channels": 4, "norm_groups": 4})
    with pytest.raises(GlidewireError, match="num_heads does not fit; expected a divisor of 8; got 3"):
        identify(tmp_path / "m", stated={"num_heads": 3, "norm_groups": 4})
    tensors = load_file(tmp_path / "m")
    del tensors["out.0.bias"]
    save_file(tensors, tmp_path / "m")
    with pytest.raises(StrictLoadError, match=r"out\.0: bias"):
        load(tmp_path / "m", stated={"num_heads": 2, "norm_groups": 4})
