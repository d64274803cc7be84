"""Writing a saved workflow that the official editor opens: the document it came from, or a fresh one laid out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..graph import Graph, NodeCall, Wire
from ..host_schema import Catalogue
from ..registry import Registry
from .document import is_saved
from .flatten import PRIMITIVE
from .layout import Box, Edge, place
from .node_types import HostInput, NodeType, NodeTypes
from .update import update
from .widgets import VALUES

VERSION = 0.4
_ROW, _WIDGET_ROW, _TEXT_BOX, _PADDING, _PREVIEW = 20.0, 24.0, 90.0, 14.0, 270.0
_OPTIONAL_SHAPE, _LIST_SHAPE = 7, 6
_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}")


def to_saved(graph: Graph, registry: Registry) -> dict[str, Any]:
    """Write a graph as a saved workflow.

    A graph that kept its document, and whose nodes and wires are still those of the document, gets it back with
    positions, groups, notes and subgraphs, and with the values and titles of now. Any other is laid out afresh.
    Literals that no widget can hold travel in primitive nodes.

    Args:
        graph: The graph.
        registry: The nodes that exist; a node of another type is written with its values by name.

    Returns:
        The document: plain JSON, version 0.4.
    """
    if graph.document is not None and is_saved(graph.document):
        updated = update(graph, registry)
        if updated is not None:
            return updated
    return _Writer(graph, NodeTypes(Catalogue(registry))).document()


class _Writer:
    """Makes a fresh document; one use each."""

    def __init__(self, graph: Graph, types: NodeTypes) -> None:
        self.graph, self.types = graph, types
        self.links: list[list[Any]] = []
        self.primitives: list[dict[str, Any]] = []
        self.numbers: dict[str, int | str] = {id_: _number(id_) for id_ in graph.calls}
        self.last_node = max((number for number in self.numbers.values() if isinstance(number, int)), default=0)

    def document(self) -> dict[str, Any]:
        """The whole document."""
        nodes = [self._node(call) for call in self.graph.calls.values()]
        nodes += self.primitives
        self._connect(nodes)
        self._arrange(nodes)
        return {
            "id": self.graph.fresh_id(),
            "revision": 0,
            "last_node_id": self.last_node,
            "last_link_id": len(self.links),
            "nodes": nodes,
            "links": self.links,
            "groups": [],
            "config": {},
            "extra": {},
            "version": VERSION,
        }

    def _node(self, call: NodeCall) -> dict[str, Any]:
        type_ = self.types.get(call.type)
        name = type_.name if type_ else call.type  # a former id becomes the present one
        node: dict[str, Any] = {
            "id": self.numbers[call.id],
            "type": name,
            "pos": [0, 0],
            "size": [0, 0],
            "flags": {},
            "order": 0,
            "mode": 0,
            "inputs": [],
            "outputs": _outputs(type_),
            "properties": {"Node name for S&R": name},
        }
        if call.title:
            node["title"] = call.title
        held = self._widgets(call, type_, node)
        self._sockets(call, type_, node, held)
        return node

    def _widgets(self, call: NodeCall, type_: NodeType | None, node: dict[str, Any]) -> set[str]:
        """Write what widgets can hold; returns the inputs written."""
        literals = {name: value for name, value in call.inputs.items() if not isinstance(value, Wire)}
        if type_ is None:
            node[VALUES] = literals
            return set(literals)
        node[VALUES] = [
            slot if isinstance(slot, str) else _default(slot) if (value := literals.get(slot.name)) is None else value
            for slot in type_.slots
        ]
        widgets = (entry for entry in type_.inputs if entry.is_widget and entry.name in literals)
        return {entry.name for entry in widgets if literals[entry.name] is not None or entry.may_be_blank}

    def _sockets(self, call: NodeCall, type_: NodeType | None, node: dict[str, Any], held: set[str]) -> None:
        """List the input sockets: all that have no widget, and each widget that is wired."""
        known = list(type_.inputs) if type_ else []
        names = [entry.name for entry in known]
        for entry in known:
            if not entry.is_widget or self._is_wired(call, entry.name, held):
                self._socket(call, entry.name, entry, node, held)
        for name in call.inputs:
            if name not in names and self._is_wired(call, name, held):
                self._socket(call, name, None, node, held)

    def _is_wired(self, call: NodeCall, name: str, held: set[str]) -> bool:
        return name in call.inputs and name not in held

    def _socket(self, call: NodeCall, name: str, entry: HostInput | None, node: dict[str, Any], held: set[str]) -> None:
        socket: dict[str, Any] = {"name": name, "type": entry.type if entry else "*", "link": None}
        if entry and entry.is_widget:
            socket["widget"] = {"name": name}
        elif entry and not entry.required:
            socket["shape"] = _OPTIONAL_SHAPE
        if self._is_wired(call, name, held):
            value = call.inputs[name]
            if not isinstance(value, Wire):
                value = self._primitive(value, socket["type"], name)
            origin = self.numbers.get(value.node, _number(value.node))
            socket["link"] = len(self.links) + 1
            self.links.append(
                [socket["link"], origin, value.output, self.numbers[call.id], len(node["inputs"]), socket["type"]]
            )
        node["inputs"].append(socket)

    def _primitive(self, value: Any, type_: str, name: str) -> Wire:
        """A primitive node that holds a literal which no widget of the node itself can hold."""
        self.last_node += 1
        self.primitives.append(
            {
                "id": self.last_node,
                "type": PRIMITIVE,
                "pos": [0, 0],
                "size": [210, 82],
                "flags": {},
                "order": 0,
                "mode": 0,
                "inputs": [],
                "outputs": [{"name": type_, "type": type_, "widget": {"name": name}, "links": []}],
                "properties": {"Run widget replace on values": False},
                VALUES: [value, "fixed"],
            }
        )
        return Wire(str(self.last_node), 0)

    def _connect(self, nodes: list[dict[str, Any]]) -> None:
        """List at every output the links that leave it."""
        by_id = {node["id"]: node for node in nodes}
        for link, origin, slot, *_ in self.links:
            outputs = by_id[origin]["outputs"] if origin in by_id else []
            while origin in by_id and slot >= len(outputs) and slot < 256:
                outputs.append({"name": f"output {len(outputs)}", "type": "*", "links": []})
            if slot < len(outputs):
                outputs[slot]["links"].append(link)
                if self.links[link - 1][5] == "*":
                    self.links[link - 1][5] = outputs[slot]["type"]

    def _arrange(self, nodes: list[dict[str, Any]]) -> None:
        """Set sizes, positions and the order of execution."""
        names = {node["id"]: str(node["id"]) for node in nodes}
        boxes = {}
        for node in nodes:
            type_ = self.types.get(node["type"])
            width, height = _size(node, type_)
            node["size"] = [width, height]
            boxes[names[node["id"]]] = Box(width, height + (_PREVIEW if type_ and type_.effect else 0.0))
        edges = [
            Edge(names[origin], names[target], _ROW * (slot + 0.5), _ROW * (target_slot + 0.5))
            for _, origin, slot, target, target_slot, _ in self.links
            if origin in names
        ]
        positions = place(boxes, edges)
        by_column = sorted(nodes, key=lambda node: positions[names[node["id"]]])
        for order, node in enumerate(by_column):
            node["pos"], node["order"] = list(positions[names[node["id"]]]), order


def _outputs(type_: NodeType | None) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    if type_ is not None:
        for name, kind, is_list in zip(type_.output_names, type_.outputs, type_.output_is_list, strict=True):
            made.append({"name": name, "type": kind, "links": [], **({"shape": _LIST_SHAPE} if is_list else {})})
    return made


def _default(slot: HostInput) -> Any:
    try:
        return slot.default
    except KeyError:
        return None


def _size(node: Mapping[str, Any], type_: NodeType | None) -> tuple[float, float]:
    """Width and height of a node's body, about as the editor makes them."""
    sockets = [entry for entry in node["inputs"] if "widget" not in entry]
    rows = max(len(sockets), len(node["outputs"]))
    widgets = len(type_.slots) if type_ else len(node.get(VALUES) or ())
    boxes = sum(bool(entry.is_widget and entry.options.get("multiline")) for entry in type_.inputs) if type_ else 0
    longest = max((len(entry["name"]) for entry in sockets), default=0)
    longest += max((len(entry["name"]) for entry in node["outputs"]), default=0)
    title = len(node.get("title") or (type_.title if type_ else node["type"]))
    wide = 400.0 if boxes else 270.0 if widgets else 210.0
    width = min(max(wide, 8.0 * longest + 50.0, 8.0 * title + 40.0), 640.0)
    return width, _PADDING + _ROW * rows + _WIDGET_ROW * widgets + _TEXT_BOX * boxes


def _number(id_: str) -> int | str:
    """A node id as the editor likes it: a number where it is one."""
    return int(id_) if _NUMBER.fullmatch(id_) else id_
