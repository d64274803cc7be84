"""IP-Adapters of every kind against the golden data, as files of both sorts and as views of a frozen denoiser."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.diffusion.denoiser import Combination, Leaf
from glidewire.diffusion.evaluator import Evaluator
from glidewire.diffusion.prediction import Prediction, Progress
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import StrictLoadError, identify, load
from glidewire.models.header import Header
from glidewire.models.ip_adapter.checkpoint import FAMILY, key_map
from glidewire.models.ip_adapter.network import IpAdapter
from glidewire.models.ip_adapter.spec import PUBLISHED, IpAdapterSpec
from glidewire.models.ip_adapter.view import ImagePrompted
from glidewire.models.key_map import published_shapes
from glidewire.models.ldm.network import LatentDenoiser
from glidewire.models.ldm.spec import UnetSpec
from safetensors.torch import save_file
from torch import Tensor

CASES = ("ip_adapter_base", "ip_adapter_plus", "ip_adapter_full", "ip_adapter_faceid")
FACE = "ip_adapter_faceid"

SCALED = re.compile(r"eps_(negative_)?scale_([\d.]+)(?:_lora_([\d.]+))?")
SELECTED = re.compile(r"eps_only_processors_([\d_]+)_scale_([\d.]+)")
STRUCTURED = re.compile(r"plus_(v2_)?tokens(?:_scale_([\d.]+))?")


def load_denoiser(case: Any, folder: Path) -> LatentDenoiser:
    inside = folder / "unet"
    inside.mkdir()
    (inside / "config.json").write_text(json.dumps(case.config["unet"]))
    save_file(case.tensors("weights_unet"), inside / "diffusion_pytorch_model.safetensors")
    return load(inside)


def load_adapter(weights: Mapping[str, Tensor], folder: Path, **stated: Any) -> IpAdapter:
    save_file(dict(weights), folder / "adapter.safetensors")
    return load(folder / "adapter.safetensors", stated=stated)


def tokens_of(adapter: IpAdapter, embedding: Tensor) -> Tensor:
    return adapter(face=embedding) if adapter.spec.of_faces else adapter(image=embedding)


def prompted(case: Any, adapter: IpAdapter, *, negative: bool = False) -> dict[str, Tensor]:
    embedding = case.inputs["image_embeds_null" if negative else "image_embeds"]
    context = case.inputs["context_negative" if negative else "context"]
    return {"context": context, "image_prompt.tokens": tokens_of(adapter, embedding)}


def tiny(**changes: Any) -> tuple[LatentDenoiser, IpAdapter]:
    """A denoiser and an adapter for it with random weights."""
    torch.manual_seed(0)
    unet = UnetSpec(
        model_channels=8, channel_mult=(1, 2), num_res_blocks=1, attention_levels=(0,), context_width=6,
        num_heads=2, norm_groups=4,
    )  # fmt: skip
    spec = replace(IpAdapterSpec(), image_width=5, context_width=6, channels=(8, 8, 8, 16), tokens=2)
    denoiser, adapter = LatentDenoiser(unet), IpAdapter(replace(spec, **changes))
    return denoiser.eval().requires_grad_(False), adapter.eval().requires_grad_(False)


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_parity(name: str, parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(name)
    denoiser, adapter = load_denoiser(case, tmp_path), load_adapter(case.weights, tmp_path)
    x, t = case.inputs["x"], case.inputs["timesteps"]
    conditioning, negative = prompted(case, adapter), prompted(case, adapter, negative=True)
    case.assert_close("tokens", conditioning["image_prompt.tokens"])
    case.assert_close("tokens_null", negative["image_prompt.tokens"])
    for output in [output for output in case.outputs if output.startswith("eps")]:
        if output == "eps_plain_unet":
            case.assert_close(output, denoiser(x, t, conditioning))
        elif found := SELECTED.fullmatch(output):
            scales = dict.fromkeys(map(int, found[1].split("_")), float(found[2]))
            case.assert_close(output, ImagePrompted(denoiser, adapter, scale=scales)(x, t, conditioning))
        else:
            found = SCALED.fullmatch(output)
            view = ImagePrompted(denoiser, adapter, scale=float(found[2]), low_rank_scale=float(found[3] or 1))
            prepared = view.prepare(negative if found[1] else conditioning)
            case.assert_close(output, view(x, t, prepared))


@torch.no_grad()
def test_faces_with_structure_parity(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(FACE)
    weights = {key: value for key, value in case.weights.items() if key.startswith("ip_adapter.")}
    weights |= case.tensors("weights_faceid_plus")
    inputs = {"face": case.inputs["image_embeds"], "image": case.inputs["clip_hidden"]}
    outputs = [output for output in case.outputs if output.startswith("plus_")]
    assert outputs
    for output in outputs:
        found = STRUCTURED.fullmatch(output)
        adapter = load_adapter(weights, tmp_path, shortcut=bool(found[1]))
        case.assert_close(output, adapter(**inputs, structure=float(found[2] or 1)))
    assert identify(tmp_path / "adapter.safetensors").assumed == ("shortcut",)


@pytest.mark.parametrize("name", ["ip_adapter_plus", FACE])
def test_both_sorts_of_file_hold_the_same_adapter(name: str, parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(name)
    adapter = load_adapter(case.weights, tmp_path)
    nested: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, value in case.weights.items():
        outer, _, inner = key.partition(".")
        nested[outer][inner] = value
    torch.save(dict(nested), tmp_path / "adapter.bin")
    again = load(tmp_path / "adapter.bin")
    assert again.spec == adapter.spec
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in adapter.state_dict().items())


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_at_scale_zero_nothing_is_added(name: str, parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(name)
    denoiser, adapter = load_denoiser(case, tmp_path), load_adapter(case.weights, tmp_path)
    x, t, conditioning = case.inputs["x"], case.inputs["timesteps"], {"context": case.inputs["context"]}
    before = denoiser(x, t, conditioning)
    full = ImagePrompted(denoiser, adapter)(x, t, prompted(case, adapter))
    assert not torch.equal(full, before)
    none = ImagePrompted(denoiser, adapter, scale=0, low_rank_scale=0)
    assert torch.equal(none(x, t, conditioning), before)
    assert torch.equal(denoiser(x, t, conditioning), before)


def mutated(case: Any, swaps: Mapping[str, str]) -> dict[str, Tensor]:
    both = {**swaps, **{two: one for one, two in swaps.items()}}
    return {key: case.weights[both.get(key, key)] for key in case.weights}


@pytest.mark.parametrize("mistake", ["keys for values", "the middle is not the last"])
@torch.no_grad()
def test_a_swapped_pair_shows(mistake: str, parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("ip_adapter_base")
    keys = [key for key in case.weights if key.endswith("to_k_ip.weight")]
    if mistake == "keys for values":
        swaps = {key: key.replace("to_k_ip", "to_v_ip") for key in keys}
    else:
        *others, last = sorted(keys, key=lambda key: int(key.split(".")[1]))
        other = next(key for key in others if case.weights[key].shape == case.weights[last].shape)
        swaps = {last.replace("_k_", part): other.replace("_k_", part) for part in ("_k_", "_v_")}
    denoiser, adapter = load_denoiser(case, tmp_path), load_adapter(mutated(case, swaps), tmp_path)
    eps = ImagePrompted(denoiser, adapter)(case.inputs["x"], case.inputs["timesteps"], prompted(case, adapter))
    with pytest.raises(AssertionError, match="error"):
        case.assert_close("eps_scale_1", eps)


@torch.no_grad()
def test_a_resampler_with_values_above_keys_shows(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("ip_adapter_plus")
    halves = {
        key: value.roll(len(value) // 2, 0) for key, value in case.weights.items() if key.endswith("to_kv.weight")
    }
    adapter = load_adapter(case.weights | halves, tmp_path)
    with pytest.raises(AssertionError, match="error"):
        case.assert_close("tokens", adapter(image=case.inputs["image_embeds"]))


@torch.no_grad()
def test_low_rank_terms_that_are_left_out_show(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(FACE)
    denoiser, adapter = load_denoiser(case, tmp_path), load_adapter(case.weights, tmp_path)
    view = ImagePrompted(denoiser, adapter, low_rank_scale=0)
    with pytest.raises(AssertionError, match="error"):
        case.assert_close("eps_scale_1", view(case.inputs["x"], case.inputs["timesteps"], prompted(case, adapter)))


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_shape_is_recognised(name: str) -> None:
    spec = PUBLISHED[name]
    with torch.device("meta"):
        adapter = IpAdapter(spec)
    shapes = published_shapes(adapter, key_map(spec))
    header = Header(Path("m"), "safetensors", shapes, {}, locations={key: (key,) for key in shapes})
    identity = FAMILY.recognise(header, {"shortcut": spec.shortcut})
    assert (identity.spec, identity.variant, identity.assumed) == (spec, name, ())
    assert identity.dims["context_width"] == 768
    if name == "ip-adapter":  # Ye et al. 2023, abstract
        assert round(header.parameters / 1e6) == 22


@torch.no_grad()
def test_guidance_takes_one_forward() -> None:
    denoiser, adapter = tiny()
    view = ImagePrompted(denoiser, adapter, scale=0.5)
    context, x = torch.randn(2, 1, 3, 6), torch.randn(1, 4, 4, 4)
    leaves = {
        name: Leaf(view, {"context": one, "image_prompt.tokens": adapter(image=embedding)})
        for name, one, embedding in (("cond", context[0], torch.randn(1, 5)), ("uncond", context[1], torch.zeros(1, 5)))
    }
    kept: list[Mapping[str, Prediction]] = []

    def keep(inputs: Mapping[str, Prediction], x_t: Tensor, step: Progress) -> Prediction:
        kept.append(inputs)
        return inputs["cond"]

    evaluator = Evaluator()
    evaluator(Combination(keep, leaves, "keep"), x, Progress(0, 1, 500))
    assert evaluator.forwards == 1
    for name, leaf in leaves.items():
        alone = view(x, torch.tensor([500]), leaf.conditioning)
        torch.testing.assert_close(kept[0][name].value, alone, atol=1e-5, rtol=1e-5)


def test_the_digest_tells_all_that_decides() -> None:
    denoiser, adapter = tiny()
    views = [
        ImagePrompted(denoiser, adapter),
        ImagePrompted(denoiser, adapter, scale=0.5),
        ImagePrompted(denoiser, adapter, scale={1: 1.0}),
        ImagePrompted(denoiser, adapter, name="other"),
        ImagePrompted(ImagePrompted(denoiser, adapter, name="other"), adapter),
        ImagePrompted(denoiser, tiny(tokens=3)[1]),
    ]
    assert len({denoiser.digest(), *(view.digest() for view in views)}) == len(views) + 1
    assert ImagePrompted(denoiser, adapter).digest() == views[0].digest()


@torch.no_grad()
def test_two_adapters_add_up() -> None:
    denoiser, adapter = tiny()
    x, t = torch.randn(1, 4, 4, 4), torch.tensor([5])
    tokens = adapter(image=torch.randn(1, 5))
    both = {"context": torch.randn(1, 3, 6), "image_prompt.tokens": tokens, "second.tokens": tokens}
    twice = ImagePrompted(ImagePrompted(denoiser, adapter, scale=0.25), adapter, scale=0.25, name="second")
    once = ImagePrompted(denoiser, adapter, scale=0.5)
    torch.testing.assert_close(twice(x, t, both), once(x, t, both))
    assert not torch.allclose(once(x, t, both), denoiser(x, t, both))


def test_names_and_numbers_of_bad_input(tmp_path: Path) -> None:
    denoiser, adapter = tiny()
    face = tiny(kind="face", image_width=0, face_width=5)[1]
    wide, other = tiny(context_width=8)[1], tiny(channels=(8, 8, 16))[1]
    no_context = LatentDenoiser(replace(denoiser.spec, context_width=0))
    conditioning = {"context": torch.zeros(1, 3, 6), "image_prompt.tokens": torch.zeros(1, 2, 8)}
    x, t = torch.zeros(1, 4, 4, 4), torch.tensor([1])
    for call, message in (
        (lambda: adapter(), "picture embedding does not fit; expected batch image_width, which is 5; got nothing"),
        (lambda: adapter(image=torch.zeros(1, 3, 5)), r"batch image_width.*got \(1, 3, 5\)"),
        (lambda: adapter(image=torch.zeros(1, 5), face=torch.zeros(1, 5)), "takes no such embedding"),
        (lambda: face(face=torch.full((1, 5), 3.0)), "not of unit length.*got 6.708"),
        (lambda: ImagePrompted(denoiser, wide), "not as wide as the denoiser's context; expected 6; got 8"),
        (lambda: ImagePrompted(denoiser, other), r"expected \(8, 8, 8, 16\); got \(8, 8, 16\)"),
        (lambda: ImagePrompted(denoiser, adapter, scale={2: 1.0}), "no layer 2; expected odd numbers up to 7"),
        (lambda: ImagePrompted(no_context, adapter), "needs a denoiser with a context"),
        (lambda: ImagePrompted(ImagePrompted(denoiser, adapter), adapter), "are called 'image_prompt'"),
        (lambda: ImagePrompted(denoiser, adapter)(x, t, conditioning), r"'image_prompt.tokens' does not.*\(1, 2, 8\)"),
    ):
        with pytest.raises(GlidewireError, match=message):
            call()


def test_files_that_are_not_whole(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(FACE)
    save = {key: value for key, value in case.weights.items() if not key.startswith("ip_adapter.")}
    with pytest.raises(GlidewireError, match=r"not a whole IP-Adapter: key 'ip_adapter.1.to_k_ip.weight' is missing"):
        load_adapter(save, tmp_path)
    dropped = next(key for key in case.weights if key.endswith("to_v_ip.weight"))
    with pytest.raises(StrictLoadError, match=re.escape(dropped.removesuffix(".weight"))):
        load_adapter({key: value for key, value in case.weights.items() if key != dropped}, tmp_path)
    with pytest.raises(GlidewireError, match="contradicts the stated tokens"):
        load_adapter(case.weights, tmp_path, tokens=case.config["num_tokens"] + 1)
