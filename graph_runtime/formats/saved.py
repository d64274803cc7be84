"""Reading the editor's saved workflow: the same calls that the editor itself would queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..folders import near
from ..graph import Graph, NodeCall, Wire
from ..host_schema import Catalogue
from ..problems import GraphProblems, Problem
from ..registry import Registry
from .api import Reading, literal_to_json
from .document import SavedNode, read_document
from .flatten import MUTED, Flattening, Instance, Muted
from .node_types import NodeType, NodeTypes
from .widgets import NAMED, VALUES, Held, own_values


@dataclass(frozen=True)
class SavedCall:
    """A node that runs, each input with its wire or with the value and where the document holds it."""

    id: str
    node: SavedNode
    type: NodeType | None
    inputs: Mapping[str, Wire | Held]

    @property
    def title(self) -> str:
        """What the user called it; "" where that is the type's own title."""
        return "" if self.type is not None and self.node.title == self.type.title else self.node.title


def to_api(document: Mapping[str, Any], object_info: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Convert a saved workflow to the API form, as the official editor does when it queues the workflow.

    Args:
        document: The saved workflow.
        object_info: Node type -> NodeInfoV1, as a host's GET /object_info gives it.

    Raises:
        GraphProblems: parts of the document cannot be read, or a node's type is not in `object_info`.
    """
    problems: list[Problem] = []
    calls = read_calls(document, NodeTypes(object_info), problems)
    if problems:
        raise GraphProblems(problems)
    kept = {call.id for call in calls}
    return {
        call.id: {
            "inputs": {
                name: literal_to_json(value.value if isinstance(value, Held) else value)
                for name, value in call.inputs.items()
                if isinstance(value, Held) or value.node in kept
            },
            "class_type": call.node.type,
            "_meta": {"title": call.node.title or (call.type.title if call.type else call.node.type)},
        }
        for call in calls
    }


def from_saved(document: Mapping[str, Any], registry: Registry) -> Reading:
    """Read a saved workflow as a graph that keeps the document.

    Args:
        document: The saved workflow.
        registry: The nodes that exist; a node of another type keeps its wires only, and is reported.
    """
    problems: list[Problem] = []
    calls = read_calls(document, NodeTypes(Catalogue(registry)), problems)
    graph = Graph(
        (
            NodeCall(
                call.id,
                call.node.type,
                {name: value.value if isinstance(value, Held) else value for name, value in call.inputs.items()},
                call.title,
            )
            for call in calls
        ),
        document,
    )
    return Reading(graph, tuple(problems))


def read_calls(document: Mapping[str, Any], types: NodeTypes, problems: list[Problem]) -> list[SavedCall]:
    """Every node that runs, in document order; what is wrong goes to `problems`."""
    flattening = Flattening(read_document(document, problems), types, problems)
    return [_call(flattening, instance, node, types, problems) for instance, node in flattening.nodes]


def _call(
    flattening: Flattening, instance: Instance, node: SavedNode, types: NodeTypes, problems: list[Problem]
) -> SavedCall:
    id_, type_ = f"{instance.path}{node.id}", types.get(node.type)
    if type_ is None:
        _unknown(id_, node, types, problems)
    inputs: dict[str, Wire | Held] = dict(own_values(node, type_))
    for entry in node.inputs:
        source = flattening.source(instance, node, entry) if entry.link is not None else None
        if isinstance(source, Muted):
            hidden = inputs.pop(entry.name, None)
            if hidden is not None:
                problems.append(_muted(id_, node, entry.name))
        elif source is not None:
            inputs[entry.name] = source
    return SavedCall(id_, node, type_, inputs)


def _unknown(id_: str, node: SavedNode, types: NodeTypes, problems: list[Problem]) -> None:
    hint = near(node.type, types.names())
    if node.type.startswith(("workflow>", "workflow/")):
        hint = "It is a group node of an older editor: convert it to a subgraph there, and save again."
    values = node.raw.get(VALUES)
    if values and not isinstance(values, Mapping) and not isinstance(node.raw.get(NAMED), Mapping):
        hint = " ".join(filter(None, [hint, "Its widget values stand there without names and cannot be told apart."]))
    problems.append(
        Problem(
            "unknown_node",
            f"no node is called {node.type}",
            node=id_,
            title=node.title or node.type,
            expected="a node that is installed here",
            got=node.type,
            hint=hint,
        )
    )


def _muted(id_: str, node: SavedNode, name: str) -> Problem:
    return Problem(
        "missing_input",
        "its wire comes from a muted node",
        node=id_,
        title=node.title or node.type,
        input=name,
        expected="a value, or a wire from a node that runs",
        got="nothing",
        hint="Unmute that node, or remove the wire so that the widget's own value counts.",
    )


__all__ = ["MUTED", "SavedCall", "from_saved", "read_calls", "to_api"]
