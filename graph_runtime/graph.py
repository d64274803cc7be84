"""A workflow as a graph: node calls, wires between them, carried by networkx."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx  # takes as long to import as all of ours: a host's start must not wait for it


@dataclass(frozen=True, slots=True)
class Wire:
    """The output number `output` of the node called `node`."""

    node: str
    output: int


@dataclass(frozen=True, slots=True)
class NodeCall:
    """One node of a workflow: its type, and for each input that is set a literal or a wire.

    Args:
        id: Unique in the graph; inside subgraphs a path, "5:2".
        type: The id of its declaration.
        inputs: By input id; an input left out has its default.
        title: What the user called it, or "".
    """

    id: str
    type: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""

    @property
    def wires(self) -> Iterator[tuple[str, Wire]]:
        """The inputs that are wired."""
        return ((name, value) for name, value in self.inputs.items() if isinstance(value, Wire))

    @property
    def shown_title(self) -> str:
        """The title, or the type where the user gave none."""
        return self.title or self.type


class Graph:
    """Node calls and their wires; never changed after it is made.

    Args:
        calls: In the order of the document; the last of two with one id wins (formats report duplicates).
        document: The saved workflow that it was read from, kept whole so that it can travel in a picture.
    """

    def __init__(self, calls: Iterable[NodeCall], document: Mapping[str, Any] | None = None) -> None:
        self.calls: dict[str, NodeCall] = {call.id: call for call in calls}
        self.document = document
        import networkx as nx

        self.network: nx.MultiDiGraph = nx.MultiDiGraph()
        self.network.add_nodes_from(self.calls)
        for call in self.calls.values():
            for name, wire in call.wires:
                if wire.node in self.calls:
                    self.network.add_edge(wire.node, call.id, key=name)

    def order(self) -> list[str]:
        """The ids so that every node comes after those that it needs; ties in document order.

        Raises:
            networkx.NetworkXUnfeasible: the graph has a cycle (check finds it first).
        """
        import networkx as nx

        return list(nx.topological_sort(self.network))

    def needed_by(self, targets: Iterable[str]) -> set[str]:
        """The targets and everything upstream of them."""
        found: set[str] = set()
        waiting = list(targets)
        while waiting:
            current = waiting.pop()
            if current not in found:
                found.add(current)
                waiting.extend(self.network.predecessors(current))
        return found

    def cycles(self) -> list[list[str]]:
        """The ids of each group of nodes that wait for one another."""
        import networkx as nx

        groups = nx.strongly_connected_components(self.network)
        return [sorted(group) for group in groups if len(group) > 1 or self.network.has_edge(*(next(iter(group)),) * 2)]

    def fresh_id(self) -> str:
        """The id of a saved form that has none yet: a UUID of the nodes' ids and types, not of their values."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, "\n".join(f"{call.id} {call.type}" for call in self.calls.values())))

    def with_inputs(self, node: str, **changes: Any) -> Graph:
        """A graph like this one in which inputs of `node` are changed."""
        call = self.calls[node]
        changed = replace(call, inputs={**call.inputs, **changes})
        return Graph((changed if other.id == node else other for other in self.calls.values()), self.document)
