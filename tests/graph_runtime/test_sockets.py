from __future__ import annotations

from typing import Annotated, Any, NewType, TypeVar

import pytest
from glidewire.graph_runtime.sockets import (
    ANY,
    FLOAT,
    INT,
    STRING,
    Dims,
    Socket,
    all_types,
    by_id,
    fits,
    socket_type,
    types_of,
)
from hypothesis import given
from hypothesis import strategies as st

Wave = NewType("Wave", list)
Tone = NewType("Tone", list)


def test_a_type_is_registered_once_and_found_by_id_and_annotation():
    wave = socket_type("SOCKETS_WAVE", Wave, "A wave.", handle=True)
    assert socket_type("SOCKETS_WAVE", Wave, "A wave.", handle=True) == wave
    assert by_id("SOCKETS_WAVE") is wave
    assert by_id("SOCKETS_NOTHING") is None
    assert types_of(Wave) == (wave,)
    assert wave in list(all_types())


def test_a_second_registration_must_say_the_same():
    socket_type("SOCKETS_TONE", Tone, "A tone.")
    for id, python in (("SOCKETS_TONE", Wave), ("SOCKETS_OTHER_TONE", Tone)):  # noqa: A001
        with pytest.raises(ValueError, match=f"socket type {id} for .* is already registered"):
            socket_type(id, python, "A tone.")


def test_annotations_are_read():
    assert types_of(int) == (INT,)
    assert types_of(Any) == (ANY,)
    assert types_of(TypeVar("T")) == (ANY,)
    assert types_of(int | str) == (INT, STRING)
    assert types_of(int | float | str) == (INT, FLOAT, STRING)


def test_an_unknown_annotation_is_refused():
    with pytest.raises(TypeError, match="is no registered socket type; register it with socket_type"):
        types_of(complex)


def test_a_socket_is_its_type_with_dims():
    assert Socket[int, "batch 3"] == Annotated[int, Dims("batch 3")]


@pytest.mark.parametrize(
    ("source", "target", "result"),
    [
        ("INT", "INT", True),
        ("INT", "FLOAT", True),
        ("FLOAT", "INT", False),
        ("COMBO", "STRING", True),
        ("STRING", "COMBO", True),
        ("BOOLEAN", "INT", False),
        ("INT", "BOOLEAN", False),
        ("INT", "STRING", False),
        ("*", "LATENT", True),
        ("LATENT", "*", True),
    ],
)
def test_what_fits(source, target, result):
    assert fits([source], [target]) is result


KINDS = st.sets(st.sampled_from(["INT", "FLOAT", "STRING", "COMBO", "BOOLEAN", "A", "B"]), min_size=1)


@given(KINDS, KINDS)
def test_a_union_fits_where_one_arm_does(source, target):
    assert fits(source, target) == any(fits([one], [other]) for one in source for other in target)
