"""Values that are known before anything runs, and what nodes say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from check_nodes import (
    Embedding,
)
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.check import check
from glidewire.graph_runtime.declaration import node
from glidewire.graph_runtime.folders import Folders
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.registry import Registry
from glidewire.graph_runtime.sockets import Socket
from glidewire.graph_runtime.widgets import Number


@node(category="check", by_value=True)
def whole(value: int = 1) -> int:
    """A whole number."""
    return value


@node(category="check", by_value=True)
def halves(value: int = 4) -> list[int]:
    """A number's halves."""
    if value % 2:
        raise GlidewireError("the number is odd", expected="an even number", got=value)
    return [value // 2, value // 2]


def in_order(low: int, high: int) -> None:
    if low > high:
        raise GlidewireError("low is above high", expected="low <= high", got=f"{low} and {high}", hint="Swap them.")


def divides(high: int, width: int, clip: str = "none") -> None:
    if width % high:
        raise GlidewireError(f"{high} does not divide the width", expected=f"a divisor of {width}", got=clip)


def outside(name: str, folders: Folders) -> None:
    folders.inside_output(name)


@node(category="check", effect=True, validate=[in_order, divides, outside])
def cut(
    embedding: Socket[Embedding, "_ width @clip"],
    low: Annotated[int, Number(min=0, max=9)] = 1,
    high: Annotated[int, Number(min=0, max=9)] = 2,
    name: str = "cut",
) -> None:
    """Cut an embedding."""


@node(category="check")
def blank(width: int) -> Socket[Embedding, "_ width @clip"]:
    """An embedding of zeros."""


VALUED = Registry(function.declaration for function in (whole, halves, blank, cut))


def cutting(**inputs: Any) -> list[NodeCall]:
    return [
        NodeCall("1", "GlidewireWhole", {"value": 512}),
        NodeCall("2", "GlidewireBlank", {"width": Wire("1", 0)}),
        NodeCall("3", "GlidewireCut", {"embedding": Wire("2", 0), **inputs}),
    ]


def told(*calls: NodeCall) -> list[tuple[str, str, str | None, str]]:
    found = check(Graph(calls), VALUED, Folders(output=Path("results")))
    return [(one.node, one.kind, one.input, one.message) for one in found.problems]


def test_a_node_refuses_values_before_anything_runs() -> None:
    assert told(*cutting()) == []
    assert told(*cutting(low=4)) == [
        ("3", "bad_value", None, "low is above high"),
    ]
    assert told(*cutting(high=3)) == [("3", "bad_value", "high", "3 does not divide the width")]
    assert told(*cutting(name="../x")) == [("3", "bad_value", "name", "'../x' leads outside the output folder")]
    kinds = [(kind, name) for _, kind, name, _ in told(*cutting(low=9, high=0, name="../x"))]
    assert kinds == [("bad_value", None), ("bad_value", "high"), ("bad_value", "name")], "what trips is told as well"


def test_a_refused_value_says_what_to_do() -> None:
    (problem,) = check(Graph(cutting(low=4)), VALUED, Folders()).problems
    assert str(problem) == ("node 3 (GlidewireCut): low is above high; expected low <= high; got 4 and 2. Swap them.")


def test_numbers_over_wires_settle_dims_and_are_held_to_ranges() -> None:
    assert check(Graph(cutting()), VALUED, Folders()).dims["2", 0] == "_ 512 @clip"
    five = NodeCall("5", "GlidewireWhole", {"value": 5})
    wide = NodeCall("5", "GlidewireWhole", {"value": 50})
    assert told(*cutting(low=Wire("5", 0)), five) == [("3", "bad_value", None, "low is above high")]
    ((node_, kind, name, message),) = told(*cutting(low=Wire("5", 0)), wide)
    assert (node_, kind, name) == ("3", "out_of_range", "low")
    assert message == "the number is out of range; it comes from node 5 (GlidewireWhole)"


def test_lists_over_wires_are_held_to_ranges_item_by_item_and_settle_nothing() -> None:
    lists = [NodeCall("5", "GlidewireHalves", {"value": 30})]
    ((_, kind, name, message),) = told(*cutting(high=Wire("5", 0)), *lists)
    assert (kind, name) == ("out_of_range", "high") and message.startswith("item 0 of the list: the number is out")
    assert told(*cutting(high=Wire("5", 0)), NodeCall("5", "GlidewireHalves", {"value": 6})) == []


def test_a_node_of_plain_values_refuses_them_before_anything_runs() -> None:
    assert told(*cutting(high=Wire("5", 0)), NodeCall("5", "GlidewireHalves", {"value": 3})) == [
        ("5", "bad_value", "value", "the number is odd")
    ]


def test_a_validation_that_asks_for_what_the_node_does_not_have_is_a_mistake_of_its_author() -> None:
    with pytest.raises(TypeError, match=r"lonely: a validation asks for \['high', 'low'\]"):

        @node(category="check", validate=in_order)
        def lonely(number: int = 1) -> int:
            """A node."""
            return number


@node(category="check")
def tagged(clip: str, more: str, last: str = "") -> Socket[Embedding, "1 8 @clip @more @last"]:
    """An embedding with three tags."""


@node(category="check")
def mixed(
    first: Socket[Embedding, "_ width @clip"], second: Socket[Embedding, "_ width @clip"] | None = None
) -> Socket[Embedding, "1 width @clip"]:
    """A mixture that knows one tag."""


@pytest.mark.parametrize(
    ("texts", "dims"),
    [
        (["a z"], "1 8 @clip=c @more=a @last=z"),
        (["a z", "a z"], "1 8 @clip=c @more=a @last=z"),
        (["a y", "a z"], "1 8 @clip=c @more=a"),
        (["a z", "b z"], "1 8 @clip=c @more @last=z"),
        (["a y", "b z"], "1 8 @clip=c"),
    ],
)
def test_tags_that_a_node_does_not_know_pass_through_where_its_inputs_agree(texts: list[str], dims: str) -> None:
    said = [dict(zip(("more", "last"), text.split(), strict=True)) for text in texts]
    calls = [NodeCall(str(n), "GlidewireTagged", {"clip": "c", **tags}) for n, tags in enumerate(said)]
    wires = dict(zip(("first", "second"), (Wire(call.id, 0) for call in calls), strict=False))
    graph = Graph([*calls, NodeCall("m", "GlidewireMixed", wires)])
    assert check(graph, Registry([tagged.declaration, mixed.declaration]), Folders()).dims["m", 0] == dims
