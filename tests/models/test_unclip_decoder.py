"""Decoders of Karlo and Kandinsky: every layout against the golden data, whole runs, and mistakes in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.diffusion import guidance, samplers, schedules, solvers
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.evaluator import Evaluator
from glidewire.diffusion.noise import FixedNoise
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import StrictLoadError, identify, identify_all, load
from glidewire.models.header import Header
from glidewire.models.key_map import Entry, head_major, published_shapes
from glidewire.models.unclip.checkpoint import FAMILY
from glidewire.models.unclip.decoder import Decoder
from glidewire.models.unclip.layout import decoder_key_map
from glidewire.models.unclip.spec import DECODERS, DecoderSpec
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

CASES = (
    "karlo_decoder",
    "karlo_decoder_diffusers",
    "kandinsky21_decoder",
    "kandinsky21_decoder_diffusers",
    "kandinsky22_decoder",
)
WHOLE = {"karlo": "karlo_decoder", "kandinsky-2.1": "kandinsky21_decoder"}
# What the published models have.
PARAMETERS = {"karlo": 893_318_086, "kandinsky-2.2": 1_253_057_288}

TINY = DecoderSpec(
    model_channels=8, channel_mult=(1, 2), num_res_blocks=1, attention_levels=(1,), num_head_channels=8,
    context_width=6, image_tokens=2, embedding_width=5, text_width=5, pooled_width=5, norm_groups=4,
)  # fmt: skip
TINY_KANDINSKY = replace(
    TINY, system="kandinsky-2.2", in_channels=4, out_channels=8, text_width=0, pooled_width=0, image_tokens=3
)


def diffusers_folder(folder: Path, config: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(dict(weights), folder / "diffusion_pytorch_model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def load_case(case: Any, folder: Path, weights: Mapping[str, torch.Tensor] | None = None) -> Decoder:
    """The case's weights as a user has them: a file with its options, or a folder that diffusers wrote."""
    weights, config, name = dict(weights or case.weights), case.config, case.path.stem
    if name == "karlo_decoder_diffusers":
        (folder / "model_index.json").write_text("{}")
        for part in ("decoder", "text_proj"):
            own = {k.removeprefix(f"{part}/"): v for k, v in weights.items() if k.startswith(f"{part}/")}
            diffusers_folder(folder / part, config[part], own)
        return load(folder, component="decoder")
    if "down_block_types" in config:
        return load(diffusers_folder(folder, config, weights))
    save_file(weights, folder / "decoder.safetensors")
    return load(folder / "decoder.safetensors", stated=config.get("model", config))


def encoded(model: Decoder, case: Any) -> dict[str, torch.Tensor]:
    """The case's condition, row by row; what diffusers puts first is unconditional."""
    inputs = case.inputs
    if case.path.stem == "karlo_decoder_diffusers":
        rows = len(inputs["x"])
        text = (inputs["text_feat"], inputs["text_seq"], inputs["mask"])
        uncond = model.encode(None, *(value[:rows] for value in text))
        cond = model.encode(inputs["image_emb"], *(value[rows:] for value in text))
        return {name: torch.cat([uncond[name], cond[name]]) for name in cond}
    if case.path.stem == "karlo_decoder":
        rows = len(inputs["x"])
        return model.encode(inputs["image_emb"], *(inputs[name][:rows] for name in ("text_feat", "text_seq", "mask")))
    if case.path.stem == "kandinsky21_decoder":
        return model.encode(inputs["image_emb"], inputs["pooled_emb"], inputs["full_emb"])
    return model.encode(inputs["image_embeds"], inputs.get("text_embeds"), inputs.get("text_hidden"))


def predict(model: Decoder, case: Any, conditioning: Mapping[str, torch.Tensor] | None = None) -> torch.Tensor:
    conditioning = encoded(model, case) if conditioning is None else conditioning
    repeats = len(conditioning["context"]) // len(case.inputs["x"])
    x, timesteps = (torch.cat([case.inputs[name]] * repeats) for name in ("x", "timesteps"))
    return model(x, timesteps, conditioning)


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_output_equals_the_published_implementation(name: str, parity, tmp_path: Path) -> None:
    case = parity(name)
    model = load_case(case, tmp_path)
    conditioning = encoded(model, case)
    named = {"context_tokens": "context", "time_emb_addition": "time_addition", "xf_proj": "time_addition"}
    for output, ours in named.items():
        if output in case.outputs:
            case.assert_close(output, conditioning[ours])
    if "xf_out" in case.outputs:
        case.assert_close("xf_out", conditioning["context"].transpose(1, 2))
    output = predict(model, case)
    case.assert_close("model_output", output)
    case.assert_close("model_output", predict(model, case, model.prepare(conditioning)))
    assert model.prediction == "eps" and model.learned_variance
    assert output.shape[1] == 2 * case.inputs["x"].shape[1]


@torch.no_grad()
def test_a_whole_guided_run_of_karlo(parity, tmp_path: Path) -> None:
    case = parity("karlo_decoder")
    model, inputs, rows = load_case(case, tmp_path), case.inputs, len(case.inputs["x"])
    text = [inputs[name] for name in ("text_feat", "text_seq", "mask")]
    uncond = model.encode(None, *(value[rows:] for value in text))
    case.assert_close("model_output_uncond", predict(model, case, uncond))
    records: list[samplers.StepRecord] = []
    evaluator = Evaluator()
    sampled = samplers.sample(
        guidance.classifier_free(Leaf(model, encoded(model, case)), Leaf(model, uncond), case.config["cfg_scale"]),
        schedules.respace(model.spec.noise_schedule, case.config["respacing"]),
        inputs["sample/x_T"],
        solvers.ancestral(model.spec.x_0_bound),
        FixedNoise(list(inputs["sample/noise"])),
        on_step=records.append,
        evaluator=evaluator,
    )
    case.assert_close("sample/x_steps", torch.stack([record.x_next for record in records]))
    case.assert_close("sample/result", sampled)
    assert evaluator.forwards == len(records)


def part_major(source: str, targets: list[str], channels: int) -> tuple[Entry, ...]:
    """Another published family's order: rows are [part][head][channel]; reversed where there is one head."""

    def split(value: torch.Tensor) -> tuple[torch.Tensor, ...]:
        parts = (value.squeeze(-1) if value.ndim == 3 else value).chunk(len(targets))
        return parts if len(parts[0]) > channels else parts[::-1]

    return tuple(replace(entry, split=split) for entry in head_major(source, targets, channels))


@pytest.mark.parametrize("name", WHOLE.values())
def test_a_loader_with_the_wrong_row_order_would_be_caught(name: str, parity, tmp_path: Path, monkeypatch) -> None:
    case = parity(name)
    monkeypatch.setattr("glidewire.models.adm.head_major", part_major)
    with pytest.raises(AssertionError, match="model_output: error"):
        case.assert_close("model_output", predict(load_case(case, tmp_path), case))


@pytest.mark.parametrize(
    ("name", "output"), [("karlo_decoder", "context_tokens"), ("kandinsky21_decoder", "model_output")]
)
def test_the_other_order_of_tokens_would_be_caught(name: str, output: str, parity, tmp_path: Path) -> None:
    case = parity(name)
    model = load_case(case, tmp_path)
    right, tokens = encoded(model, case), model.spec.image_tokens
    ours, text = right["context"].split([tokens, right["context"].shape[1] - tokens], dim=1)
    if name == "karlo_decoder":
        other = ours.transpose(1, 2).flatten(1).unflatten(-1, (tokens, -1))
    else:
        other = ours.flatten(1).unflatten(-1, (-1, tokens)).transpose(1, 2)
    wrong = {**right, "context": torch.cat([other, text], dim=1)}
    with pytest.raises(AssertionError, match="model_output: error"):
        case.assert_close("model_output", predict(model, case, wrong))


def test_padding_is_hidden(parity, tmp_path: Path) -> None:
    case = parity("karlo_decoder")
    model = load_case(case, tmp_path)
    open_eyed = {name: value for name, value in encoded(model, case).items() if name != "text_mask"}
    with pytest.raises(AssertionError, match="model_output: error"):
        case.assert_close("model_output", predict(model, case, open_eyed))


@pytest.mark.parametrize("mistake", ["swapped keys", "transposed matrix"])
def test_files_that_are_wrong_and_fit_would_be_caught(mistake: str, parity, tmp_path: Path) -> None:
    case = parity("kandinsky22_decoder")
    weights = dict(case.weights)
    one, two = (f"mid_block.attentions.0.to_{part}.weight" for part in "qk")
    if mistake == "swapped keys":
        two = one.replace("to_q", "to_v")
        weights[one], weights[two] = weights[two], weights[one]
    else:
        weights[two] = weights[two].T.contiguous()
    with pytest.raises(AssertionError, match="model_output: error"):
        case.assert_close("model_output", predict(load_case(case, tmp_path, weights), case))


def full_header(shapes: Mapping[str, Any], **options: Any) -> Header:
    sized = {key: tuple(shape) for key, shape in shapes.items()}
    return Header(Path("full"), "safetensors", sized, dict.fromkeys(sized, torch.float16), **options)


@pytest.mark.parametrize(("variant", "name"), WHOLE.items())
def test_the_full_size_model_has_exactly_the_published_tensors(variant: str, name: str, parity) -> None:
    manifest = json.loads(parity(name).metadata["keys_full_model"])
    shapes = {key.removeprefix("model."): tuple(shape) for key, shape in manifest.items()}
    identity = FAMILY.recognise(full_header(shapes), {})
    assert identity is not None and (identity.variant, identity.assumed) == (variant, ())
    assert identity.spec == DECODERS[variant]
    with torch.device("meta"):
        assert published_shapes(Decoder(identity.spec), FAMILY.key_map_of(identity)) == shapes


@pytest.mark.parametrize("name", DECODERS)
def test_full_size_models_are_told_by_their_tensors_in_both_layouts(name: str) -> None:
    with torch.device("meta"):
        model = Decoder(DECODERS[name])
    if name in PARAMETERS:
        assert sum(value.numel() for value in model.parameters()) == PARAMETERS[name]
    for key_map in (FAMILY.key_map, FAMILY.layouts["diffusers"]):
        identity = FAMILY.recognise(full_header(published_shapes(model, key_map(model.spec))), {})
        assert identity is not None and (identity.variant, identity.assumed) == (name, ())


def randomised(spec: DecoderSpec, seed: int = 0) -> Decoder:
    model = Decoder(spec)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            scale = 0.5 / value[0].numel() ** 0.5 if value.ndim > 1 else 0.1
            value.copy_(scale * torch.randn(value.shape, generator=generator) + (value.ndim == 1))
    return model.eval().requires_grad_(False)


def test_inpainting_never_sees_what_is_not_known() -> None:
    model = randomised(replace(TINY_KANDINSKY, in_channels=9))
    cond = model.encode(torch.ones(1, 5))
    x, t, mask = torch.ones(1, 4, 8, 8), torch.tensor([5]), torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    known = torch.ones(1, 4, 8, 8)
    hidden = known.clone()
    hidden[..., 4:] = 9.0
    one, two = (model(x, t, {**cond, "inpaint_image": image, "inpaint_mask": mask}) for image in (known, hidden))
    assert torch.equal(one, two)
    assert not torch.equal(one, model(x, t, {**cond, "inpaint_image": 2 * known, "inpaint_mask": mask}))
    with pytest.raises(GlidewireError, match="inpaint_image does not fit; expected batch x 4 x 8 x 8; got nothing"):
        model(x, t, cond)


def test_half_precision_takes_and_gives_float32() -> None:
    full = randomised(TINY_KANDINSKY)
    half = randomised(TINY_KANDINSKY).to(torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    x, t = torch.randn(1, 4, 8, 8, generator=generator), torch.tensor([5])
    z = torch.randn(1, 5, generator=generator)
    output, expected = half(x, t, half.prepare(half.encode(z))), full(x, t, full.encode(z))
    assert output.dtype == torch.float32
    assert (output - expected).abs().max() < 0.1 * expected.abs().max()
    assert full.digest() != half.digest() and full.digest() == randomised(TINY_KANDINSKY).digest()


def test_wrong_conditions_are_refused_by_name() -> None:
    karlo, kandinsky = randomised(TINY), randomised(TINY_KANDINSKY)
    z, states = torch.ones(2, 5), torch.ones(2, 3, 5)
    with pytest.raises(GlidewireError, match="text_embedding does not fit; expected batch x 5; got nothing"):
        karlo.encode(z)
    with pytest.raises(GlidewireError, match=r"text_states does not fit; expected 2 x positions x 5; got \(2, 3, 4\)"):
        karlo.encode(z, z, states[..., 1:])
    with pytest.raises(GlidewireError, match=r"text_mask does not fit; expected 2 x 3; got \(2, 4\)"):
        karlo.encode(z, z, states, torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(GlidewireError, match="image_embedding does not fit; expected batch x 5; got nothing"):
        kandinsky.encode(None)
    with pytest.raises(GlidewireError, match="expected batch x 4 channels x sides that are multiples of 2; got"):
        kandinsky(torch.ones(2, 4, 8, 7), torch.tensor([1, 2]), kandinsky.encode(z))
    with pytest.raises(GlidewireError, match=r"context does not fit; .* got nothing"):
        kandinsky(torch.ones(2, 4, 8, 8), torch.tensor([1, 2]), {})
    assert not any(name == "text_mask" for name in kandinsky.encode(z))


def test_half_of_karlos_decoder_is_refused_with_where_the_other_lies(parity, tmp_path: Path) -> None:
    case = parity("karlo_decoder_diffusers")
    load_case(case, tmp_path)
    with pytest.raises(GlidewireError, match=r"decoder without its text projection.*folders `decoder` and `text_proj`"):
        identify(tmp_path / "decoder")
    with pytest.raises(GlidewireError, match="text projection without its decoder"):
        identify(tmp_path / "text_proj")


def test_a_layer_that_is_missing_is_told(parity, tmp_path: Path) -> None:
    case = parity("kandinsky21_decoder")
    weights = dict(case.weights)
    weights["ln_model.weight"] = weights.pop("ln_model_n.weight")
    with pytest.raises(StrictLoadError, match=r"1 missing, 1 unexpected(.|\n)*did the file mean ln_model.weight"):
        load_case(case, tmp_path, weights)
    del weights["proj_n.weight"]
    save_file(weights, tmp_path / "m")
    with pytest.raises(GlidewireError, match=r"not a whole kandinsky-2\.1 decoder: 'proj_n\.weight' is missing"):
        identify(tmp_path / "m")


def test_options_of_another_network_are_refused(parity, tmp_path: Path) -> None:
    case = parity("kandinsky22_decoder")
    folder = diffusers_folder(tmp_path / "unet", {**case.config, "act_fn": "gelu"}, case.weights)
    with pytest.raises(GlidewireError, match=r"config\.json: no published unCLIP network has act_fn='gelu'"):
        identify(folder)
    diffusers_folder(folder, {**case.config, "in_channels": 2 * case.config["in_channels"] + 1}, case.weights)
    with pytest.raises(GlidewireError, match=r"contradicts the stated in_channels; expected .*, from its tensors; got"):
        identify(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"system": "karlo-2"}, "system does not fit; expected one of karlo"),
        ({"in_channels": 5}, "in_channels does not fit; expected 3, or 7 for inpainting; got 5"),
        ({"out_channels": 5}, "out_channels does not fit; expected an even number"),
        ({"num_head_channels": 5}, "num_head_channels does not fit; expected a divisor of 16"),
        ({"norm_groups": 3}, "norm_groups does not fit; expected a divisor of"),
        ({"channel_mult": (1, 0)}, "channel_mult does not fit; expected positive numbers"),
        ({"attention_levels": (1, 2)}, r"attention_levels does not fit; expected levels of \[0, 1\]"),
        ({"image_tokens": 0}, "image_tokens does not fit; expected a positive number"),
    ],
)
def test_impossible_specs_are_refused(change: dict, message: str) -> None:
    with pytest.raises(GlidewireError, match=message):
        replace(TINY, **change)


@cache
def tiny_shapes(system: str, layout: str) -> dict[str, tuple[int, ...]]:
    spec = TINY_KANDINSKY if system == "kandinsky-2.2" else replace(TINY, system=system)
    with torch.device("meta"):
        return published_shapes(Decoder(spec), decoder_key_map(spec, layout))


@given(data=st.data())
def test_shapes_of_any_kind_raise_nothing_but_our_error(data) -> None:
    system = data.draw(st.sampled_from(["karlo", "kandinsky-2.1", "kandinsky-2.2"]))
    shapes = tiny_shapes(system, data.draw(st.sampled_from(["published", "diffusers"])))
    telling = sorted(key for key in shapes if ".resnets." not in key and "_layers." not in key)
    sizes = st.lists(st.integers(0, 70), max_size=4).map(tuple)
    changed = data.draw(st.dictionaries(st.sampled_from(telling), sizes, min_size=1))
    gone = data.draw(st.sets(st.sampled_from(sorted(shapes)), max_size=2))
    try:
        FAMILY.recognise(full_header({key: size for key, size in {**shapes, **changed}.items() if key not in gone}), {})
    except GlidewireError as error:
        assert str(error)


def test_a_whole_pipeline_is_one_folder(parity, tmp_path: Path) -> None:
    """Karlo as diffusers lays it out: its prior, its decoder in two folders, and both upsamplers."""
    load_case(parity("karlo_decoder_diffusers"), tmp_path)
    prior, upsampler = parity("karlo_prior_diffusers"), parity("karlo_sr_diffusers")
    diffusers_folder(tmp_path / "prior", prior.config, prior.weights)
    for part in ("super_res_first", "super_res_last"):
        own = {k.removeprefix(f"{part}/"): v for k, v in upsampler.weights.items() if k.startswith(f"{part}/")}
        diffusers_folder(tmp_path / part, upsampler.config, own)
    found = {identity.component: identity.layout for identity in identify_all(tmp_path)}
    assert found == dict.fromkeys(("prior", "decoder", "upsampler", "upsampler_last_step"), "diffusers")
