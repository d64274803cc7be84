"""GLIDE's spec: what cannot be built is refused by name, and its JSON is read back exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from glidewire.errors import GlidewireError
from glidewire.models.glide.spec import GlideSpec
from glidewire.models.hyper_parameters import SPEC, carried, to_json


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


def test_json_round_trip_and_its_errors(make_spec: Callable[..., GlideSpec]) -> None:
    def read(text: str) -> GlideSpec:
        return GlideSpec(**carried(GlideSpec, {SPEC: text}, family="glide", where="m.pt"))

    spec = make_spec("inpaint")
    assert read(to_json("glide", spec)) == spec
    with pytest.raises(GlidewireError, match=r"m.pt: glidewire.spec is not JSON"):
        read("{")
    for other in ('{"family": "paella"}', "[]", "3"):
        with pytest.raises(GlidewireError, match=r"glidewire.spec is another family's; expected .*\"glide\""):
            read(other)
