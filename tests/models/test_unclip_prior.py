"""Diffusion priors of Karlo and Kandinsky: both layouts against the golden data, whole runs, and mistakes in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.diffusion import guidance, samplers, schedules, solvers
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.noise import FixedNoise
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import identify, load
from glidewire.models.header import Header
from glidewire.models.key_map import Entry, head_major, published_shapes
from glidewire.models.unclip.checkpoint import FAMILY
from glidewire.models.unclip.embedding import EmbeddingStatistics
from glidewire.models.unclip.layout import prior_key_map
from glidewire.models.unclip.prior import Prior
from glidewire.models.unclip.spec import PRIORS, PriorSpec
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

PUBLISHED, DIFFUSERS = ("karlo_prior", "kandinsky21_prior"), ("karlo_prior_diffusers", "kandinsky22_prior")
# What the published models have, without statistics for Karlo's.
PARAMETERS = {"karlo or kandinsky-2.1": 1_022_028_544, "kandinsky-2.2": 1_026_225_920}


def load_case(case: Any, folder: Path, weights: Mapping[str, torch.Tensor] | None = None) -> Prior:
    """The case's weights as a user has them: a wrapped torch file, or a folder that diffusers wrote."""
    weights = dict(weights or case.weights)
    if case.path.stem in PUBLISHED:
        torch.save({"state_dict": weights}, folder / "prior.ckpt")
        return load(folder / "prior.ckpt", stated=case.config["model"])
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")
    (folder / "config.json").write_text(json.dumps({"_class_name": "PriorTransformer", **case.config}))
    return load(folder)


def conditions(case: Any) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The conditional and the unconditional rows, whatever they are called."""
    inputs = case.inputs
    if "negative_mask" in inputs:
        named = {"text_embedding": "text_embeds", "text_states": "text_hidden", "text_mask": "mask"}
        return tuple({ours: inputs[before + name] for ours, name in named.items()} for before in ("", "negative_"))
    named = {"text_embedding": "text_emb", "text_states": "text_enc", "text_mask": "mask"}
    rows = len(inputs["x"])
    return tuple(
        {ours: inputs[name][part] for ours, name in named.items()} for part in (slice(rows), slice(rows, None))
    )


def predict(model: Prior, case: Any) -> torch.Tensor:
    return model(case.inputs["x"], case.inputs["timesteps"], model.prepare(conditions(case)[0]))


@pytest.mark.parametrize("name", PUBLISHED + DIFFUSERS)
@torch.no_grad()
def test_output_equals_the_published_implementation(name: str, parity, tmp_path: Path) -> None:
    case = parity(name)
    model = load_case(case, tmp_path)
    predicted = predict(model, case)
    case.assert_close("predicted_x0", predicted)
    if "post_processed" in case.outputs:
        case.assert_close("post_processed", model.picture_embedding(predicted))
    assert model.prediction == "x_0" and not model.learned_variance


def run(model: Prior, case: Any, name: str, spacing: str, **options: Any) -> torch.Tensor:
    cond, uncond = (Leaf(model, rows) for rows in conditions(case))
    noise = case.inputs.get(f"{name}/noise")
    bound = model.spec.x_0_bound
    return samplers.sample(
        guidance.classifier_free(cond, uncond, case.config["cfg_scale"]),
        schedules.respace(model.spec.noise_schedule, spacing),
        case.inputs[f"{name}/x_T"],
        solvers.ddim(clip=bound) if noise is None else solvers.ancestral(bound),
        None if noise is None else FixedNoise(list(noise)),
        **options,
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_whole_runs_and_statistics_from_a_file_of_their_own(name: str, parity, tmp_path: Path) -> None:
    case = parity(name)
    model = load_case(case, tmp_path)
    torch.save((case.inputs["clip_mean"], case.inputs["clip_std"]), tmp_path / "stats.th")
    statistics = load(tmp_path / "stats.th")
    assert isinstance(statistics, EmbeddingStatistics)
    sampled = run(model, case, "sample", case.config["respacing"])
    case.assert_close("sample/z", model.picture_embedding(sampled, statistics))
    if "sample_ddim/z" in case.outputs:
        sampled = run(model, case, "sample_ddim", case.config["respacing_ddim"])
        case.assert_close("sample_ddim/z", model.picture_embedding(sampled, statistics))


def test_a_whole_run_of_kandinsky_2_2(parity, tmp_path: Path) -> None:
    case = parity("kandinsky22_prior")
    model = load_case(case, tmp_path)
    records: list[samplers.StepRecord] = []
    sampled = run(model, case, "sample", str(case.config["respacing"]), on_step=records.append)
    case.assert_close("sample/timesteps", torch.tensor([int(record.timestep) for record in records]))
    case.assert_close("sample/x_steps", torch.stack([record.x_next for record in records]))
    case.assert_close("sample/z", model.picture_embedding(sampled))


def part_major(source: str, targets: list[str], channels: int, *, sides: int = 1) -> tuple[Entry, ...]:
    """Another published family's order: rows are [part][head][channel]; reversed where there is one head."""

    def split(value: torch.Tensor) -> tuple[torch.Tensor, ...]:
        parts = value.chunk(len(targets))
        return parts if len(parts[0]) > channels else parts[::-1]

    return tuple(replace(entry, split=split) for entry in head_major(source, targets, channels, sides=sides))


def test_a_loader_with_the_wrong_row_order_would_be_caught(parity, tmp_path: Path, monkeypatch) -> None:
    case = parity("karlo_prior")
    monkeypatch.setattr("glidewire.models.unclip.layout.head_major", part_major)
    with pytest.raises(AssertionError, match="predicted_x0: error"):
        case.assert_close("predicted_x0", predict(load_case(case, tmp_path), case))


@pytest.mark.parametrize("mistake", ["swapped keys", "transposed matrix"])
def test_files_that_are_wrong_and_fit_would_be_caught(mistake: str, parity, tmp_path: Path) -> None:
    case = parity("karlo_prior")
    weights = dict(case.weights)
    one, two = "model.time_embed.0.weight", "model.time_embed.2.weight"
    if mistake == "swapped keys":
        weights[one], weights[two] = weights[two], weights[one]
    else:
        weights[one] = weights[one].T.contiguous()
    with pytest.raises(AssertionError, match="predicted_x0: error"):
        case.assert_close("predicted_x0", predict(load_case(case, tmp_path, weights), case))


def not_causal(model: Prior) -> None:
    model.transformer.causal_attention_mask = torch.zeros_like(model.transformer.causal_attention_mask)


def quick_gelu(model: Prior) -> None:
    for block in model.transformer.transformer_blocks:
        block.ff.net[0].gelu = lambda h: h * torch.sigmoid(1.702 * h)


@pytest.mark.parametrize("change", [not_causal, quick_gelu])
def test_small_mistakes_in_the_network_would_be_caught(change: Callable, parity, tmp_path: Path) -> None:
    case = parity("karlo_prior")
    model = load_case(case, tmp_path)
    change(model)
    with pytest.raises(AssertionError, match="predicted_x0: error"):
        case.assert_close("predicted_x0", predict(model, case))


def test_padding_is_hidden(parity, tmp_path: Path) -> None:
    case = parity("karlo_prior")
    model = load_case(case, tmp_path)
    cond = conditions(case)[0]
    cond["text_mask"] = torch.ones_like(cond["text_mask"])
    with pytest.raises(AssertionError, match="predicted_x0: error"):
        case.assert_close("predicted_x0", model(case.inputs["x"], case.inputs["timesteps"], cond))


def full_header(shapes: Mapping[str, Any], **options: Any) -> Header:
    sized = {key: tuple(shape) for key, shape in shapes.items()}
    return Header(Path("full"), "safetensors", sized, dict.fromkeys(sized, torch.float16), **options)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_full_size_model_has_exactly_the_published_tensors(name: str, parity) -> None:
    manifest = json.loads(parity(name).metadata["keys_full_model"])
    shapes = {key.removeprefix("model."): tuple(shape) for key, shape in manifest.items()}
    identity = FAMILY.recognise(full_header(shapes), {})
    assert identity is not None and identity.assumed == ()
    assert identity.spec == PRIORS["karlo or kandinsky-2.1"] and identity.variant == "karlo or kandinsky-2.1"
    with torch.device("meta"):
        assert published_shapes(Prior(identity.spec), FAMILY.key_map_of(identity)) == shapes


@pytest.mark.parametrize("name", PARAMETERS)
def test_full_size_models_have_the_published_number_of_parameters_in_both_layouts(name: str) -> None:
    with torch.device("meta"):
        model = Prior(PRIORS[name])
    assert sum(value.numel() for value in model.parameters()) == PARAMETERS[name]
    for key_map in (FAMILY.key_map, FAMILY.layouts["diffusers"]):
        identity = FAMILY.recognise(full_header(published_shapes(model, key_map(model.spec))), {})
        assert identity is not None and identity.variant == name and FAMILY.key_map_of(identity) is not None


def test_half_precision_takes_and_gives_float32(parity, tmp_path: Path) -> None:
    case = parity("karlo_prior")
    full = load_case(case, tmp_path)
    half = load(tmp_path / "prior.ckpt", stated=case.config["model"], dtype=torch.bfloat16)
    output = predict(half, case)
    expected = predict(full, case)
    assert output.dtype == torch.float32 and (output - expected).abs().max() < 0.1 * expected.abs().max()
    assert full.digest() != half.digest()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("xf_heads", lambda heads, width: width + 1, "heads does not fit; expected a divisor of"),
        ("xf_final_ln", lambda *_: False, "no published unCLIP network has xf_final_ln=False; expected True"),
        ("xf_width", lambda width, _: 2 * width, "contradicts the stated width; expected .*, from its tensors; got"),
        ("depth", lambda *_: 3, "unknown field 'depth'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, change: Callable, message: str, parity, tmp_path: Path) -> None:
    case = parity("karlo_prior")
    save_file(case.weights, tmp_path / "prior")
    options = case.config["model"]
    with pytest.raises(GlidewireError, match=message):
        identify(tmp_path / "prior", stated={**options, name: change(options.get(name), options["xf_width"])})


def test_wrong_conditions_are_refused_by_name(parity, tmp_path: Path) -> None:
    case = parity("karlo_prior")
    model = load_case(case, tmp_path)
    cond, width = conditions(case)[0], model.spec.text_width
    with pytest.raises(GlidewireError, match=rf"text_states does not fit; expected batch x .* x {width}; got"):
        model.prepare({**cond, "text_states": cond["text_states"][..., 1:]})
    with pytest.raises(GlidewireError, match=r"text_mask does not fit; .* got nothing"):
        model.prepare({name: value for name, value in cond.items() if name != "text_mask"})
    with pytest.raises(GlidewireError, match="x_t does not fit"):
        model(case.inputs["x"][:, 1:], case.inputs["timesteps"], cond)
    with pytest.raises(GlidewireError, match=r"does not carry the statistics.*Load the file of statistics"):
        model.picture_embedding(case.inputs["x"])


def test_a_prior_without_a_layer_is_refused(parity, tmp_path: Path) -> None:
    weights = dict(parity("karlo_prior").weights)
    del weights["model.text_enc_proj.weight"]
    save_file(weights, tmp_path / "prior")
    with pytest.raises(GlidewireError, match=r"not a whole diffusion prior: 'text_enc_proj\.weight' is missing"):
        identify(tmp_path / "prior")


def test_the_spec_refuses_what_cannot_be_built() -> None:
    with pytest.raises(GlidewireError, match="layers does not fit; expected a positive number; got 0"):
        PriorSpec(layers=0)


@given(data=st.data())
def test_shapes_of_any_kind_raise_nothing_but_our_error(data) -> None:
    spec = PriorSpec(width=8, layers=1, heads=2, text_context=3, text_width=5, embedding_width=5)
    layout = data.draw(st.sampled_from(["published", "diffusers"]))
    shapes = tiny_shapes(replace(spec, carries_statistics=layout == "diffusers"), layout)
    sizes = st.lists(st.integers(0, 70), max_size=4).map(tuple)
    changed = data.draw(st.dictionaries(st.sampled_from(sorted(shapes)), sizes, min_size=1))
    gone = data.draw(st.sets(st.sampled_from(sorted(shapes)), max_size=2))
    try:
        FAMILY.recognise(full_header({key: size for key, size in {**shapes, **changed}.items() if key not in gone}), {})
    except GlidewireError as error:
        assert str(error)


@cache
def tiny_shapes(spec: PriorSpec, layout: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return published_shapes(Prior(spec), prior_key_map(spec, layout))
