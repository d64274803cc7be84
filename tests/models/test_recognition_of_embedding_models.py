"""Recognition of CLIP and the priors: whatever shapes a file has, the answer is one in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.autoregressive_prior.spec import AutoregressivePriorSpec
from glidewire.models.clip.spec import ClipImageSpec, ClipSpec
from glidewire.models.clip_text.spec import ClipTextSpec
from glidewire.models.dalle2_pytorch.spec import DiffusionPriorSpec
from glidewire.models.header import Header
from glidewire.models.key_map import published_shapes
from glidewire.models.noised_clip.spec import NoisedImageSpec, NoisedTextSpec
from glidewire.models.registry import Identity, families
from hypothesis import given, settings
from hypothesis import strategies as st

IMAGE = ClipImageSpec(8, 4, 64, 2, 1, 128, False, 12)
TEXT = ClipTextSpec(30, 7, 64, 2, 1, 128, False, 12, 0, 0)
SPECS = {
    "clip": [(ClipSpec(IMAGE, TEXT), "published"), (ClipSpec(IMAGE, TEXT), "transformers"), (IMAGE, "published")],
    "noised_clip": [
        (NoisedImageSpec(8, 4, 64, 2, 1, 128, 12, 10), "published"),
        (NoisedTextSpec(7, 30, 64, 2, 1, 128, 12), "published"),
    ],
    "dalle2_pytorch": [(DiffusionPriorSpec(16, 2, 2, 8, 32, 5, 10, 32, 8), "published")],
    "autoregressive_prior": [(AutoregressivePriorSpec(8, 5, 12, 4, 3, 6, 64, 2, 1, 128), "published")],
}


def header(shapes: Mapping[str, tuple[int, ...]]) -> Header:
    return Header(Path("m.safetensors"), "safetensors", dict(shapes), dict.fromkeys(shapes, torch.float32), {}, {
        key: (key,) for key in shapes
    })  # fmt: skip


def shapes_of(family: str) -> list[dict[str, tuple[int, ...]]]:
    room, found = families()[family], []
    for spec, layout in SPECS[family]:
        with torch.device("meta"):
            module = room.build(spec)
        found.append(published_shapes(module, room.layouts.get(layout, room.key_map)(spec)))
    return found


@pytest.fixture(scope="module")
def all_shapes() -> dict[str, list[dict[str, tuple[int, ...]]]]:
    return {family: shapes_of(family) for family in SPECS}


@pytest.mark.parametrize("family", SPECS)
def test_each_is_told_by_its_own_family_alone(family: str, all_shapes) -> None:
    for shapes, (spec, layout) in zip(all_shapes[family], SPECS[family], strict=True):
        told = {}
        for name, room in families().items():
            identity = room.recognise(header(shapes), {})
            if identity is not None:
                told[name] = identity
        assert set(told) == {family}
        identity = told[family]
        assert identity.layout == layout
        # What shapes do not tell was assumed, and is named.
        assert identity.spec == spec or identity.assumed
        assert all(size > 0 for size in identity.dims.values())


@settings(deadline=None, max_examples=60)
@given(data=st.data())
@pytest.mark.parametrize("family", SPECS)
def test_shapes_of_any_kind_raise_nothing_but_our_error(family: str, all_shapes, data) -> None:
    shapes = data.draw(st.sampled_from(all_shapes[family]))
    keys = sorted(shapes)
    changed = data.draw(
        st.dictionaries(st.sampled_from(keys), st.lists(st.integers(0, 70), max_size=4).map(tuple), max_size=6)
    )
    gone = data.draw(st.sets(st.sampled_from(keys), max_size=4))
    mangled = {key: shape for key, shape in {**shapes, **changed}.items() if key not in gone}
    try:
        identity = families()[family].recognise(header(mangled), {})
    except GlidewireError as error:
        assert str(error)
    else:
        assert identity is None or isinstance(identity, Identity)
