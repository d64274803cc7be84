"""Bringing the document that a graph was read from up to date with the graph, so that its layout and notes survive."""

from __future__ import annotations

import copy
from typing import Any

from ..graph import Graph, NodeCall, Wire
from ..host_schema import Catalogue
from ..registry import Registry
from .node_types import NodeTypes
from .saved import from_saved, read_calls
from .widgets import Held


def update(graph: Graph, registry: Registry) -> dict[str, Any] | None:
    """The graph's document with the values and titles of now.

    Returns:
        A changed copy; None where the graph has other nodes or wires than the document, or values that do not fit
        into it (two instances of one subgraph that differ where its definition holds only one value).
    """
    document: dict[str, Any] = copy.deepcopy(dict(graph.document or {}))
    calls = read_calls(document, NodeTypes(Catalogue(registry)), [])
    if {call.id for call in calls} != set(graph.calls):
        return None
    for call in calls:
        now = graph.calls[call.id]
        for name, value in now.inputs.items():
            held = call.inputs.get(name)
            if isinstance(held, Held) and not isinstance(value, Wire) and not _same(held.value, value):
                held.set(value)
        if now.title != call.title:
            call.node.raw["title"] = now.title or (call.type.title if call.type else call.node.type)
    again = from_saved(document, registry)
    return document if not again.problems and _equal(again.graph, graph, registry) else None


def _equal(one: Graph, other: Graph, registry: Registry) -> bool:
    """Whether two graphs call the same nodes with the same values; a value left out equals its default."""
    return one.calls.keys() == other.calls.keys() and all(
        _with_defaults(call, registry) == _with_defaults(other.calls[id_], registry) for id_, call in one.calls.items()
    )


def _with_defaults(call: NodeCall, registry: Registry) -> tuple[str, str, dict[str, tuple[type, Any]]]:
    declaration = registry.get(call.type)
    inputs = {entry.id: entry.default for entry in declaration.inputs if entry.is_literal} if declaration else {}
    inputs |= call.inputs
    return call.type, call.title, {name: (type(value), value) for name, value in inputs.items()}


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other
