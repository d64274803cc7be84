"""Hyper-parameters that a file carries: what is written is read back, and nothing else is believed."""

from __future__ import annotations

import pytest
from glidewire.errors import GlidewireError
from glidewire.models.first_stage.spec import FirstStageSpec
from glidewire.models.hyper_parameters import SPEC, carried, to_json
from hypothesis import given
from hypothesis import strategies as st


@given(st.sampled_from([8, 16]), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.floats(0.01, 10))
def test_what_is_written_is_read_back(channels: int, factors: list[int], scale: float) -> None:
    spec = FirstStageSpec(channels=channels, channel_mult=tuple(factors), norm_groups=8, latent_scale=scale)
    found = carried(FirstStageSpec, {SPEC: to_json("first_stage", spec)}, family="first_stage", where="x")
    assert FirstStageSpec(**found) == spec


def test_a_file_without_them_carries_none() -> None:
    assert carried(FirstStageSpec, {}, family="first_stage", where="x") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"file x: glidewire.spec is not JSON"),
        ("[]", r"another family's.*first_stage"),
        ('{"family": "glide"}', r"another family's.*first_stage"),
        ('{"family": "first_stage", "colour": 1}', r"unknown field 'colour'"),
        ('{"family": "first_stage", "channels": "many"}', r"channels has the wrong type.*int"),
    ],
)
def test_what_is_no_spec_is_named(text: str, message: str) -> None:
    with pytest.raises(GlidewireError, match=message):
        carried(FirstStageSpec, {SPEC: text}, family="first_stage", where="file x")
