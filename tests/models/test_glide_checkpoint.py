"""GLIDE's checkpoints, through the same way as a user's file: save, identify, load strictly, compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import StrictLoadError, identify, load
from glidewire.models.glide import checkpoint as glide
from glidewire.models.glide.network import GlideTextToImage
from glidewire.models.glide.spec import GlideSpec
from glidewire.models.glide.tokenizer import GlideTokenizer
from glidewire.models.hyper_parameters import SPEC, to_json
from glidewire.models.key_map import Entry, head_major
from safetensors.torch import load_file, save_file

CASES = ["glide_base", "glide_base_inpaint", "glide_upsample", "glide_upsample_inpaint"]
PICTURES = ("low_res", "inpaint_image", "inpaint_mask")


def load_case(case: Any, folder: Path) -> GlideTextToImage:
    """The case's weights as a user with a self-trained model has them: a torch file and its options."""
    path = folder / f"{case.path.stem}.pt"
    torch.save(case.weights, path)
    return load(path, stated=case.config)


def conditioning(model: GlideTextToImage, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    pictures = {name: inputs[name] for name in PICTURES if name in inputs}
    return {**model.encode_text(inputs["tokens"], inputs["mask"]), **pictures}


def run(model: GlideTextToImage, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(inputs["x"], inputs["timesteps"], conditioning(model, inputs))


@pytest.mark.parametrize("name", CASES)
def test_output_equals_the_published_implementation(name: str, parity, tmp_path: Path) -> None:
    case = parity(name)
    model, inputs = load_case(case, tmp_path), case.inputs
    given = conditioning(model, inputs)
    case.assert_close("xf_proj", given["text_embedding"])
    case.assert_close("xf_out", given["text_states"].transpose(1, 2))
    output = model(inputs["x"], inputs["timesteps"], given)
    case.assert_close("model_output", output)
    case.assert_close("model_output", model(inputs["x"], inputs["timesteps"], model.prepare(given)))
    if "eps" in case.outputs:
        case.assert_close("eps", output[:, :3])
        case.assert_close("var_values", output[:, 3:])
    if "model_output_pair_t1" in case.outputs:
        pair = case.outputs["model_output_pair_t1"].shape[0]
        rows = {key: value[:pair] for key, value in given.items()}
        later = inputs["timesteps"][-1:].expand(pair)
        case.assert_close("model_output_pair_t1", model(inputs["x"][:pair], later, rows))
    if "model_output_rect" in case.outputs:
        rows = {key: value[: len(inputs["x_rect"])] for key, value in given.items()}
        case.assert_close("model_output_rect", model(inputs["x_rect"], inputs["timesteps_rect"], rows))
    if "model_output_no_inpaint" in case.outputs:
        without = {key: value for key, value in given.items() if not key.startswith("inpaint")}
        case.assert_close("model_output_no_inpaint", model(inputs["x"], inputs["timesteps"], without))
    if "model_output_low_res_odd" in case.outputs:
        odd = {**given, "low_res": inputs["low_res_odd"]}
        case.assert_close("model_output_low_res_odd", model(inputs["x"], inputs["timesteps"], odd))


def part_major(source: str, targets: list[str], channels: int) -> tuple[Entry, ...]:
    """Another published family's order: rows are [part][head][channel]."""

    def split(value: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (value.squeeze(-1) if value.ndim == 3 else value).chunk(len(targets))

    return tuple(replace(entry, split=split) for entry in head_major(source, targets, channels))


def norms_of(epsilon: float) -> Callable[[GlideTextToImage], None]:
    def change(model: GlideTextToImage) -> None:
        for module in model.modules():
            if isinstance(module, torch.nn.GroupNorm):
                module.eps = epsilon

    return change


def sine_first(model: GlideTextToImage) -> None:
    model.unet.time_proj.flip_sin_to_cos = False


def test_a_loader_with_the_wrong_row_order_would_be_caught(parity, tmp_path: Path, monkeypatch) -> None:
    case = parity("glide_upsample_inpaint")
    monkeypatch.setattr("glidewire.models.adm.head_major", part_major)
    model = load_case(case, tmp_path)
    with pytest.raises(AssertionError, match="model_output: error"):
        case.assert_close("model_output", run(model, case.inputs))


@pytest.mark.parametrize("change", [norms_of(1e-6), sine_first], ids=["GroupNorm eps", "sine first"])
def test_small_mistakes_in_the_network_would_be_caught(change, parity, tmp_path: Path) -> None:
    case = parity("glide_upsample_inpaint")
    model = load_case(case, tmp_path)
    change(model)
    with pytest.raises(AssertionError, match="model_output: error"):
        case.assert_close("model_output", run(model, case.inputs))


@pytest.mark.parametrize(
    "mistake",
    [
        lambda inputs: {"mask": ~inputs["mask"]},
        lambda inputs: {"inpaint_mask": 1 - inputs["inpaint_mask"]},
    ],
    ids=["text", "known pixels"],
)
def test_masks_of_the_other_sense_would_be_caught(mistake, parity, tmp_path: Path) -> None:
    case = parity("glide_upsample_inpaint")
    model = load_case(case, tmp_path)
    with pytest.raises(AssertionError, match="model_output: error"):
        case.assert_close("model_output", run(model, {**case.inputs, **mistake(case.inputs)}))


@pytest.mark.parametrize("variant", ["base", "inpaint", "upsample", "upsample-inpaint"])
def test_what_is_saved_is_identified_and_loaded_again(
    variant: str, make_spec: Callable[..., GlideSpec], make_model: Callable[..., GlideTextToImage], tmp_path: Path
) -> None:
    model = make_model(make_spec(variant))
    glide.save(model, tmp_path / "m", metadata={"card": "tiny"})
    identity = identify(tmp_path / "m")
    assert (identity.family, identity.component, identity.variant) == ("glide", "text_to_image", variant)
    assert identity.spec == model.spec and identity.assumed == ()
    assert identity.dims["text_width"] == model.spec.text_width
    assert identity.header.metadata["card"] == "tiny"
    again = load(tmp_path / "m")
    assert not again.training and not any(value.requires_grad for value in again.parameters())
    expected = model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in again.state_dict().items())


def test_loading_in_inference_mode_gives_usable_weights(saved: Path) -> None:
    with torch.inference_mode():
        model = load(saved)
    assert not any(value.is_inference() for value in model.parameters())


def test_dtype_is_chosen_while_loading(saved: Path) -> None:
    assert {value.dtype for value in load(saved, dtype=torch.bfloat16).parameters()} == {torch.bfloat16}
    assert {value.dtype for value in load(saved, dtype=None).parameters()} == {torch.float32}


def test_a_half_precision_file_is_half_the_size(model: GlideTextToImage, saved: Path, tmp_path: Path) -> None:
    glide.save(model, tmp_path / "half", dtype=torch.float16)
    assert (tmp_path / "half").stat().st_size < 0.6 * saved.stat().st_size
    assert {value.dtype for value in load(tmp_path / "half").parameters()} == {torch.float32}


def test_digest_follows_content_reading_and_precision(saved: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(saved.read_bytes())
    digests = {load(saved).digest(), load(copy).digest()}
    assert len(digests) == 1
    digests.add(load(saved, dtype=torch.float16).digest())
    digests.add(load(saved, stated={"xf_heads": 4}).digest())
    tensors = load_file(saved)
    tensors["out.2.bias"] = tensors["out.2.bias"] + 1
    save_file(tensors, copy, metadata=identify(saved).header.metadata)
    digests.add(load(copy).digest())
    assert len(digests) == 4


def test_the_tokenizer_comes_with_the_checkpoint(
    saved: Path, tokenizer: GlideTokenizer, model: GlideTextToImage, tmp_path: Path
) -> None:
    assert glide.tokenizer(identify(saved)) == tokenizer
    glide.save(model, tmp_path / "bare")
    with pytest.raises(
        GlidewireError, match=r"vocabulary does not fit its token embedding; expected .*50257 from GPT-2"
    ):
        glide.tokenizer(identify(tmp_path / "bare"))


def test_a_missing_layer_is_told_and_nothing_is_loaded(saved: Path, tmp_path: Path) -> None:
    tensors = load_file(saved)
    tensors["input_blocks.3.1.qvk.weight"] = tensors.pop("input_blocks.3.1.proj_out.weight")
    save_file(tensors, tmp_path / "m", metadata=identify(saved).header.metadata)
    with pytest.raises(StrictLoadError, match=r"1 missing, 1 unexpected") as error:
        load(tmp_path / "m")
    assert error.value.missing == ("input_blocks.3.1.proj_out.weight",)


def test_files_of_no_family_are_refused_by_what_they_hold(tmp_path: Path) -> None:
    save_file({"conv.weight": torch.zeros(2, 2)}, tmp_path / "m")
    with pytest.raises(GlidewireError, match=r"no known family; expected one of glide.*; got 1 tensors, conv\.weight"):
        identify(tmp_path / "m")


def test_metadata_that_contradicts_the_tensors_is_refused(saved: Path, tmp_path: Path) -> None:
    spec = replace(identify(saved).spec, text_context=9)
    save_file(load_file(saved), tmp_path / "m", metadata={SPEC: to_json("glide", spec)})
    with pytest.raises(GlidewireError, match=r"contradicts the stated text_context; expected 8, .* got 9"):
        identify(tmp_path / "m")


def test_saving_where_one_cannot_leaves_nothing(model: GlideTextToImage, tmp_path: Path) -> None:
    with pytest.raises(GlidewireError, match="cannot be written"):
        glide.save(model, tmp_path / "absent" / "m.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(GlidewireError, match="cannot be written"):
        glide.save(model, tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
