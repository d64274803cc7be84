"""Tiny nodes with every kind of socket and widget, and graphs of them to be drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import pytest
from glidewire.graph_runtime.context import Context
from glidewire.graph_runtime.declaration import INJECTED, node
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.registry import Registry
from glidewire.graph_runtime.sockets import Socket, socket_type
from glidewire.graph_runtime.widgets import Choice, File, Number, Seed, Slider, Text, Toggle, Wired
from hypothesis import strategies as st

T = TypeVar("T")


@dataclass(frozen=True)
class Clay:
    """Something to send along a wire."""


@dataclass(frozen=True)
class Glaze:
    """Something else."""


socket_type("FORMATS_CLAY", Clay, "Clay, for tests of formats.")
socket_type("FORMATS_GLAZE", Glaze, "Glaze, for tests of formats.")


class Halves(NamedTuple):
    left: Socket[Clay, "batch 4"]
    right: Socket[Glaze, "batch 2"]


@node(category="tiny", title="Dig for clay")
def dig(
    name: Annotated[str, Text(multiline=True)] = "a",
    depth: Annotated[float, Slider(min=0.0, max=1.0, step=0.1)] = 0.5,
    kind: Literal["wet", "dry"] = "wet",
    deep: Annotated[bool, Toggle(on="deep", off="shallow")] = False,
) -> Socket[Clay, "batch 4"]:
    """Dig."""
    return Clay()


@node(category="tiny", aliases=["FormerlyTurn"])
def turn(
    clay: Socket[Clay, "batch 4"],
    seed: Annotated[int, Seed()] = 0,
    steps: Annotated[int, Number(min=1, max=100)] = 8,
    template: Socket[Clay, "..."] | None = None,
    note: str | None = None,
    count: Annotated[int, Wired()] = 1,
    context: Context = INJECTED,
) -> Halves:
    """Turn.

    Args:
        clay: What is turned.
    """
    return Halves(Clay(), Glaze())


@node(category="tiny")
def load(
    file: Annotated[str, File(upload=True)],
    size: int,
    weights: Annotated[str, File(folder="models")] = "w",
) -> list[Socket[Clay, "..."]]:
    """Load."""
    return [Clay()]


@node(category="tiny")
def either(what: Socket[Clay | Glaze, "..."], numbers: list[int], value: T) -> T:
    """Take either."""
    return value


@node(category="tiny", effect=True, lazy=list, lazy_inputs=["glaze"])
def show(glaze: Socket[Glaze, "batch 2"] | None = None, clay: Socket[Clay, "..."] | None = None) -> None:
    """Show."""


@node(category="tiny")
def choose(colour: Annotated[str, Choice(options=lambda: ["red", "green"])] = "red", label: str = "") -> int:
    """Choose."""
    return 1


NODES = (dig, turn, load, either, show, choose)

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_LITERALS: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("dig", "name"): _TEXT,
    ("dig", "depth"): st.floats(allow_nan=False, allow_infinity=False),
    ("dig", "kind"): st.sampled_from(["wet", "dry", "no such"]),
    ("dig", "deep"): st.booleans(),
    ("turn", "seed"): st.integers(-1, 2**64),
    ("turn", "steps"): st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    ("turn", "note"): st.none() | _TEXT,
    ("turn", "count"): st.integers(),
    ("load", "file"): _TEXT,
    ("load", "size"): st.integers() | st.lists(st.integers(), max_size=3),
    ("load", "weights"): _TEXT,
    ("either", "numbers"): st.lists(st.integers(), max_size=3),
    ("either", "value"): st.dictionaries(_TEXT, st.none() | st.integers(), max_size=2) | _TEXT,
    ("choose", "colour"): st.sampled_from(["red", "blue"]),
    ("choose", "label"): _TEXT,
}


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Any graph of the tiny nodes: odd ids and titles, any literals, wires to anything, circles too."""
    ids = draw(
        st.lists(st.integers(0, 99).map(str) | st.sampled_from(["5:2", "a", "007", "-10"]), unique=True, max_size=7)
    )
    made = []
    for id_ in ids:
        declaration = draw(st.sampled_from(NODES)).declaration
        inputs: dict[str, Any] = {}
        for entry in declaration.inputs:
            literal = _LITERALS.get((declaration.name, entry.id), st.nothing())
            wire = st.builds(Wire, st.sampled_from(ids), st.integers(0, 2))
            if draw(st.booleans()):
                inputs[entry.id] = draw(literal | wire)
        title = draw(st.sampled_from(["", "mine", "ünïcode 🎨"]))
        made.append(NodeCall(id_, declaration.id, inputs, title))
    return Graph(made)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry(entry.declaration for entry in NODES)


@pytest.fixture(scope="session")
def any_graph() -> st.SearchStrategy[Graph]:
    return graphs()


@pytest.fixture(scope="session")
def meaning(registry: Registry) -> Callable[[Graph], dict[str, Any]]:
    """What a graph says: per node its type, title and inputs, where an input left out has its default."""

    def tagged(value: Any) -> Any:
        if isinstance(value, list):
            return [tagged(child) for child in value]
        return (type(value).__name__, value)

    def read(graph: Graph) -> dict[str, Any]:
        said = {}
        for call in graph.calls.values():
            declaration = registry.get(call.type)
            inputs = (
                {entry.id: entry.default for entry in declaration.inputs if entry.is_literal} if declaration else {}
            )
            inputs |= call.inputs
            said[call.id] = (call.type, call.title, {name: tagged(value) for name, value in inputs.items()})
        return said

    return read
