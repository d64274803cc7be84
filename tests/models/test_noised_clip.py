"""Noised CLIP through a user's way: the two published files, strict loading, and the gradient that guides."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from glidewire.diffusion import guidance, samplers, schedules, solvers
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.noise import FixedNoise
from glidewire.diffusion.prediction import Step
from glidewire.diffusion.samplers import StepRecord
from glidewire.errors import GlidewireError
from glidewire.models import checkpoint
from glidewire.models.checkpoint import StrictLoadError
from glidewire.models.key_map import Merge, published_shapes
from glidewire.models.noised_clip.checkpoint import build, key_map
from glidewire.models.noised_clip.network import (
    NoisedClipGradient,
    NoisedImageEncoder,
    NoisedTextEncoder,
    log_probability_gradient,
)
from glidewire.models.noised_clip.spec import NoisedImageSpec, NoisedTextSpec


def part_of(case: Any, prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in case.weights.items() if k.startswith(prefix)}


def towers(case: Any, config: dict, folder: Path) -> tuple[NoisedImageEncoder, NoisedTextEncoder]:
    """Both towers from files as they were published, each told only what its shapes do not tell."""
    torch.save(part_of(case, "image_enc/"), folder / "clip_image_enc.pt")
    torch.save(part_of(case, "text_enc/"), folder / "clip_text_enc.pt")
    image = checkpoint.load(folder / "clip_image_enc.pt", stated={"n_head_image": config["n_head_image"]})
    text = checkpoint.load(folder / "clip_text_enc.pt", stated={"n_head_text": config["n_head_text"]})
    assert isinstance(image, NoisedImageEncoder) and isinstance(text, NoisedTextEncoder)
    return image, text


@pytest.fixture(scope="module")
def case(parity):
    return parity("glide_noised_clip")


@pytest.fixture(scope="module")
def loaded(case, tmp_path_factory) -> tuple[NoisedImageEncoder, NoisedTextEncoder]:
    return towers(case, case.config, tmp_path_factory.mktemp("noised_clip"))


def gradient(case: Any, image: NoisedImageEncoder, z_text: torch.Tensor) -> torch.Tensor:
    inputs, config = case.inputs, case.config
    one = log_probability_gradient(image, inputs["x"], inputs["timesteps"], z_text, config["logit_scale"])
    return config["grad_scale"] * one


def test_both_towers_and_their_gradient_equal_the_published_ones(case, loaded) -> None:
    (image, text), inputs = loaded, case.inputs
    assert torch.equal(inputs["tokens"].argmax(-1) + 1, inputs["text_len"])
    z_text, z_image = text(inputs["tokens"]), image(inputs["x"], inputs["timesteps"])
    case.assert_close("text_features_pre_head", text.features(inputs["tokens"]))
    case.assert_close("image_features_pre_head", image.features(inputs["x"], inputs["timesteps"]))
    case.assert_close("z_text", z_text)
    case.assert_close("z_image", z_image)
    case.assert_close("z_text_norm", F.normalize(z_text, dim=-1))
    case.assert_close("z_image_norm", F.normalize(z_image, dim=-1))
    similarity = (F.normalize(z_text, dim=-1) * F.normalize(z_image, dim=-1)).sum(-1)
    case.assert_close("logits_per_pair", case.config["logit_scale"] * similarity)
    case.assert_close("cond_grad", gradient(case, image, z_text))


def test_a_gradient_is_found_in_inference_mode_and_leaves_no_trace(case, loaded) -> None:
    image, text = loaded
    with torch.inference_mode():
        inputs = {name: value.clone() for name, value in case.inputs.items()}
        found = log_probability_gradient(image, inputs["x"], inputs["timesteps"], text(inputs["tokens"]))
    case.assert_close("cond_grad", case.config["grad_scale"] * case.config["logit_scale"] / 100 * found)
    assert not found.requires_grad and all(weight.grad is None for weight in image.parameters())


def other_order(self: Merge, published: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return RIGHT(self, published if self.zeros else published[::-1])


def bias_of_values_missing(self: Merge, published: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return RIGHT(replace(self, zeros=(2,)) if self.zeros else self, published)


RIGHT = Merge.load


@pytest.mark.parametrize("mistake", [other_order, bias_of_values_missing])
def test_a_loader_with_the_wrong_row_order_would_be_caught(mistake, case, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Merge, "load", mistake)
    image, text = towers(case, case.config, tmp_path)
    with pytest.raises(AssertionError, match="z_image: error"):
        case.assert_close("z_image", image(case.inputs["x"], case.inputs["timesteps"]))
    with pytest.raises(AssertionError, match="z_text: error"):
        case.assert_close("z_text", text(case.inputs["tokens"]))


def test_a_neighbouring_timestep_and_another_activation_would_be_caught(case, tmp_path: Path) -> None:
    image, text = towers(case, case.config, tmp_path)
    with pytest.raises(AssertionError, match="z_image: error"):
        case.assert_close("z_image", image(case.inputs["x"], (case.inputs["timesteps"] - 1).clamp(min=0)))
    for block in text.tower.transformer.resblocks:
        block.mlp.gelu = torch.nn.GELU("tanh")
    with pytest.raises(AssertionError, match="z_text: error"):
        case.assert_close("z_text", text(case.inputs["tokens"]))


@pytest.mark.parametrize("name", ["clip_ancestral", "clip_ddim"])
def test_guided_sampling_equals_the_golden_run(name: str, parity, tmp_path: Path) -> None:
    case = parity("glide_sampling")
    run = case.config["runs"][name]
    image, text = towers(case, case.config["clip"], tmp_path)
    torch.save(part_of(case, "unet/"), tmp_path / "base.pt")
    network = checkpoint.load(tmp_path / "base.pt", stated=case.config["model"])
    with torch.no_grad():
        leaf = Leaf(network, network.encode_text(case.inputs["tokens"], case.inputs["mask"]))
        toward = NoisedClipGradient(image, text(case.inputs["clip_tokens"]), case.config["clip"]["logit_scale"])
    guided = guidance.gradient_guidance(leaf, toward, run["clip_grad_scale"])
    full = schedules.SCHEDULES[run["noise_schedule"]](case.config["model"]["diffusion_steps"])
    noise = case.inputs.get(f"{name}/noise")
    clip = run["clip_denoised"]
    records: list[StepRecord] = []
    with torch.inference_mode():
        result = samplers.sample(
            guided,
            schedules.respace(full, run["respacing"]),
            case.inputs[f"{name}/x_T"],
            solvers.ddim(run["eta"], clip) if run["method"] == "ddim" else solvers.ancestral(clip),
            None if noise is None else FixedNoise(list(noise)),
            on_step=records.append,
        )
    kept = case.outputs[f"{name}/steps_kept"].tolist()
    case.assert_close(f"{name}/x_steps", torch.stack([records[k].x_next for k in kept]))
    case.assert_close(f"{name}/pred_xstart", torch.stack([records[k].x_0 for k in kept]))
    case.assert_close(f"{name}/result", result)


@pytest.mark.parametrize(("part", "spec"), [("image_enc", NoisedImageSpec()), ("text_enc", NoisedTextSpec())])
def test_the_full_size_files_have_the_published_keys(case, part: str, spec) -> None:
    manifest = json.loads(case.metadata["keys_full_model"])[part]
    with torch.device("meta"):
        shapes = published_shapes(build(spec), key_map(spec))
    assert shapes == {key: tuple(shape) for key, shape in manifest.items()}


def test_the_full_size_files_are_told_from_their_shapes_alone(case, tmp_path: Path) -> None:
    for part, spec in (("image_enc", NoisedImageSpec()), ("text_enc", NoisedTextSpec())):
        manifest = json.loads(case.metadata["keys_full_model"])[part]
        # One value stands for all: a file of the full shapes takes no more room than its keys.
        tree = {key: torch.zeros(()).expand(shape) for key, shape in manifest.items()}
        torch.save(tree, tmp_path / f"{part}.pt")
        identity = checkpoint.identify(tmp_path / f"{part}.pt")
        assert (identity.family, identity.spec, identity.assumed) == ("noised_clip", spec, ())


def test_errors_name_what_does_not_fit(case, loaded, tmp_path: Path) -> None:
    (image, text), inputs = loaded, case.inputs
    with pytest.raises(GlidewireError, match=r"does not fit the image tower; expected batch x 3 x \d+ x \d+; got"):
        image(inputs["x"][..., :-1], inputs["timesteps"])
    with pytest.raises(GlidewireError, match=r"no such timestep; expected 0 to \d+; got -1 to -1"):
        image(inputs["x"], torch.full_like(inputs["timesteps"], -1))
    with pytest.raises(GlidewireError, match=r"do not fit the text tower; expected batch x \d+ positions"):
        text(inputs["tokens"][:, 1:])
    with pytest.raises(GlidewireError, match="a token id lies outside the vocabulary"):
        text(inputs["tokens"] + text.spec.vocabulary_size)
    with pytest.raises(GlidewireError, match=r"embedding does not fit the image tower; expected .*; got 1 x 1"):
        log_probability_gradient(image, inputs["x"], inputs["timesteps"], torch.zeros(1, 1))
    with pytest.raises(GlidewireError, match="heads does not fit; expected a divisor of"):
        checkpoint.identify(save(case, "image_enc/", tmp_path), stated={"heads": 5})
    with pytest.raises(GlidewireError, match="contradicts the stated patch_size"):
        checkpoint.identify(save(case, "image_enc/", tmp_path), stated={"patch_size": 1})


def save(case: Any, prefix: str, folder: Path) -> Path:
    torch.save(part_of(case, prefix), folder / "m.pt")
    return folder / "m.pt"


def test_a_key_bias_that_no_published_file_has_is_told(case, tmp_path: Path) -> None:
    tensors = part_of(case, "text_enc/")
    tensors["blocks.block_0.f_attn.f_k.b"] = tensors["blocks.block_0.f_attn.f_q.b"].clone()
    torch.save(tensors, tmp_path / "m.pt")
    with pytest.raises(StrictLoadError) as error:
        checkpoint.load(tmp_path / "m.pt")
    assert error.value.unexpected == ("blocks.block_0.f_attn.f_k.b",)


def test_digests_follow_weights_text_and_scale(case, loaded) -> None:
    image, text = loaded
    z_text = text(case.inputs["tokens"])
    texts = {NoisedClipGradient(image, z_text).digest(), NoisedClipGradient(image, -z_text).digest()}
    texts.add(NoisedClipGradient(image, z_text, 50.0).digest())
    torch.manual_seed(0)
    texts.add(NoisedClipGradient(build(image.spec), z_text).digest())
    assert len(texts) == 4


def test_the_gradient_of_a_run_is_the_one_at_its_timestep(case, loaded) -> None:
    image, text = loaded
    z_text = text(case.inputs["tokens"])
    step = Step.of(schedules.squared_cosine(image.spec.timesteps), 3)
    expected = log_probability_gradient(
        image, case.inputs["x"], torch.full((len(z_text),), int(step.timestep)), z_text, 7.0
    )
    assert torch.equal(NoisedClipGradient(image, z_text, 7.0)(case.inputs["x"], step), expected)
