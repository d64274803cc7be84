"""Values as tensors and plain JSON, and their digests."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from glidewire.graph_runtime import codec
from hypothesis import given
from hypothesis import strategies as st

_DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.uint8,
    torch.bool,
    torch.complex64,
]


@dataclass(frozen=True)
class Point:
    place: torch.Tensor
    name: str = "p"


class Span(NamedTuple):
    first: int
    last: float


codec.register(Point, "TestCodecPoint")
codec.register(Span, "TestCodecSpan")

_PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(max_size=8),
    st.builds(Span, st.integers(), st.floats()),
)
_VALUES = st.recursive(
    _PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.booleans()), inner, max_size=4),
    ),
    max_leaves=12,
)


def round_trip(value: Any) -> Any:
    tensors, structure = codec.encode(value)
    return codec.decode(tensors, json.loads(codec.canonical(structure)))


def identical(left: Any, right: Any) -> bool:
    """Equal in value and type, NaN to NaN, 0.0 not to -0.0."""
    return repr(left) == repr(right) and type(left) is type(right)


@given(_VALUES)
def test_plain_values_come_back_exactly(value: Any) -> None:
    back = round_trip(value)
    assert identical(value, back)
    assert codec.digest(back) == codec.digest(value)


@pytest.mark.parametrize("dtype", _DTYPES, ids=str)
def test_tensors_come_back_exactly(dtype: torch.dtype) -> None:
    tensor = (torch.randn(3, 4, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    back = round_trip({"x": tensor, "y": [tensor[1:], tensor.T]})
    assert back["x"].dtype == dtype and torch.equal(back["x"], tensor)
    assert torch.equal(back["y"][0], tensor[1:]) and torch.equal(back["y"][1], tensor.T)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1, 1, 1)])
def test_odd_shapes_have_digests_of_their_own(shape: tuple[int, ...]) -> None:
    tensor = torch.ones(shape)
    assert torch.equal(round_trip(tensor), tensor) and round_trip(tensor).shape == tensor.shape
    assert codec.digest(tensor) != codec.digest(torch.ones((*shape, 1)))


def test_encoded_tensors_share_no_memory_with_the_value() -> None:
    tensor = torch.zeros(3)
    tensors, _ = codec.encode([tensor, tensor, tensor[:2]])
    tensor += 1
    assert all(bool((kept == 0).all()) for kept in tensors.values())
    assert len({kept.data_ptr() for kept in tensors.values()}) == 3


def test_registered_classes_come_back_as_themselves() -> None:
    back = round_trip([Point(torch.arange(3), "q"), Span(1, -0.0)])
    assert type(back[0]) is Point and back[0].name == "q" and torch.equal(back[0].place, torch.arange(3))
    assert type(back[1]) is Span and math.copysign(1, back[1].last) == -1


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (1, 1.0),
        (1, "1"),
        (0.0, -0.0),
        (None, "None"),
        ([1], (1,)),
        ([[1], 2], [1, [2]]),
        ({"a": 1}, [["a", 1]]),
        (b"a", "a"),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.tensor(0.0), torch.tensor(-0.0)),
        (Span(1, 2.0), (1, 2.0)),
    ],
)
def test_values_that_differ_have_different_digests(left: Any, right: Any) -> None:
    assert codec.digest(left) != codec.digest(right)


def test_strides_do_not_count_in_a_digest() -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    assert codec.digest(tensor.T) == codec.digest(tensor.T.contiguous())
    assert codec.digest(tensor.T) != codec.digest(tensor)


@given(st.lists(st.floats(width=32), min_size=1, max_size=6), st.data())
def test_one_changed_bit_changes_the_digest(numbers: list[float], data: st.DataObject) -> None:
    tensor = torch.tensor(numbers)
    place = data.draw(st.integers(0, len(numbers) * 4 - 1))
    changed = tensor.clone()
    changed.view(torch.uint8)[place] ^= 1
    assert codec.digest(changed) != codec.digest(tensor)


class Handle:
    def __init__(self, name: str | None = None) -> None:
        self._name = name

    def nbytes(self) -> int:
        return 1000


class Named(Handle):
    def digest(self) -> str:
        return f"named {self._name}"


@pytest.mark.parametrize(
    "value", [Handle(), [Handle()], {"a": (Handle(),)}, torch.ones(2).to_sparse(), {1, 2}, torch.ones(1, device="meta")]
)
def test_handles_and_odd_tensors_are_not_storable(value: Any) -> None:
    with pytest.raises(codec.NotStorable):
        codec.encode(value)
    with pytest.raises(codec.NotStorable):
        codec.digest(value)


def test_a_handle_counts_by_its_own_digest() -> None:
    assert codec.digest([Named("a")]) == codec.digest([Named("a")]) != codec.digest([Named("b")])


def test_a_value_that_holds_itself_is_not_storable() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(codec.NotStorable, match="nested too deeply"):
        codec.encode(value)


_GARBAGE = st.recursive(
    st.none() | st.text(max_size=3) | st.sampled_from(list("nbifsytludr")) | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=10,
)


@given(_GARBAGE)
def test_garbage_is_refused_as_not_storable(structure: Any) -> None:
    with contextlib.suppress(codec.NotStorable):
        codec.decode({}, structure)


def test_registering_refuses_what_cannot_be_rebuilt() -> None:
    @dataclass
    class Mutable:
        x: int

    with pytest.raises(TypeError, match="Mutable is neither a frozen dataclass nor a NamedTuple"):
        codec.register(Mutable, "TestCodecMutable")
    with pytest.raises(TypeError, match="the name TestCodecSpan is already registered for Span"):
        codec.register(Point, "TestCodecSpan")


def test_nbytes_counts_each_storage_once_and_asks_handles() -> None:
    tensor = torch.zeros(1000)
    assert 4000 <= codec.nbytes([tensor, tensor[:10], tensor.view(10, 100)]) < 4500
    assert codec.nbytes(Point(tensor)) > 4000
    assert 1000 <= codec.nbytes([Handle()]) < 1200
    assert 0 < codec.nbytes(3) < 100


def test_map_tensors_reaches_every_tensor_and_leaves_the_value_alone() -> None:
    value = {"a": [torch.zeros(2), (Point(torch.zeros(1)), 3)]}
    changed = codec.map_tensors(value, lambda tensor: tensor + 1)
    assert codec.digest(changed) == codec.digest({"a": [torch.ones(2), (Point(torch.ones(1)), 3)]})
    assert codec.digest(value) == codec.digest({"a": [torch.zeros(2), (Point(torch.zeros(1)), 3)]})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (torch.tensor([[1.0, -2.5]]), "float32 1x2 in [-2.5, 1]"),
        (torch.tensor(3), "int64 scalar in [3, 3]"),
        (torch.zeros(0), "float32 0"),
        ("cat", "'cat'"),
        (1.5, "1.5"),
        ([1, 2], "list of 2: 1, ..."),
        (Span(1, 2.0), "Span(first=1, last=2.0)"),
        ({"a": 1}, "dict of 1 (a: 1)"),
        (Handle(), "Handle"),
        ("x" * 100, "'" + "x" * 75 + " ..."),
    ],
)
def test_describe_is_one_line(value: Any, text: str) -> None:
    assert codec.describe(value) == text
