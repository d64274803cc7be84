"""Which GLIDE it is: the shapes tell it, metadata and the user complete it, contradictions are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.glide.checkpoint import key_map
from glidewire.models.glide.inference import UNTOLD, infer_spec, stated_values
from glidewire.models.glide.network import GlideTextToImage
from glidewire.models.glide.spec import PUBLISHED, GlideSpec
from glidewire.models.key_map import published_shapes
from hypothesis import given
from hypothesis import strategies as st

CASES = ["glide_base", "glide_base_inpaint", "glide_upsample", "glide_upsample_inpaint"]


@cache
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


def test_shapes_of_other_networks_are_refused(make_spec: Callable[..., GlideSpec]) -> None:
    shapes = shapes_of(make_spec())
    with pytest.raises(GlidewireError, match=r"first convolution that no GLIDE variant has; expected .* got 4"):
        infer_spec({**shapes, "input_blocks.0.0.weight": (16, 4, 3, 3)})
    shapes = {key: shape for key, shape in shapes.items() if key != "positional_embedding"}
    with pytest.raises(GlidewireError, match="key 'positional_embedding' is missing"):
        infer_spec(shapes)


@given(data=st.data())
def test_shapes_of_any_kind_raise_nothing_but_our_error(make_spec: Callable[..., GlideSpec], data) -> None:
    shapes = shapes_of(make_spec())
    telling = [key for key in shapes if "embedding" in key or key.endswith(("0.0.weight", "3.weight", "out.2.weight"))]
    changed = data.draw(
        st.dictionaries(st.sampled_from(telling), st.lists(st.integers(0, 70), max_size=4).map(tuple), min_size=1)
    )
    gone = data.draw(st.sets(st.sampled_from(telling), max_size=2))
    mangled = {key: shape for key, shape in {**shapes, **changed}.items() if key not in gone}
    try:
        infer_spec(mangled)
    except GlidewireError as error:
        assert str(error)
