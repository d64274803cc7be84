"""Files and folders of several models: each is found, told apart and loaded, and nothing is passed over in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import StrictLoadError, content_digest, identify, identify_all, load
from glidewire.models.clip_text import checkpoint as clip_text
from glidewire.models.clip_text.network import ClipText
from glidewire.models.clip_text.spec import ClipTextSpec
from glidewire.models.first_stage import checkpoint as first_stage
from glidewire.models.first_stage.network import FirstStage
from glidewire.models.first_stage.spec import FirstStageSpec
from glidewire.models.key_map import published_state_dict
from glidewire.models.ldm.layout import key_map
from glidewire.models.ldm.network import LatentDenoiser
from glidewire.models.ldm.spec import UnetSpec
from glidewire.models.parts import read_parts
from safetensors.torch import load_file, save_file

UNET = UnetSpec(model_channels=32, channel_mult=(1, 1), attention_levels=(0,), context_width=64)
STAGE = FirstStageSpec(channels=32, channel_mult=(1, 1), num_res_blocks=1)
TEXT = ClipTextSpec(vocabulary_size=20, positions=5, width=64, layers=2, heads=1, mlp_width=8, padding=19)
COMPONENTS = {"denoiser", "first_stage", "text_encoder"}


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    torch.manual_seed(0)
    return {"denoiser": LatentDenoiser(UNET), "first_stage": FirstStage(STAGE), "text_encoder": ClipText(TEXT)}


@pytest.fixture(scope="module")
def tensors(models: dict[str, Any]) -> dict[str, torch.Tensor]:
    """A file as Stable Diffusion was published: three models, an average, and what training left behind."""
    denoiser = published_state_dict(models["denoiser"], key_map(UNET))
    stage = published_state_dict(models["first_stage"], first_stage.key_map(STAGE))
    text = published_state_dict(models["text_encoder"], clip_text.transformers_key_map(TEXT))
    average = {f"diffusion_model.{key}".replace(".", ""): 2 * value for key, value in denoiser.items()}
    found = {
        **{f"model.diffusion_model.{key}": value for key, value in denoiser.items()},
        **{f"first_stage_model.{key}": value for key, value in stage.items()},
        **{f"cond_stage_model.transformer.text_model.{key}": value for key, value in text.items()},
        **{f"model_ema.{key}": value for key, value in average.items()},
        "model_ema.decay": torch.tensor(0.9999),
        "model_ema.num_updates": torch.tensor(7),
        "betas": torch.linspace(0, 1, 1000),
        "scale_factor": torch.tensor(0.25),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(5)[None],
    }
    return {key: value.clone() for key, value in found.items()}


def holds(module: torch.nn.Module, model: torch.nn.Module, factor: float = 1.0) -> bool:
    state = model.state_dict()
    return all(torch.equal(value, factor * state[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_every_model_of_a_file_loads(
    form: str, models: dict[str, Any], tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "sd.ckpt"
    if form == "torch":
        torch.save({"state_dict": tensors, "global_step": 5}, path)
    else:
        save_file(tensors, path)
    assert {identity.component for identity in identify_all(path)} == COMPONENTS
    for component in COMPONENTS - {"denoiser"}:
        assert holds(load(path, component=component), models[component]), component
    # The moving average is what was published for use; the raw weights are there for training on.
    assert holds(load(path, component="denoiser"), models["denoiser"], 2.0)
    assert holds(load(path, component="denoiser", averaged=True), models["denoiser"], 2.0)
    assert holds(load(path, component="denoiser", averaged=False), models["denoiser"])
    assert identify(path, component="first_stage").spec.latent_scale == 0.25
    digests = {
        content_digest(identify(path, component="denoiser", averaged=averaged)) for averaged in (True, False)
    } | {content_digest(identity) for identity in identify_all(path)}
    assert len(digests) == 4


def test_which_model_is_meant_must_be_said(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "m")
    with pytest.raises(GlidewireError, match="holds ldm denoiser, first_stage first_stage, clip_text text_encoder"):
        load(tmp_path / "m")
    with pytest.raises(GlidewireError, match="expected a component 'prior'"):
        load(tmp_path / "m", component="prior")


def test_nothing_beside_the_models_is_passed_over(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file({**tensors, "control.weight": torch.zeros(1)}, tmp_path / "m")
    with pytest.raises(StrictLoadError, match=r"which holds denoiser, first stage, condition,.*1 unexpected") as error:
        identify_all(tmp_path / "m")
    assert error.value.unexpected == ("control.weight",)
    save_file({**tensors, "first_stage_model.encoder.extra": torch.zeros(1)}, tmp_path / "m")
    with pytest.raises(StrictLoadError, match=r"m \(first stage\) does not fit its network.*\n.*\n  encoder: extra"):
        load(tmp_path / "m", component="first_stage")


def test_half_an_average_is_an_error(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    half = {key: value for key, value in tensors.items() if "model_ema.diffusion_modelout" not in key}
    save_file(half, tmp_path / "m")
    with pytest.raises(GlidewireError, match="only a part of the moving average"):
        load(tmp_path / "m", component="denoiser")
    load(tmp_path / "m", component="denoiser", averaged=False)
    without = {key: value for key, value in tensors.items() if not key.startswith("model_ema.")}
    save_file(without, tmp_path / "m")
    load(tmp_path / "m", component="denoiser")
    for wrong in (tmp_path / "m", save(tmp_path / "stage", {"encoder.conv_in.weight": torch.zeros(1)})):
        with pytest.raises(GlidewireError, match="moving average"):
            load(wrong, component="denoiser", averaged=True)


def save(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, path)
    return path


def test_a_first_stage_that_is_there_twice_counts_once(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    start = "first_stage_model."
    stage = {key: value for key, value in tensors.items() if key.startswith(start)}
    again = {key.replace(start, "cond_stage_model."): value.clone() for key, value in stage.items()}
    save_file({**stage, **again}, tmp_path / "m")
    assert load(tmp_path / "m").spec == identify(tmp_path / "m").spec


def test_what_is_stated_for_one_model_is_nothing_to_another(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "m")
    assert identify(tmp_path / "m", component="denoiser", stated={"num_heads": 4}).spec.num_heads == 4
    assert identify(tmp_path / "m", component="first_stage", stated={"latent_scale": 2.0}).spec.latent_scale == 2.0
    with pytest.raises(GlidewireError, match="num_heads does not fit; expected a divisor of 32; got 3"):
        identify(tmp_path / "m", component="denoiser", stated={"num_heads": 3})


@pytest.fixture
def pipeline(models: dict[str, Any], tmp_path: Path) -> Path:
    """A folder of folders, as diffusers writes them."""
    folder = tmp_path / "pipeline"
    models["denoiser"].unet.save_pretrained(folder / "unet")
    models["first_stage"].autoencoder.save_pretrained(folder / "vae")
    text = folder / "text_encoder"
    text.mkdir()
    names = published_state_dict(models["text_encoder"], clip_text.transformers_key_map(TEXT))
    tensors = {f"text_model.{key}": value.contiguous() for key, value in names.items()}
    save_file(tensors, text / "model.safetensors")
    (text / "config.json").write_text(json.dumps({"hidden_act": "quick_gelu", "num_attention_heads": 1}))
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "vocab.json").write_text("{}")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"prediction_type": "v_prediction"}))
    (folder / "model_index.json").write_text("{}")
    return folder


def test_a_folder_of_folders_loads(pipeline: Path, models: dict[str, Any]) -> None:
    assert {identity.component for identity in identify_all(pipeline)} == COMPONENTS
    for component in COMPONENTS:
        assert holds(load(pipeline, component=component), models[component]), component
    assert identify(pipeline, component="denoiser").spec.prediction == "v"


def test_damaged_folders_are_named(pipeline: Path) -> None:
    unet = pipeline / "unet"
    (unet / "config.json").write_text("{")
    with pytest.raises(GlidewireError, match=r"unet/config\.json is not readable JSON"):
        load(pipeline, component="denoiser")
    (unet / "config.json").write_text("[]")
    with pytest.raises(GlidewireError, match=r"unet/config\.json is not a JSON object; got list"):
        load(pipeline, component="denoiser")
    (unet / "config.json").unlink()
    with pytest.raises(GlidewireError, match=r"unet is a folder without config\.json"):
        load(unet)
    with pytest.raises(GlidewireError, match="tokenizer is a folder without"):
        load(pipeline / "tokenizer")
    (unet / "config.json").write_text("{}")
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(GlidewireError, match="unet is a folder without weights"):
        load(unet)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"weight_map": {"a": "../a.safetensors"}}, "names a shard outside of its folder; got ../a.safetensors"),
        ({"weight_map": {"a": "1.safetensors"}}, "shards are missing.*without 1.safetensors"),
        ({"weight_map": {}}, "names no shards"),
        ({}, "names no shards"),
    ],
)
def test_damaged_indices_are_named(index: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(GlidewireError, match=message):
        load(tmp_path)


def test_shards_and_pickles_are_read_as_one(models: dict[str, Any], tmp_path: Path) -> None:
    state = {key: value.contiguous() for key, value in models["denoiser"].unet.state_dict().items()}
    (tmp_path / "config.json").write_text("{}")
    names = sorted(state)
    parts = {"a.bin": names[::2], "b.bin": names[1::2]}
    for file, keys in parts.items():
        torch.save({key: state[key] for key in keys}, tmp_path / file)
    index = {"weight_map": {key: file for file, keys in parts.items() for key in keys}}
    (tmp_path / "diffusion_pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert holds(load(tmp_path), models["denoiser"])
    # A single file is taken before shards of pickles.
    save_file({key: 2 * value for key, value in state.items()}, tmp_path / "diffusion_pytorch_model.safetensors")
    assert holds(load(tmp_path), models["denoiser"], 2.0)


def test_shards_of_half_precision_are_found(models: dict[str, Any], tmp_path: Path) -> None:
    state = {key: value.contiguous() for key, value in models["denoiser"].unet.state_dict().items()}
    (tmp_path / "config.json").write_text("{}")
    shard = "diffusion_pytorch_model.fp16-00001-of-00001.safetensors"
    save_file(state, tmp_path / shard)
    index = {"weight_map": dict.fromkeys(state, shard)}
    (tmp_path / "diffusion_pytorch_model.safetensors.index.fp16.json").write_text(json.dumps(index))
    assert holds(load(tmp_path), models["denoiser"])


def test_parts_hold_no_weights(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "m")
    whole = load_file(tmp_path / "m")
    parts = read_parts(tmp_path / "m", averaged=False)
    assert [part.part for part in parts] == ["denoiser", "first stage", "condition"]
    starts = ("model.", "first_stage_model.", "cond_stage_model.")
    inside = [value for key, value in whole.items() if key.startswith(starts)]
    assert sum(part.parameters for part in parts) == sum(value.numel() for value in inside)
