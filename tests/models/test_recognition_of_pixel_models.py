"""Recognition of pixel denoisers, directions, IF and T5: whatever shapes a file has, the answer is one in words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.asyrp.spec import DeltaBlockSpec, DeltaTensorSpec, PixelUnetSpec
from glidewire.models.header import Header
from glidewire.models.imagen.spec import ImagenSpec
from glidewire.models.imagen.t5 import T5Spec
from glidewire.models.key_map import published_shapes
from glidewire.models.registry import Identity, families
from hypothesis import given, settings
from hypothesis import strategies as st

PIXELS = {"model_channels": 32, "channel_mult": (1, 2), "num_res_blocks": 1, "attention_levels": (1,)}
STAGE = {
    "model_channels": 32, "channel_mult": (1, 2), "attention_levels": (1,), "num_head_channels": 16, "text_width": 64,
    "context_width": 32, "time_width": 64,
}  # fmt: skip
CASES = {
    "ddpm": ("asyrp", PixelUnetSpec(**PIXELS), "published"),
    "guided": ("asyrp", PixelUnetSpec("guided", out_channels=6, num_head_channels=64, **PIXELS), "published"),
    "block": ("asyrp", DeltaBlockSpec("guided", 2, 32, 48), "published"),
    "tensors": ("asyrp", DeltaTensorSpec((0, 512, 999), (6, 2, 2)), "published"),
    "stage I": ("imagen", ImagenSpec(num_res_blocks=(2, 1), **STAGE), "published"),
    "stage II": (
        "imagen",
        ImagenSpec(True, 6, num_res_blocks=(1, 2), self_attention=False, residual_scale=1 / 0.7071, **STAGE),
        "published",
    ),
    "stage I of diffusers": ("imagen", ImagenSpec(num_res_blocks=(2, 1), **STAGE), "diffusers"),
    "T5": ("imagen", T5Spec(40, 12, 2, 2, 4, 20, True, 8), "published"),
}
# What no shape tells is taken from the published models.
STATED = {"stage I": {"num_head_channels": 16}, "stage I of diffusers": {"num_head_channels": 16}}
STATED["stage II"] = STATED["stage I"]


def header(shapes: Mapping[str, tuple[int, ...]]) -> Header:
    kinds, places = dict.fromkeys(shapes, torch.float32), {key: (key,) for key in shapes}
    return Header(Path("m.safetensors"), "safetensors", dict(shapes), kinds, {}, places)


@cache
def shapes_of(case: str) -> dict[str, tuple[int, ...]]:
    family, spec, layout = CASES[case]
    room = families()[family]
    with torch.device("meta"):
        module = room.build(spec)
    return published_shapes(module, room.layouts.get(layout, room.key_map)(spec))


@pytest.mark.parametrize("case", CASES)
def test_shapes_tell_the_spec_to_its_own_family_alone(case: str) -> None:
    family, spec, layout = CASES[case]
    shapes = header(shapes_of(case))
    identity = families()[family].recognise(shapes, STATED.get(case, {}))
    assert identity is not None and identity.layout == layout
    for name in ("channel_mult", "num_res_blocks", "attention_levels", "kind", "heads", "timesteps", "self_attention"):
        assert getattr(identity.spec, name, None) == getattr(spec, name, None)
    for name, room in families().items():
        if name != family:
            assert room.recognise(shapes, {}) is None, name


@settings(max_examples=60, deadline=None)
@given(case=st.sampled_from(sorted(CASES)), data=st.data())
def test_any_shapes_are_answered_in_words(case: str, data: st.DataObject) -> None:
    shapes = dict(shapes_of(case))
    for key in data.draw(st.lists(st.sampled_from(sorted(shapes)), max_size=4, unique=True)):
        shape = data.draw(st.none() | st.lists(st.integers(0, 70), max_size=5).map(tuple))
        if shape is None:
            del shapes[key]
        else:
            shapes[key] = shape
    room = families()[CASES[case][0]]
    try:
        identity = room.recognise(header(shapes), STATED.get(case, {}))
    except GlidewireError as problem:
        assert str(problem)
    else:
        assert identity is None or isinstance(identity, Identity)
