"""Karlo's super-resolution: both networks in both layouts against the golden data, and the whole run through both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from glidewire.diffusion import samplers, schedules, solvers
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.noise import FixedNoise
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import identify, identify_all, load
from glidewire.models.header import Header
from glidewire.models.key_map import published_shapes
from glidewire.models.unclip.checkpoint import FAMILY
from glidewire.models.unclip.spec import UPSAMPLERS
from glidewire.models.unclip.upsampler import Upsampler, enlarged
from safetensors.torch import save_file

COMPONENTS = {"first_steps": "upsampler", "last_step": "upsampler_last_step"}
PARAMETERS = 691_579_523


def load_case(case: Any, folder: Path) -> tuple[Upsampler, Upsampler]:
    """Both networks, from one file with its options or from a pipeline's folder."""
    if case.path.stem == "karlo_sr":
        torch.save({"state_dict": case.weights}, folder / "sr.ckpt")
        path, stated = folder / "sr.ckpt", case.config["model"]
    else:
        path, stated = folder, None
        (folder / "model_index.json").write_text("{}")
        for part in ("super_res_first", "super_res_last"):
            (folder / part).mkdir()
            own = {k.removeprefix(f"{part}/"): v for k, v in case.weights.items() if k.startswith(f"{part}/")}
            save_file(own, folder / part / "diffusion_pytorch_model.safetensors")
            (folder / part / "config.json").write_text(json.dumps(case.config))
    first, last = (load(path, component=component, stated=stated) for component in COMPONENTS.values())
    return first, last


def low_res(case: Any) -> torch.Tensor:
    return case.inputs.get("low_res_small", case.inputs.get("low_res"))


@pytest.mark.parametrize("name", ["karlo_sr", "karlo_sr_diffusers"])
@torch.no_grad()
def test_output_equals_the_published_implementation(name: str, parity, tmp_path: Path) -> None:
    case = parity(name)
    conditioning = {"low_res": low_res(case)}
    if "low_res" in case.outputs:
        case.assert_close("low_res", enlarged(low_res(case), case.inputs["x"].shape[2:]))
    for output, model in zip(COMPONENTS, load_case(case, tmp_path), strict=True):
        case.assert_close(output, model(case.inputs["x"], case.inputs["timesteps"], model.prepare(conditioning)))
        assert model.prediction == "eps" and not model.learned_variance


@torch.no_grad()
def test_the_whole_run_goes_through_both_networks(parity, tmp_path: Path) -> None:
    case = parity("karlo_sr")
    first, last = load_case(case, tmp_path)
    schedule = schedules.respace(first.spec.noise_schedule, case.config["respacing"])
    conditioning = {"low_res": low_res(case)}
    records: list[samplers.StepRecord] = []
    common = (solvers.ancestral(first.spec.x_0_bound), FixedNoise(list(case.inputs["sample/noise"])))
    switch = len(schedule) - 1
    x = samplers.sample(
        Leaf(first, conditioning),
        schedule,
        case.inputs["sample/x_T"],
        *common,
        stop_index=switch,
        on_step=records.append,
    )
    x = samplers.sample(Leaf(last, conditioning), schedule, x, *common, start_index=switch, on_step=records.append)
    kept = case.outputs["sample/steps_kept"].tolist()
    case.assert_close("sample/x_steps", torch.stack([records[k].x_next for k in kept]))
    case.assert_close("sample/result", x)


@torch.no_grad()
def test_small_mistakes_would_be_caught(parity, tmp_path: Path, monkeypatch) -> None:
    case = parity("karlo_sr")
    first, last = load_case(case, tmp_path)
    x, t, small = case.inputs["x"], case.inputs["timesteps"], low_res(case)
    bilinear = F.interpolate(small, x.shape[2:], mode="bilinear", antialias=True)
    mistaken = {
        "another resize": first(x, t, {"low_res": bilinear}),
        "the picture first": first(enlarged(small, x.shape[2:]), t, {"low_res": x}),
        "the other network": last(x, t, {"low_res": small}),
    }
    for output in mistaken.values():
        with pytest.raises(AssertionError, match="first_steps: error"):
            case.assert_close("first_steps", output)


def test_a_file_of_two_networks_asks_which(parity, tmp_path: Path) -> None:
    case = parity("karlo_sr")
    save_file(case.weights, tmp_path / "sr")
    assert [found.component for found in identify_all(tmp_path / "sr", stated=case.config["model"])] == [
        *COMPONENTS.values()
    ]
    with pytest.raises(GlidewireError, match=r"holds unclip upsampler, unclip upsampler_last_step; .*Name one"):
        identify(tmp_path / "sr", stated=case.config["model"])


def full_header(shapes: Mapping[str, Any], **options: Any) -> Header:
    sized = {key: tuple(shape) for key, shape in shapes.items()}
    return Header(Path("full"), "safetensors", sized, dict.fromkeys(sized, torch.float16), **options)


def test_the_full_size_models_have_exactly_the_published_tensors(parity) -> None:
    manifest = json.loads(parity("karlo_sr").metadata["keys_full_model"])
    with torch.device("meta"):
        model = Upsampler(UPSAMPLERS["karlo"])
    assert sum(value.numel() for value in model.parameters()) == PARAMETERS
    for part, prefix in (("first steps", "model_first_steps."), ("last step", "model_last_step.")):
        shapes = {k.removeprefix(prefix): tuple(v) for k, v in manifest.items() if k.startswith(prefix)}
        identity = FAMILY.recognise(full_header(shapes, part=part), {})
        assert identity is not None and (identity.variant, identity.assumed) == ("karlo", ())
        assert published_shapes(model, FAMILY.key_map_of(identity)) == shapes
    in_diffusers = published_shapes(model, FAMILY.layouts["diffusers"](model.spec))
    identity = FAMILY.recognise(full_header(in_diffusers), {})
    assert identity is not None and identity.layout == "diffusers" and identity.component == "upsampler"


def test_what_does_not_fit_is_refused_by_name(parity, tmp_path: Path) -> None:
    case = parity("karlo_sr")
    model, _ = load_case(case, tmp_path)
    x, t = case.inputs["x"], case.inputs["timesteps"]
    with pytest.raises(GlidewireError, match="low_res does not fit; expected batch x 3 x height x width; got nothing"):
        model(x, t, {})
    with pytest.raises(GlidewireError, match="x_t does not fit the network; expected batch x 3 channels"):
        model(x[:, :1], t, {"low_res": x})
    with pytest.raises(GlidewireError, match="no published unCLIP network has add_attention=True"):
        identify(tmp_path / "sr.ckpt", component="upsampler", stated={"add_attention": True})
