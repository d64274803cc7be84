"""First stages: all published autoencoders against the golden data, in the published and in diffusers' layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import StrictLoadError, identify, load, save_published
from glidewire.models.first_stage.checkpoint import FAMILY, diffusers_key_map, key_map
from glidewire.models.first_stage.network import FirstStage
from glidewire.models.first_stage.spec import PUBLISHED, FirstStageSpec
from glidewire.models.header import Header
from glidewire.models.key_map import published_shapes
from safetensors.torch import load_file, save_file

KL = ("kl_f4", "kl_f8", "kl_f8_groups32", "kl_f16", "kl_f32")
VQ = ("vq_f4", "vq_f4_noattn", "vq_f8", "vq_f8_n256", "vq_f16")

# Parameters of the published files (Rombach et al. 2022, the released checkpoints).
PARAMETERS = {
    "kl-f4": 55_312_063,
    "kl-f8": 83_653_863,
    "kl-f16": 69_610_963,
    "kl-f32": 103_880_131,
    "vq-f4": 55_322_782,
    "vq-f4-noattn": 53_219_486,
    "vq-f8": 67_717_295,
    "vq-f8-n256": 67_652_783,
    "vq-f16": 69_593_371,
}

TINY = {"channels": 8, "norm_groups": 4}


def load_case(case: Any, folder: Path, weights: dict[str, torch.Tensor] | None = None) -> FirstStage:
    save_file(weights or case.weights, folder / "m.safetensors")
    return load(folder / "m.safetensors", stated={"norm_groups": case.config["norm_groups"]})


def randomised(spec: FirstStageSpec, seed: int = 0) -> FirstStage:
    model = FirstStage(spec)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn(value.shape, generator=generator))
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("name", KL)
def test_kl_parity(name: str, parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(name)
    model = load_case(case, tmp_path)
    mean, log_variance = model.posterior(case.inputs["image"])
    case.assert_close("mode", mean)
    case.assert_close("std", torch.exp(0.5 * log_variance))
    case.assert_close("sample", model.encode(case.inputs["image"], case.inputs["noise"]))
    case.assert_close("decode", model.decode(case.inputs["z"]))
    assert torch.equal(model.encode(case.inputs["image"]), mean)


@pytest.mark.parametrize("name", VQ)
def test_vq_parity(name: str, parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(name)
    model = load_case(case, tmp_path)
    latents = model.encode(case.inputs["image"])
    case.assert_close("encode_prequant", latents)
    tokens = model.tokens(latents)
    case.assert_close("indices", tokens)
    case.assert_close("quantised", model.embed(tokens))
    case.assert_close("decode_of_encode", model.decode(latents))
    random = case.inputs["random_latent"]
    case.assert_close("random_latent_indices", model.tokens(random))
    case.assert_close("decode_random_latent", model.decode(random))
    case.assert_close("decode_random_latent_not_quantised", model.decode(random, quantise=False))
    case.assert_close("decode_random_indices", model.decode_tokens(case.inputs["random_indices"]))


def test_gumbel_parity(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("rudalle_gumbel_vq")
    model = load_case(case, tmp_path)
    latents = model.encode(2 * case.inputs["image"] - 1)
    case.assert_close("encode_h", latents)
    rows, columns = case.outputs["proj_logits"].shape[2:]
    case.assert_close("proj_logits", model.logits(latents)[:, :, :rows, :columns])
    tokens = model.tokens(latents)
    case.assert_close("indices", tokens)
    gumbel = -torch.log(-torch.log(case.inputs["gumbel_uniform"]))
    case.assert_close("indices_with_noise", model.tokens(latents, gumbel))
    case.assert_close("decode_indices_raw", model.decode_tokens(tokens))
    raw = model.decode_tokens(case.inputs["random_tokens"])
    case.assert_close("decode_random_tokens_raw", raw)
    case.assert_close("decode_random_tokens", (raw.clamp(-1, 1) + 1) / 2)


def swapped(weights: dict[str, torch.Tensor], first: str, second: str) -> dict[str, torch.Tensor]:
    """Every tensor of layers named `first` exchanged with its neighbour named `second`."""
    names = {key: key.replace(first, second) for key in weights if first in key}
    assert names
    both = names | {new: old for old, new in names.items()}
    return {both.get(key, key): value for key, value in weights.items()}


@pytest.mark.parametrize(
    "mistake",
    [
        lambda weights: swapped(weights, ".q.", ".v."),
        lambda weights: {k: v.transpose(0, 1).contiguous() if ".k.weight" in k else v for k, v in weights.items()},
    ],
    ids=["query and value swapped", "square matrix transposed"],
)
def test_a_mistake_in_the_weights_shows(mistake: Callable, parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("kl_f16")
    try:
        model = load_case(case, tmp_path, mistake(case.weights))
    except StrictLoadError:
        return  # better still
    with pytest.raises(AssertionError, match="error"):
        case.assert_close("mode", model.encode(case.inputs["image"]))
        case.assert_close("decode", model.decode(case.inputs["z"]))


def test_a_gumbel_token_is_not_the_nearest_code(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("rudalle_gumbel_vq")
    model = load_case(case, tmp_path)
    latents = model.encode(2 * case.inputs["image"] - 1)
    distances = torch.cdist(latents.movedim(1, -1).flatten(0, 2), model.codebook)
    with pytest.raises(AssertionError, match="exact"):
        case.assert_close("indices", distances.argmin(dim=1).view(case.outputs["indices"].shape))


@pytest.mark.parametrize("name", PARAMETERS)
def test_full_size_is_the_published_file(name: str) -> None:
    spec = PUBLISHED[name]
    with torch.device("meta"):
        model = FirstStage(spec)
    assert sum(value.numel() for value in model.state_dict().values()) == PARAMETERS[name]
    shapes = published_shapes(model, key_map(spec))
    assert shapes["encoder.conv_out.weight"][0] == spec.latent_channels * (2 if spec.kind == "kl" else 1)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("layout", [None, "diffusers"])
def test_every_published_shape_is_recognised(name: str, layout: str | None) -> None:
    spec = PUBLISHED[name]
    with torch.device("meta"):
        shapes = published_shapes(FirstStage(spec), FAMILY.layouts[layout](spec) if layout else key_map(spec))
    if layout and spec.kind == "gumbel":
        shapes = {key: shape for key, shape in shapes.items() if not key.startswith("projection.")}
    header = Header(Path("m"), "safetensors", shapes, {}, locations={key: (key,) for key in shapes})
    identity = FAMILY.recognise(header, {})
    if layout and spec.kind == "gumbel":
        assert identity.spec.kind == "vq"  # diffusers has no Gumbel model: it would hold the decoder's half
        return
    assert (identity.spec, identity.variant, identity.assumed) == (spec, name, ())
    assert identity.dims["latent_channels"] == spec.code_channels and identity.dims["factor"] == spec.factor


@pytest.mark.parametrize("name", ["kl-f4", "vq-f8-n256", "ruDALL-E f8"])
def test_written_as_published_and_read_again(name: str, tmp_path: Path) -> None:
    spec = replace(PUBLISHED[name], **TINY)
    model = randomised(spec)
    save_published(model, key_map(spec), tmp_path / "m.safetensors", metadata={})
    again = load(tmp_path / "m.safetensors", stated={"norm_groups": 4, "latent_scale": spec.latent_scale})
    assert again.spec == spec
    state = model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in again.state_dict().items())


@pytest.mark.parametrize("shards", [1, 3])
def test_a_folder_of_diffusers_loads(shards: int, tmp_path: Path) -> None:
    model = randomised(FirstStageSpec(channel_mult=(1, 2), **TINY))
    size = sum(value.numel() * 4 for value in model.state_dict().values())
    model.autoencoder.register_to_config(scaling_factor=0.5)
    model.autoencoder.save_pretrained(tmp_path / "vae", max_shard_size=size // shards + 4096)
    assert len(list((tmp_path / "vae").glob("*.safetensors"))) >= shards
    again = load(tmp_path / "vae")
    assert again.spec.latent_scale == 0.5
    latents = torch.randn(1, 4, 4, 6)
    assert torch.equal(again.decode(latents), model.decode(latents))


def test_former_names_of_diffusers_load(tmp_path: Path) -> None:
    spec = FirstStageSpec(channel_mult=(1, 2), **TINY)
    model = randomised(spec)
    save_published(model, diffusers_key_map(spec), tmp_path / "now", metadata={})
    former = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    tensors = {}
    for key, value in model.autoencoder.state_dict().items():
        for now, then in former.items():
            key = key.replace(now, then)
        tensors[key] = value
    save_file(tensors, tmp_path / "then")
    latents = torch.randn(1, 4, 4, 6)
    stated = {"norm_groups": 4}
    assert torch.equal(load(tmp_path / "then", stated=stated).decode(latents), model.decode(latents))


def test_the_discriminator_of_the_training_is_left_out(tmp_path: Path) -> None:
    spec = FirstStageSpec(channel_mult=(1, 2), **TINY)
    model = randomised(spec)
    save_published(model, key_map(spec), tmp_path / "m", metadata={})
    with_loss = {**load_file(tmp_path / "m"), "loss.discriminator.main.0.weight": torch.zeros(2)}
    save_file(with_loss, tmp_path / "m")
    load(tmp_path / "m", stated={"norm_groups": 4})
    save_file({**with_loss, "decoder.extra.weight": torch.zeros(2)}, tmp_path / "m")
    with pytest.raises(StrictLoadError, match=r"decoder\.extra: weight"):
        load(tmp_path / "m", stated={"norm_groups": 4})


def test_what_shapes_cannot_tell_is_said(tmp_path: Path) -> None:
    spec = FirstStageSpec(channel_mult=(1, 2), channels=32)
    save_published(randomised(spec), key_map(spec), tmp_path / "m", metadata={})
    assert identify(tmp_path / "m").assumed == ("norm_groups", "latent_scale")
    assert identify(tmp_path / "m", stated={"norm_groups": 8}).assumed == ("latent_scale",)
    with pytest.raises(GlidewireError, match=r"contradicts the stated channels; expected 32"):
        identify(tmp_path / "m", stated={"channels": 64})
    with pytest.raises(GlidewireError, match="norm_groups does not fit"):
        identify(tmp_path / "m", stated={"norm_groups": 5})
    with pytest.raises(GlidewireError, match="unknown field 'groups'"):
        identify(tmp_path / "m", stated={"groups": 4})
    with pytest.raises(GlidewireError, match="norm_groups has the wrong type; expected int"):
        identify(tmp_path / "m", stated={"norm_groups": "4"})


def test_misuse_is_named() -> None:
    kl = randomised(FirstStageSpec(channel_mult=(1, 2), **TINY))
    vq = randomised(FirstStageSpec(kind="vq", codes=16, channel_mult=(1, 2), latent_scale=1.0, **TINY))
    latents = torch.randn(1, 4, 2, 2)
    with pytest.raises(GlidewireError, match="has no codes"):
        kl.tokens(latents)
    with pytest.raises(GlidewireError, match="no posterior"):
        vq.posterior(torch.zeros(1, 3, 4, 4))
    with pytest.raises(GlidewireError, match="no logits"):
        vq.logits(latents)
    with pytest.raises(GlidewireError, match="no use for Gumbel noise"):
        vq.tokens(latents, torch.zeros(1, 16, 2, 2))
    with pytest.raises(GlidewireError, match="expected 0 to 15; got 3 to 16"):
        vq.decode_tokens(torch.tensor([[[3, 16]]]))
    with pytest.raises(GlidewireError, match="multiples of 2"):
        kl.encode(torch.zeros(1, 3, 4, 5))
    with pytest.raises(GlidewireError, match="4 channels"):
        kl.decode(torch.zeros(1, 3, 4, 4))


def test_nearest_codes_do_not_depend_on_the_batch() -> None:
    vq = randomised(FirstStageSpec(kind="vq", codes=64, channel_mult=(1, 2), latent_scale=1.0, **TINY))
    latents = torch.randn(3, 4, 40, 50)  # more rows than are compared at a time
    tokens = vq.tokens(latents)
    distances = torch.cdist(latents.movedim(1, -1).flatten(0, 2).double(), vq.codebook.double())
    assert torch.equal(tokens, distances.argmin(dim=1).view(3, 40, 50))
    assert torch.equal(vq.tokens(latents[1:2]), tokens[1:2])
