"""GLIDE's spec: the shapes tell it, metadata and the user complete it, contradictions are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.glide.checkpoint import key_map
from glidewire.models.glide.network import GlideTextToImage
from glidewire.models.glide.spec import PUBLISHED, UNTOLD, GlideSpec, infer_spec, stated_values
from glidewire.models.key_map import published_shapes

CASES = ["glide_base", "glide_base_inpaint", "glide_upsample", "glide_upsample_inpaint"]


def shapes_of(spec: GlideSpec) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return published_shapes(GlideTextToImage(spec), key_map(spec))


@pytest.mark.parametrize(("variant", "case"), zip(PUBLISHED, CASES, strict=True))
def test_the_published_models_have_exactly_the_published_keys(variant: str, case: str, parity) -> None:
    manifest = json.loads(parity(case).metadata["keys_full_model"])
    published = {key: tuple(shape) for key, shape in manifest.items()}
    assert shapes_of(PUBLISHED[variant]) == published
    assert infer_spec(published) == (PUBLISHED[variant], ())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"variant": "upsample-inpaint", "schedule": "linear"},
        {"channel_mult": (1, 1, 2, 2), "image_size": 32, "attention_resolutions": (32, 8)},
        {"channel_mult": (1,), "attention_resolutions": ()},
        {"num_res_blocks": 3, "out_channels": 3, "text_layers": 1, "channel_mult": (1, 2, 3)},
    ],
)
def test_shapes_tell_all_but_what_is_listed(make_spec: Callable[..., GlideSpec], changes: dict) -> None:
    spec = make_spec(**changes)
    untold = {name: getattr(spec, name) for name in UNTOLD}
    assert infer_spec(shapes_of(spec), stated=untold) == (spec, ())


def test_what_nothing_tells_is_assumed_and_said(make_spec: Callable[..., GlideSpec]) -> None:
    spec = make_spec(model_channels=64, norm_groups=32, num_head_channels=32, text_width=64)
    found, assumed = infer_spec(shapes_of(spec), stated={"num_head_channels": 32})
    assert assumed == ("image_size", "text_heads", "norm_groups", "schedule")
    assert (found.image_size, found.attention_resolutions, found.text_heads) == (64, (32,), 8)
    assert found.attention_levels == spec.attention_levels


def test_the_published_option_names_are_understood(parity) -> None:
    case = parity("glide_upsample_inpaint")
    stated = stated_values(case.config)
    spec, _ = infer_spec({key: tuple(value.shape) for key, value in case.weights.items()}, stated=stated)
    assert spec.num_head_channels == case.config["num_head_channels"]
    assert spec.text_heads == case.config["xf_heads"]
    assert spec.schedule == case.config["noise_schedule"]
    sides = {spec.image_size >> level for level in range(len(spec.channel_mult))}
    named = {int(side) for side in case.config["attention_resolutions"].split(",")}
    assert set(spec.attention_resolutions) == named & sides


def test_what_is_stated_may_not_contradict_the_tensors(make_spec: Callable[..., GlideSpec]) -> None:
    spec = make_spec()
    with pytest.raises(GlidewireError, match=r"contradicts the stated text_context; expected 8, .*; got 77"):
        infer_spec(shapes_of(spec), stated={**asdict(spec), "text_context": 77})


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"heads": 3}, "unknown field 'heads'"),
        ({"image_size": "64"}, "image_size has the wrong type; expected int; got '64'"),
        ({"image_size": True}, "image_size has the wrong type"),
        ({"channel_mult": [1, "2"]}, "channel_mult has the wrong type"),
        ({"use_scale_shift_norm": False}, "no GLIDE network has use_scale_shift_norm=False"),
    ],
)
def test_stated_values_are_checked(stated: dict, message: str) -> None:
    with pytest.raises(GlidewireError, match=message):
        stated_values(stated)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_head_channels": 24}, "num_head_channels does not fit; expected a divisor of 32; got 24"),
        ({"norm_groups": 5}, "norm_groups does not fit; expected a divisor of 16"),
        ({"text_heads": 3}, "text_heads does not fit; expected a divisor of 16"),
        ({"image_size": 15}, "image_size does not fit; expected a multiple of 2"),
        ({"attention_resolutions": (5,)}, "attention_resolutions does not fit"),
        ({"schedule": "cosine-ish"}, "schedule does not fit; expected one of .*squaredcos_cap_v2"),
        ({"variant": "sharpen"}, "variant does not fit"),
        ({"out_channels": 4}, "out_channels does not fit"),
        ({"channel_mult": ()}, "channel_mult does not fit"),
        ({"channel_mult": (2, 4)}, "channel_mult does not fit; expected positive numbers, the first of them 1"),
        ({"text_layers": 0}, "text_layers does not fit; expected a positive number"),
    ],
)
def test_impossible_specs_are_refused(make_spec: Callable[..., GlideSpec], change: dict, message: str) -> None:
    with pytest.raises(GlidewireError, match=message):
        replace(make_spec(), **change)


def test_shapes_of_other_networks_are_refused(make_spec: Callable[..., GlideSpec]) -> None:
    shapes = shapes_of(make_spec())
    with pytest.raises(GlidewireError, match=r"first convolution that no GLIDE variant has; expected .* got 4"):
        infer_spec({**shapes, "input_blocks.0.0.weight": (16, 4, 3, 3)})
    del shapes["positional_embedding"]
    with pytest.raises(GlidewireError, match="key 'positional_embedding' is missing"):
        infer_spec(shapes)


def test_json_round_trip_and_its_errors(make_spec: Callable[..., GlideSpec]) -> None:
    spec = make_spec("inpaint")
    assert GlideSpec.from_json(spec.to_json()) == spec
    with pytest.raises(GlidewireError, match="spec is not JSON"):
        GlideSpec.from_json("{")
    for other in ('{"family": "paella"}', "[]", "3"):
        with pytest.raises(GlidewireError, match="spec is not a GLIDE spec"):
            GlideSpec.from_json(other)
