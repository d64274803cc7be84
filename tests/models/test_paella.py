"""Paella: every network against the golden data, through the public way from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.diffusion import continuous_time, guidance, samplers, solvers
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.noise import FixedNoise
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import StrictLoadError, identify, load, save_published
from glidewire.models.header import Header
from glidewire.models.key_map import published_shapes
from glidewire.models.paella.checkpoint import FAMILY, build, diffusers_key_map, key_map
from glidewire.models.paella.layers import time_embedding
from glidewire.models.paella.spec import PUBLISHED, PaellaV1Spec, PaellaV3Spec, PriorSpec, VqganSpec
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

# Parameters of the published files; the f4 also holds the running statistics.
PARAMETERS = {
    "v1": 577_995_184,
    "1B, of CLIP image vectors": 1_037_958_284,
    "v3": 1_008_350_592,
    "f4": 18_406_894,
    "prior": 899_770_624,
}
TINY = {
    "v1": PaellaV1Spec(32, 16, 8, 8, (1, 2), (2, 1)),
    "v3": PaellaV3Spec(32, 8, 8, 8, 12, (16, 32), (0, 4), (1, 2), ("CT", "CTA"), 8, 12, 2),
    "f4": VqganSpec(2, 3, 16, 4, 64, 0.5),
    "prior": PriorSpec(12, 16, 8, 2),
}
Weights = dict[str, Tensor]


def load_case(case: Any, folder: Path, weights: Weights | None = None) -> Any:
    save_file(weights or case.weights, folder / "m.safetensors")
    return load(folder / "m.safetensors", stated=case.config.get("model", case.config))


def randomised(name: str, seed: int = 0) -> Any:
    model = build(TINY[name])
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
    return model.eval().requires_grad_(False)


def check_v1(case: Any, model: Any) -> None:
    inputs, out = case.inputs, case.outputs
    deepest: list[Tensor] = []
    hook = model.down[-1][-1].register_forward_hook(lambda module, arguments, output: deepest.append(output))
    logits = model(inputs["tokens"], inputs["r"], {"clip": inputs["cond"]})
    hook.remove()
    case.assert_close("logits", logits)
    case.assert_close("deepest_level", deepest[0])
    case.assert_close("logits_null", model(inputs["tokens"][:1], inputs["r"][1:2], model.null()))
    rows = out["logits_map"].shape[0]
    case.assert_close("logits_map", model(inputs["tokens"][:rows], inputs["r_map"], {"clip": inputs["cond_map"]}))
    case.assert_close(
        "logits_map_rect", model(inputs["tokens_rect"], inputs["r_rect"], {"clip": inputs["cond_map_rect"]})
    )
    times = (inputs["r"] * torch.pi * 0.5).cos()
    case.assert_close("r_embedding", time_embedding(times, out["r_embedding"].shape[1]))


def check_v3(case: Any, model: Any) -> None:
    inputs = case.inputs
    whole = {name: inputs[name] for name in ("byt5", "clip", "clip_image")}
    tokens, r = inputs["tokens"], inputs["r"]
    case.assert_close("cond_sequence", model.context(whole))
    case.assert_close("r_embedding", time_embedding(r, case.outputs["r_embedding"].shape[1]))
    case.assert_close("logits", model(tokens, r, whole))
    case.assert_close("logits", model(tokens, r, model.prepare(whole)))
    case.assert_close("logits_no_image", model(tokens, r, {name: whole[name] for name in ("byt5", "clip")}))
    case.assert_close("logits_byt5_only", model(tokens[:1], r[:1], {"byt5": inputs["byt5"][:1]}))
    first = {name: value[:1] for name, value in whole.items()}
    case.assert_close("logits_rect", model(inputs["tokens_rect"], r[:1], first))
    two = {**whole, "clip_image": torch.stack([inputs["clip_image"], inputs["clip_image_2"]], dim=1)}
    case.assert_close("logits_two_images", model(tokens, r, two))
    weighted = {**whole, "attention_weights": inputs["attn_weights"].expand(len(tokens), -1)}
    case.assert_close("logits_attn_weights", model(tokens, r, weighted))


def check_vqgan(case: Any, model: Any) -> None:
    scale = case.config["scale_factor"]
    assert model.spec.scale_factor == scale
    latents = model.encode(case.inputs["image"])
    tokens = model.tokens(latents)
    case.assert_close("encode_latent", latents / scale)
    case.assert_close("indices", tokens)
    case.assert_close("encode_quantised", model.embed(tokens) / scale)
    case.assert_close("decode_indices", model.decode_tokens(tokens))
    case.assert_close("decode_random_tokens", model.decode_tokens(case.inputs["random_tokens"]))
    case.assert_close("decode_random_latent", model.decode(case.inputs["random_latent"] * scale))


def check_prior(case: Any, model: Any) -> None:
    inputs = case.inputs
    case.assert_close("forward", model(inputs["x"], inputs["r"], {"clip": inputs["c"]}))
    case.assert_close("forward_null", model(inputs["x"], inputs["r"], model.null()))
    case.assert_close("r_embedding", time_embedding(inputs["r"], case.outputs["r_embedding"].shape[1]))


CASES = {
    "paella_v1_unet": check_v1,
    "paella_v3_unet": check_v3,
    "paella_v3_vqgan": check_vqgan,
    "paella_prior": check_prior,
}


@pytest.mark.parametrize("name", CASES)
def test_parity(name: str, parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(name)
    CASES[name](case, load_case(case, tmp_path))


def exchanged(weights: Weights, first: str, second: str) -> Weights:
    """Every tensor named `first` exchanged with its neighbour named `second`."""
    names = {key: key.removesuffix(first) + second for key in weights if key.endswith(first)}
    assert names
    both = names | {new: old for old, new in names.items()}
    return {both.get(key, key): value for key, value in weights.items()}


def changed(weights: Weights, ending: str, change: Callable[[Tensor], Tensor]) -> Weights:
    assert any(key.endswith(ending) for key in weights)
    return {key: change(value).contiguous() if key.endswith(ending) else value for key, value in weights.items()}


def values_first(rows: Tensor) -> Tensor:
    q, k, v = rows.chunk(3)
    return torch.cat([v, k, q])


MISTAKES: dict[str, tuple[str, Callable[[Weights], Weights]]] = {
    "v1: scale and shift swapped": ("paella_v1_unet", lambda w: exchanged(w, "ln.gamma", "ln.beta")),
    "v1: depthwise kernels transposed": (
        "paella_v1_unet", lambda w: changed(w, "depthwise.1.weight", lambda v: v.transpose(2, 3)),
    ),
    "v3: query and value swapped": (
        "paella_v3_unet",
        lambda w: changed(changed(w, "in_proj_weight", values_first), "in_proj_bias", values_first),
    ),
    "v3: text and picture swapped": (
        "paella_v3_unet", lambda w: exchanged(w, "clip_image_mapper.weight", "clip_mapper.weight"),
    ),
    "v3: square matrix transposed": (
        "paella_v3_unet", lambda w: changed(w, "out_proj.weight", lambda v: v.transpose(0, 1)),
    ),
    "f4: gates reversed": ("paella_v3_vqgan", lambda w: changed(w, "gammas", lambda v: v.flip(0))),
    "f4: mean and variance swapped": ("paella_v3_vqgan", lambda w: exchanged(w, "running_mean", "running_var")),
    "prior: norm's weight and bias swapped": ("paella_prior", lambda w: exchanged(w, ".4.weight", ".4.bias")),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_weights_shows(mistake: str, parity: Callable[[str], Any], tmp_path: Path) -> None:
    name, change = MISTAKES[mistake]
    case = parity(name)
    model = load_case(case, tmp_path, change(case.weights))
    with pytest.raises(AssertionError, match=r"error|exact"):
        CASES[name](case, model)


class Interleave(nn.Module):
    """Channels of [x, skip] as x_0, skip_0, x_1, skip_1, ..."""

    def forward(self, both: Tensor) -> Tensor:
        return both.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


def test_pairing_each_channel_with_its_own_skip_is_noticed(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("paella_v3_unet")
    model = load_case(case, tmp_path)
    for level in model.up[1:]:
        level[0].depthwise = nn.Sequential(Interleave(), level[0].depthwise)
    with pytest.raises(AssertionError, match="error"):
        check_v3(case, model)


def test_a_picture_of_the_wrong_range_is_noticed(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("paella_v3_vqgan")
    latents = load_case(case, tmp_path).encode(2 * case.inputs["image"] - 1)
    with pytest.raises(AssertionError, match="error"):
        case.assert_close("encode_latent", latents / case.config["scale_factor"])


def test_every_golden_run_of_the_prior(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("paella_prior")
    model = load_case(case, tmp_path)
    inputs = case.inputs
    case.assert_close("alpha_cumprod", continuous_time.cosine_at(inputs["t_grid"]))
    for name, run in case.config["runs"].items():
        null = {"clip": inputs[run["unconditional"]]} if "unconditional" in run else model.null()
        cond = Leaf(model, {"clip": inputs["c_sample"]})
        denoiser = guidance.classifier_free(cond, Leaf(model, null), run["cfg"]) if run["cfg"] else cond
        states: list[Tensor] = []
        samplers.sample(
            denoiser,
            continuous_time.continuous_cosine(run["timesteps"], start=run.get("t_start", 1.0)),
            inputs[run.get("x_init", "x_T")],
            solvers.ddim(clip=False) if run["sampler"] == "ddim" else solvers.ancestral(clip=False),
            FixedNoise(list(inputs["noise"])),
            on_step=lambda record, states=states: states.append(record.x_next),
        )
        case.assert_close(name, torch.stack(states))


def test_a_constant_map_is_the_vector(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("paella_v1_unet")
    model = load_case(case, tmp_path)
    tokens, r, vector = case.inputs["tokens"], case.inputs["r"], case.inputs["cond"]
    constant = vector[..., None, None].expand(-1, -1, *tokens.shape[1:])
    torch.testing.assert_close(model(tokens, r, {"clip": constant}), model(tokens, r, {"clip": vector}))


@pytest.mark.parametrize("name", PARAMETERS)
def test_full_size_is_the_published_file(name: str) -> None:
    spec = PUBLISHED[name]
    with torch.device("meta"):
        model = build(spec)
    assert sum(value.numel() for value in model.parameters()) == PARAMETERS[name]
    shapes = published_shapes(model, key_map(spec))
    header = Header(Path("m"), "safetensors", shapes, {}, locations={key: (key,) for key in shapes})
    identity = FAMILY.recognise(header, {})
    assert (identity.variant, identity.spec, identity.assumed) == (name, spec, ())


@pytest.mark.parametrize("name", TINY)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_header_is_a_network_or_our_error(name: str, data: st.DataObject) -> None:
    with torch.device("meta"):
        shapes = published_shapes(build(TINY[name]), key_map(TINY[name]))
    for key in data.draw(st.lists(st.sampled_from(sorted(shapes)), max_size=4)):
        sizes = data.draw(st.none() | st.lists(st.integers(0, 9), max_size=4))
        shapes = {**shapes, key: tuple(sizes)} if sizes is not None else {k: v for k, v in shapes.items() if k != key}
    header = Header(Path("m"), "safetensors", shapes, {}, locations={key: (key,) for key in shapes})
    try:
        identity = FAMILY.recognise(header, {"c_r": 8} if name in ("v1", "v3", "prior") else {})
    except GlidewireError as error:
        assert header.name in str(error) or "Spec: " in str(error)
    else:
        assert identity is None or identity.family == "paella"


@pytest.mark.parametrize("name", TINY)
def test_written_as_published_and_read_again(name: str, tmp_path: Path) -> None:
    model = randomised(name)
    save_published(model, key_map(TINY[name]), tmp_path / "m.safetensors", metadata={})
    torch.save({"state_dict": load_file(tmp_path / "m.safetensors"), "global_step": 3}, tmp_path / "m.pt")
    told = {field: getattr(TINY[name], field) for field in ("time_channels", "heads", "scale_factor")
            if hasattr(TINY[name], field)}  # fmt: skip
    for file in ("m.safetensors", "m.pt"):
        again = load(tmp_path / file, stated=told)
        assert again.spec == TINY[name]
        assert all(torch.equal(value, model.state_dict()[key]) for key, value in again.state_dict().items())


def test_what_shapes_cannot_tell_is_said(tmp_path: Path) -> None:
    assumed = {"v1": ("time_channels",), "v3": ("heads",), "f4": ("scale_factor",), "prior": ()}
    for name, fields in assumed.items():
        if name == "v1":
            continue  # its tiny condition is narrower than the published embedding of the time
        save_published(randomised(name), key_map(TINY[name]), tmp_path / name, metadata={})
        assert identify(tmp_path / name).assumed == fields
    save_published(randomised("v1"), key_map(TINY["v1"]), tmp_path / "v1", metadata={})
    assert identify(tmp_path / "v1", stated={"c_clip": 8}).spec == TINY["v1"]
    with pytest.raises(
        GlidewireError, match=r"v1 holds .* paella, whose .* not tell all of it: clip_width does not fit"
    ):
        identify(tmp_path / "v1")
    with pytest.raises(GlidewireError, match=r"contradicts the stated codes; expected 32"):
        identify(tmp_path / "v3", stated={"num_labels": 64})
    with pytest.raises(GlidewireError, match="unknown field 'colour'"):
        identify(tmp_path / "v3", stated={"colour": 1})
    with pytest.raises(GlidewireError, match=r"heads does not fit; expected divisors of \[16, 32\]"):
        identify(tmp_path / "v3", stated={"nhead": [-1, 5]})


def test_a_part_of_a_file_is_named(tmp_path: Path) -> None:
    save_published(randomised("v3"), key_map(TINY["v3"]), tmp_path / "m", metadata={})
    whole = load_file(tmp_path / "m")
    save_file({key: value for key, value in whole.items() if "clip_image_mapper" not in key}, tmp_path / "m")
    with pytest.raises(StrictLoadError, match="clip_image_mapper: weight, bias"):
        load(tmp_path / "m")
    save_file({key: value for key, value in whole.items() if not key.startswith("down_blocks.1")}, tmp_path / "m")
    with pytest.raises((StrictLoadError, GlidewireError), match=r"missing|not a whole"):
        load(tmp_path / "m")


def test_diffusers_layout_of_the_vqgan(tmp_path: Path) -> None:
    model = randomised("f4")
    save_published(model, diffusers_key_map(TINY["f4"]), tmp_path / "diffusion_pytorch_model.safetensors", metadata={})
    (tmp_path / "config.json").write_text('{"_class_name": "PaellaVQModel", "scale_factor": 0.25}')
    again = load(tmp_path)
    assert again.spec == replace(TINY["f4"], scale_factor=0.25)
    latents = torch.randn(1, 4, 4, 6)
    assert torch.equal(again.decode(latents), model.decode(latents))


def test_half_precision_is_near() -> None:
    tokens, r = torch.arange(32).view(1, 4, 8), torch.full((1,), 0.4)
    conditions = {
        "v1": {"clip": torch.full((1, 8), 0.3)},
        "v3": {"clip": torch.full((1, 8), 0.3), "byt5": torch.ones(1, 3, 12)},
        "prior": {"clip": torch.full((1, 12), 0.3)},
    }
    for name, condition in conditions.items():
        x_t = torch.linspace(-1, 1, 12)[None] if name == "prior" else tokens
        exact = randomised(name)(x_t, r, condition)
        half = randomised(name).to(torch.bfloat16)
        assert half.digest() != randomised(name).digest()
        near = half(x_t, r, half.prepare(condition))
        assert (near.float() - exact).abs().max() < 0.1 * exact.abs().max()


def test_networks_tell_themselves_apart() -> None:
    digests = {name: randomised(name).digest() for name in TINY if name != "f4"}
    assert len(set(digests.values())) == len(digests)
    assert randomised("v1").digest() == digests["v1"] != randomised("v1", seed=1).digest()


def test_misuse_is_named() -> None:
    v1, v3, f4, prior = (randomised(name) for name in TINY)
    tokens, r = torch.zeros(1, 4, 4).long(), torch.zeros(1)
    with pytest.raises(GlidewireError, match="multiples of 2"):
        v1(tokens[:, :3], r, v1.null())
    with pytest.raises(GlidewireError, match=r"expected whole numbers from 0 to 31; got torch.int64 from 32 to 32"):
        v1(tokens + 32, r, v1.null())
    with pytest.raises(GlidewireError, match="'clip' does not fit the network; expected 8 channels"):
        v1(tokens, r, {"clip": torch.zeros(1, 9)})
    with pytest.raises(GlidewireError, match=r"'clip' does not fit the network.*got nothing"):
        v1(tokens, r, {})
    with pytest.raises(GlidewireError, match="nothing to attend to; expected byt5, clip or clip_image; got text"):
        v3(tokens, r, {"text": torch.zeros(1, 8)})
    with pytest.raises(GlidewireError, match="at most 2 weights"):
        v3(tokens, r, {"clip": torch.zeros(1, 8), "attention_weights": torch.ones(1, 3)})
    with pytest.raises(GlidewireError, match="multiples of 4"):
        f4.encode(torch.zeros(1, 3, 6, 8))
    with pytest.raises(GlidewireError, match="4 channels"):
        f4.decode(torch.zeros(1, 3, 6, 8))
    with pytest.raises(GlidewireError, match="expected 0 to 63; got 64 to 64"):
        f4.decode_tokens(torch.full((1, 2, 2), 64))
    with pytest.raises(GlidewireError, match="vectors do not fit the prior; expected batch x 12"):
        prior(torch.zeros(1, 8), r, prior.null())
