"""The saved workflow, taken apart: nodes, links and subgraph definitions as small records, checked for shape only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..problems import Problem

NEVER, BYPASS = 2, 4
"""The modes of a node that is muted, and of one that is bypassed; every other mode runs."""

SUBGRAPH_INPUT, SUBGRAPH_OUTPUT = "-10", "-20"
"""The ids that stand for a subgraph's own inputs and outputs in the links of its definition."""

LinkId = int | str


@dataclass(frozen=True, slots=True)
class SavedLink:
    """Where a link comes from and goes to; target slots are not kept, older files number them otherwise."""

    origin: str
    slot: int
    target: str
    target_slot: int


@dataclass(frozen=True, slots=True)
class SavedInput:
    """An input socket as the file lists it; `is_widget` marks one that belongs to a widget."""

    name: str
    type: str
    link: LinkId | None
    is_widget: bool


@dataclass(frozen=True, slots=True)
class SavedNode:
    """A node as the file has it; `raw` is the file's own object, for writing values back."""

    id: str
    type: str
    mode: int
    title: str
    inputs: tuple[SavedInput, ...]
    output_types: tuple[str, ...]
    raw: dict[str, Any]

    def input(self, name: str) -> SavedInput | None:
        """The input socket called `name`, or None where the file leaves it out."""
        return next((entry for entry in self.inputs if entry.name == name), None)


@dataclass(frozen=True, slots=True)
class Scope:
    """The nodes and links of the workflow itself, or of one subgraph definition."""

    nodes: Mapping[str, SavedNode]
    links: Mapping[LinkId, SavedLink]


@dataclass(frozen=True, slots=True)
class Definition:
    """A subgraph: what is inside, its inputs as (name, type), and for each output the link that feeds it."""

    id: str
    scope: Scope
    inputs: tuple[tuple[str, str], ...]
    feeds: tuple[LinkId | None, ...]
    widget_inputs: tuple[int, ...]


@dataclass(frozen=True)
class SavedDocument:
    """A saved workflow: its own nodes and links, and its subgraph definitions by id."""

    root: Scope
    definitions: Mapping[str, Definition] = field(default_factory=dict)


def is_saved(document: Mapping[str, Any]) -> bool:
    """Whether a document looks like a saved workflow: it has a list of nodes."""
    return isinstance(document.get("nodes"), list)


def read_document(document: Mapping[str, Any], problems: list[Problem]) -> SavedDocument:
    """Take a saved workflow apart; what is malformed goes to `problems` and is left out."""
    definitions: dict[str, Definition] = {}
    waiting = [document]
    while waiting:
        level = waiting.pop()
        holder = _object(level.get("definitions"), "definitions", problems)
        for raw in _list(holder.get("subgraphs"), "definitions.subgraphs", problems):
            definition = _definition(raw, problems)
            if definition is None:
                continue
            if definition.id in definitions:
                problems.append(Problem("duplicate_id", f"two subgraphs have the id {definition.id}"))
            definitions[definition.id] = definition
            waiting.append(raw)
    return SavedDocument(_scope(document, "", problems), definitions)


def _definition(raw: Any, problems: list[Problem]) -> Definition | None:
    if not isinstance(raw, dict) or not isinstance(raw.get("id"), str):
        problems.append(Problem("malformed", "a subgraph has no id", expected='{"id": text, "nodes": [...]}'))
        return None
    name = raw["name"] if isinstance(raw.get("name"), str) else raw["id"]
    scope = _scope(raw, f"subgraph {name}: ", problems)
    inputs = []
    for entry in _list(raw.get("inputs"), f"subgraph {name}: inputs", problems):
        entry = entry if isinstance(entry, Mapping) else {}
        inputs.append((_text(entry.get("name")), _type(entry.get("type"))))
    count = len(_list(raw.get("outputs"), f"subgraph {name}: outputs", problems))
    feeding = {
        link.target_slot: id_ for id_, link in reversed(list(scope.links.items())) if link.target == SUBGRAPH_OUTPUT
    }
    backed = {
        link.slot
        for node in scope.nodes.values()
        for entry in node.inputs
        if entry.is_widget and entry.link is not None and (link := scope.links.get(entry.link)) is not None
        if link.origin == SUBGRAPH_INPUT
    }
    return Definition(
        raw["id"],
        scope,
        tuple(inputs),
        tuple(feeding.get(slot) for slot in range(count)),
        tuple(index for index in range(len(inputs)) if index in backed),
    )


def _scope(raw: Mapping[str, Any], where: str, problems: list[Problem]) -> Scope:
    nodes: dict[str, SavedNode] = {}
    for entry in _list(raw.get("nodes"), f"{where}nodes", problems):
        node = _node(entry, where, problems)
        if node is None:
            continue
        if node.id in nodes:
            problems.append(
                Problem(
                    "duplicate_id",
                    f"{where}two nodes have the id {node.id}",
                    node=node.id,
                    title=node.title or node.type,
                )
            )
        nodes[node.id] = node
    links: dict[LinkId, SavedLink] = {}
    for entry in _list(raw.get("links"), f"{where}links", problems):
        if entry is None:  # the editor leaves holes where links were removed
            continue
        found = _link(entry)
        if found is None:
            problems.append(
                Problem(
                    "malformed",
                    f"{where}a link cannot be read",
                    expected="[id, origin node, origin slot, target node, target slot, type]",
                    got=repr(entry)[:80],
                )
            )
        else:
            links[found[0]] = found[1]
    return Scope(nodes, links)


def _node(raw: Any, where: str, problems: list[Problem]) -> SavedNode | None:
    if not isinstance(raw, dict) or not _is_id(raw.get("id")) or not isinstance(raw.get("type"), str):
        problems.append(
            Problem(
                "malformed", f"{where}a node cannot be read", expected='{"id": ..., "type": ...}', got=repr(raw)[:80]
            )
        )
        return None
    id_, type_ = str(raw["id"]), raw["type"]
    title = _text(raw.get("title"))
    inputs = []
    for entry in _list(raw.get("inputs"), f"{where}inputs of node {id_}", problems):
        link = entry.get("link") if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or not (link is None or _is_id(link)):
            problems.append(
                Problem(
                    "malformed", f"{where}an input cannot be read", node=id_, title=title or type_, got=repr(entry)[:80]
                )
            )
            continue
        inputs.append(
            SavedInput(
                _text(entry.get("name")), _type(entry.get("type")), link, isinstance(entry.get("widget"), Mapping)
            )
        )
    outputs = _list(raw.get("outputs"), f"{where}outputs of node {id_}", problems)
    types = tuple(_type(entry.get("type") if isinstance(entry, Mapping) else None) for entry in outputs)
    mode = raw.get("mode", 0)
    return SavedNode(id_, type_, mode if isinstance(mode, int) else 0, title, tuple(inputs), types, raw)


def _link(entry: Any) -> tuple[LinkId, SavedLink] | None:
    """A link in either of its two forms, a list or an object."""
    if isinstance(entry, Mapping):
        entry = [entry.get(key) for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
    if not isinstance(entry, list) or len(entry) < 5:
        return None
    id_, origin, slot, target, target_slot = entry[:5]
    if not (_is_id(id_) and _is_id(origin) and _is_id(target)):
        return None
    if not isinstance(slot, int) or isinstance(slot, bool) or slot < 0:
        return None
    return id_, SavedLink(str(origin), slot, str(target), target_slot if isinstance(target_slot, int) else -1)


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _type(value: Any) -> str:
    """A socket's type: a text; a list of combo options is COMBO, 0 and nothing are the wildcard."""
    if isinstance(value, list):
        return "COMBO"
    return value if isinstance(value, str) and value else "*"


def _list(value: Any, name: str, problems: list[Problem]) -> list[Any]:
    """A list; an object with the keys 0, 1, ... counts as one, nothing as an empty one."""
    if isinstance(value, Mapping) and all(str(key).isdigit() for key in value):
        return list(value.values())
    if value is not None and not isinstance(value, list):
        problems.append(Problem("malformed", f"{name} is no list", expected="a list", got=repr(value)[:80]))
    return value if isinstance(value, list) else []


def _object(value: Any, name: str, problems: list[Problem]) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        problems.append(Problem("malformed", f"{name} is no object", expected="an object", got=repr(value)[:80]))
    return value if isinstance(value, Mapping) else {}
