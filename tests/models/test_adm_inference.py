"""What shapes tell of the shared U-Net, in both layouts, whatever its depth; and what they refuse to tell."""

from __future__ import annotations

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.adm import unet_key_map
from glidewire.models.adm_inference import told_by_shapes
from glidewire.models.key_map import published_shapes, unprefixed
from glidewire.models.text_image_unet import text_image_unet
from hypothesis import given, settings
from hypothesis import strategies as st

CHANNELS = 8


def shapes_of(factors: tuple[int, ...], attends: list[bool], num_res_blocks: int, layout: str) -> dict:
    widths = [CHANNELS * factor for factor in factors]
    with torch.device("meta"):
        unet = text_image_unet(
            in_channels=4,
            out_channels=6,
            widths=widths,
            attention_levels=attends,
            num_res_blocks=num_res_blocks,
            num_head_channels=4,
            norm_groups=4,
            text_width=8,
        )
    key_map = unet_key_map(widths, attends, num_res_blocks, 4, prefix="")
    return published_shapes(unet, key_map if layout == "published" else unprefixed(key_map, ""))


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_both_layouts_tell_the_whole_unet(data) -> None:
    factors = (1, *data.draw(st.lists(st.integers(1, 3), max_size=2)))
    attends = data.draw(st.lists(st.booleans(), min_size=len(factors), max_size=len(factors)))
    num_res_blocks = data.draw(st.integers(1, 3))
    shapes = shapes_of(factors, attends, num_res_blocks, data.draw(st.sampled_from(["published", "diffusers"])))
    assert told_by_shapes(shapes, where="file") == {
        "in_channels": 4,
        "out_channels": 6,
        "model_channels": CHANNELS,
        "channel_mult": factors,
        "num_res_blocks": num_res_blocks,
        "attention_levels": tuple(level for level, attending in enumerate(attends) if attending),
    }


@pytest.mark.parametrize(
    ("layout", "first", "last"),
    [
        ("published", "input_blocks.1.0.out_layers.3.weight", "out.2.weight"),
        ("diffusers", "down_blocks.0.resnets.0.conv1.weight", "conv_out.weight"),
    ],
)
def test_what_is_no_such_unet_is_refused_by_name(layout: str, first: str, last: str) -> None:
    shapes = shapes_of((1, 2), [False, True], 1, layout)
    incomplete = {key: shape for key, shape in shapes.items() if key != last}
    with pytest.raises(GlidewireError, match=f"file is not a whole U-Net: key '{last}' is missing"):
        told_by_shapes(incomplete, where="file")
    with pytest.raises(GlidewireError, match="file is not a U-Net of this kind: its tensors have other dimensions"):
        told_by_shapes({**shapes, first: (CHANNELS + 1, CHANNELS, 3, 3)}, where="file")
    with pytest.raises(GlidewireError, match="its tensors have other dimensions"):
        told_by_shapes({}, where="file")
