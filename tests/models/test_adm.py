"""The shared U-Net layout covers diffusers' U-Net exactly, at any depth and with attention anywhere."""

from __future__ import annotations

import pytest
import torch
from glidewire.models.adm import unet_key_map
from glidewire.models.glide.network import build_unet
from glidewire.models.glide.spec import GlideSpec
from glidewire.models.key_map import published_shapes
from hypothesis import given, settings
from hypothesis import strategies as st


@st.composite
def specs(draw: st.DrawFn) -> GlideSpec:
    factors = (1, *draw(st.lists(st.integers(1, 3), max_size=3)))
    sides = [64 >> level for level in range(len(factors))]
    return GlideSpec(
        model_channels=8,
        channel_mult=factors,
        num_res_blocks=draw(st.integers(1, 3)),
        attention_resolutions=tuple(draw(st.sets(st.sampled_from(sides)))),
        num_head_channels=4,
        norm_groups=4,
        text_width=8,
    )


@given(spec=specs())
@settings(max_examples=25, deadline=None)
def test_every_tensor_has_one_place(spec: GlideSpec) -> None:
    with torch.device("meta"):
        unet = build_unet(spec)
    entries = unet_key_map(spec.widths, spec.attention_levels, spec.num_res_blocks, spec.num_head_channels, prefix="")
    # published_shapes itself asserts that each of the U-Net's tensors is mapped and no other.
    shapes = published_shapes(unet, entries)
    assert len(shapes) == len(entries)
    blocks = {key.split(".")[1] for key in shapes if key.startswith("output_blocks.")}
    assert len(blocks) == len(spec.widths) * (spec.num_res_blocks + 1)
    attention = [key for key in shapes if key.endswith(".qkv.weight")]
    per_level = 2 * spec.num_res_blocks + 1
    assert len(attention) == 1 + per_level * sum(spec.attention_levels)


def test_a_map_of_another_network_is_noticed() -> None:
    spec = GlideSpec(
        model_channels=8, channel_mult=(1, 2), attention_resolutions=(32,), num_head_channels=4, norm_groups=4
    )
    with torch.device("meta"):
        unet = build_unet(spec)
    entries = unet_key_map(spec.widths, (True, True), spec.num_res_blocks, 4, prefix="")
    with pytest.raises(AssertionError, match="key map and module differ"):
        published_shapes(unet, entries)
