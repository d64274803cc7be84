"""From saved nodes to those that run: subgraphs expanded; reroutes, primitives, bypassed and muted nodes resolved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..graph import Wire
from ..problems import Problem
from .document import BYPASS, NEVER, SUBGRAPH_INPUT, Definition, LinkId, SavedDocument, SavedInput, SavedNode, Scope
from .node_types import NodeTypes
from .widgets import Held, primitive_value, promoted_values

REROUTE, PRIMITIVE = "Reroute", "PrimitiveNode"
NOTES = frozenset({"Note", "MarkdownNote"})
VIRTUAL = NOTES | {REROUTE, PRIMITIVE}

MAX_NODES = 100_000
"""The most nodes that a workflow may have after its subgraphs are expanded."""


@dataclass(frozen=True, eq=False)
class Instance:
    """The workflow itself, or one use of a subgraph inside another instance."""

    path: str
    scope: Scope
    definition: Definition | None = None
    node: SavedNode | None = None
    parent: Instance | None = None
    inner: dict[str, Instance] = field(default_factory=dict)
    promoted: dict[int, Held] = field(default_factory=dict)

    def within(self) -> Iterator[str]:
        """The definitions that this instance lies in, its own first."""
        level: Instance | None = self
        while level is not None and level.definition is not None:
            yield level.definition.id
            level = level.parent


class Muted:
    """What an input gets whose wire comes from a node that does not run."""


MUTED = Muted()


class Flattening:
    """Every node of a saved workflow that runs, and where each of its inputs comes from.

    Args:
        document: The workflow, taken apart.
        types: The known node types.
        problems: Where problems go: a subgraph inside itself, links that run in a circle.
    """

    def __init__(self, document: SavedDocument, types: NodeTypes, problems: list[Problem]) -> None:
        self._definitions, self._types, self._problems = document.definitions, types, problems
        self.root = Instance("", document.root)
        self.nodes: list[tuple[Instance, SavedNode]] = []
        self._expand()

    def _expand(self) -> None:
        """Find the nodes that run, in document order, a subgraph's nodes in its place."""
        waiting = [iter([(self.root, node) for node in self.root.scope.nodes.values()])]
        while waiting:
            instance, node = next(waiting[-1], (None, None))
            if instance is None or node is None:
                waiting.pop()
                continue
            if node.type in VIRTUAL or node.mode in (NEVER, BYPASS):
                continue
            definition = self._definitions.get(node.type)
            if definition is None:
                self.nodes.append((instance, node))
            elif definition.id in instance.within():
                self._problem("malformed", "the subgraph contains itself", instance, node)
            else:
                inner = self._enter(instance, node, definition)
                waiting.append(iter([(inner, child) for child in inner.scope.nodes.values()]))
            if len(self.nodes) > MAX_NODES or len(waiting) > 100:
                self._problem("malformed", f"the subgraphs expand to more than {MAX_NODES} nodes", instance, node)
                self.nodes.clear()
                return

    def _enter(self, instance: Instance, node: SavedNode, definition: Definition) -> Instance:
        """The instance behind a subgraph node."""
        made = Instance(f"{instance.path}{node.id}:", definition.scope, definition, node, instance)
        made.promoted.update(promoted_values(node, definition))
        instance.inner[node.id] = made
        return made

    def source(self, instance: Instance, node: SavedNode, entry: SavedInput) -> Wire | Held | Muted | None:
        """Where an input comes from.

        Returns:
            A wire from a node that runs, a value held elsewhere (by a primitive, or by a subgraph's promoted widget),
            MUTED, or None where nothing is connected in the end.
        """
        start, link, fallback, type_ = instance, entry.link, None, entry.type
        visited: set[tuple[str, str, int]] = set()
        while link is not None:
            found = instance.scope.links.get(link)
            if found is None:
                return fallback
            if found.origin == SUBGRAPH_INPUT and instance.parent is not None:
                fallback = instance.promoted.get(found.slot, fallback)
                link, instance = self._outer_link(instance, found.slot), instance.parent
                continue
            here = (instance.path, found.origin, found.slot)
            if here in visited:
                self._problem("cycle", "its wire runs in a circle", start, node, entry.name)
                return fallback
            visited.add(here)
            origin = instance.scope.nodes.get(found.origin)
            if origin is None or not (
                origin.type in VIRTUAL or origin.mode in (NEVER, BYPASS) or self._is_subgraph(origin)
            ):
                return Wire(f"{instance.path}{found.origin}", found.slot)
            if origin.type == PRIMITIVE:
                return primitive_value(origin) or fallback
            if origin.type == REROUTE:
                link = origin.inputs[0].link if origin.inputs else None
            elif origin.type in NOTES:
                return fallback
            elif origin.mode == NEVER:
                return MUTED
            elif origin.mode == BYPASS:
                link = self._bypass(origin, found.slot, type_)
            else:
                instance, link = self._inner_link(instance, origin, found.slot)
        return fallback

    def _is_subgraph(self, node: SavedNode) -> bool:
        return node.type in self._definitions

    def _inner_link(self, instance: Instance, node: SavedNode, slot: int) -> tuple[Instance, LinkId | None]:
        """The link inside a subgraph that feeds its output `slot`."""
        inner = instance.inner.get(node.id)
        if inner is None or inner.definition is None or slot >= len(inner.definition.feeds):
            return instance, None
        return inner, inner.definition.feeds[slot]

    def _outer_link(self, instance: Instance, slot: int) -> LinkId | None:
        """The link outside a subgraph instance that feeds its input number `slot`."""
        definition, node = instance.definition, instance.node
        if definition is None or node is None or slot >= len(definition.inputs):
            return None
        name = definition.inputs[slot][0]
        same = [index for index, (other, _) in enumerate(definition.inputs) if other == name]
        entries = [entry for entry in node.inputs if entry.name == name]
        if len(entries) < len(same):  # sockets of unlinked widgets are left out of compact files
            backed = slot in definition.widget_inputs
            same = [index for index in same if (index in definition.widget_inputs) == backed]
            entries = [entry for entry in entries if entry.is_widget == backed]
        place = same.index(slot)
        return entries[place].link if place < len(entries) else None

    def _bypass(self, node: SavedNode, slot: int, wanted: str) -> LinkId | None:
        """The link into a bypassed node that its output passes on: same number, same type, or one that fits."""
        inputs = self._live_inputs(node)
        output = node.output_types[slot] if slot < len(node.output_types) else "*"

        def passes(kind: str) -> bool:
            return compatible(kind, output) and compatible(kind, wanted)

        chosen: str | None = None
        if slot < len(inputs) and passes(inputs[slot][1]):
            chosen = inputs[slot][0]
        if chosen is None:
            chosen = next((name for name, kind in inputs if kind == wanted), None)
        if chosen is None:
            chosen = next((name for name, kind in inputs if passes(kind)), None)
        found = node.input(chosen) if chosen is not None else None
        return found.link if found else None

    def _live_inputs(self, node: SavedNode) -> list[tuple[str, str]]:
        """Names and types of a node's inputs in the editor's order; files leave out unlinked widget sockets."""
        definition = self._definitions.get(node.type)
        if definition is not None:
            return list(definition.inputs)
        type_ = self._types.get(node.type)
        if type_ is None:
            return [(entry.name, entry.type) for entry in node.inputs]
        return [(entry.name, entry.type) for entry in type_.live_order]

    def _problem(self, kind: str, message: str, instance: Instance, node: SavedNode, name: str | None = None) -> None:
        self._problems.append(
            Problem(kind, message, node=f"{instance.path}{node.id}", title=node.title or node.type, input=name)
        )


def compatible(one: str, other: str) -> bool:
    """Whether the editor lets sockets of these two types meet: equal, wildcard, or sharing one of several by comma."""
    if "*" in (one, other) or "" in (one, other):
        return True
    return bool(set(one.upper().split(",")) & set(other.upper().split(",")))
