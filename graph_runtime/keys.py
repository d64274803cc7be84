"""Keys: one SHA-256 for each node call, over everything that can change its result, before anything runs."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from ..errors import GlidewireError
from .arguments import literal, text_of
from .declaration import REQUIRED, InputDeclaration, NodeDeclaration
from .folders import Folders
from .graph import Graph, NodeCall, Wire
from .mapping import per_item
from .registry import Registry
from .widgets import File

SCHEMA: Final = "glidewire key 1"
UNKNOWN: Final = object()
"""A value that is not there yet."""


@dataclass(frozen=True, slots=True)
class NodeKey:
    """The key of a node call, and the parts that it was made from, as texts by name.

    Args:
        key: 64 hexadecimal digits.
        parts: "@node", "@version", "@environment", and each input that counts under its own id:
            `float 3.0`, `file <digest>`, `wire <slot> <key of the producer>`, `value <digest>`.
    """

    key: str
    parts: Mapping[str, str]


class Oracle(Protocol):
    """What the keys of by-value, lazy and file-taking nodes must know of values that other nodes make."""

    def digests(self, node: str, key: str) -> tuple[str | None, ...] | None:
        """The digest of each output of a by-value node, or None while they are not known."""

    def value(self, wire: Wire) -> Any:
        """What comes over a wire, or UNKNOWN while it is not known."""


class FileDigester(Protocol):
    """Whoever knows the content digests of files."""

    def state(self, path: Path) -> str:
        """What changes when a file does."""

    def digest(self, path: Path) -> str:
        """SHA-256 of a file's bytes."""


@dataclass(frozen=True, slots=True)
class _Slot:
    entry: InputDeclaration
    file: File | None
    counts: bool
    lazy: bool
    default: str


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What all calls of one declaration have in common."""

    declaration: NodeDeclaration
    head: Mapping[str, str]
    slots: tuple[_Slot, ...]


class Keys:
    """The keys of a graph's nodes, made in one topological pass and gone on with as values become known.

    Args:
        graph: Checked: every type is known, every wire ends somewhere, there is no cycle.
        registry: The declarations.
        folders: Where file inputs are looked up.
        environment: See `environment.environment`.
        files: Knows the digests of files.

    Attributes:
        keys: The keys known so far.
        needed: After `advance`: the nodes that the targets need, each after those that it needs itself.
        wires: For each needed node the wired inputs that it will get (lazy ones only if chosen).
        unchosen: For each node with lazy inputs, those that it will not get.
        mapped: For each node that runs once per item, the inputs that bring the lists.
        errors: Nodes whose key cannot be made, and why (a missing file, a `lazy` that raised).
        files: For each node that takes files, their states when its key was made.

    Raises:
        GlidewireError: the graph was not checked: an unknown type, a broken wire, a cycle.
    """

    def __init__(
        self, graph: Graph, registry: Registry, folders: Folders, environment: Mapping[str, str], files: FileDigester
    ) -> None:
        self.graph, self._folders, self._files = graph, folders, files
        self._environment = hashlib.sha256(repr(sorted(environment.items())).encode()).hexdigest()[:16]
        recipes: dict[str, _Recipe] = {}
        self._recipes: dict[str, _Recipe] = {}
        for call in graph.calls.values():
            recipe = recipes.get(call.type)
            if recipe is None:
                recipe = recipes[call.type] = self._recipe(call, registry)
            self._recipes[call.id] = recipe
        self._refuse_broken_wires()
        self._index = _order(graph)
        self.keys: dict[str, NodeKey] = {}
        self.needed: dict[str, None] = {}
        self.wires: dict[str, tuple[tuple[str, Wire], ...]] = {}
        self.unchosen: dict[str, frozenset[str]] = {}
        self.mapped: dict[str, tuple[str, ...]] = {}
        self.errors: dict[str, Exception] = {}
        self.files: dict[str, dict[Path, str]] = {}
        self._digests: dict[str, tuple[str | None, ...]] = {}

    def declaration(self, node: str) -> NodeDeclaration:
        """The declaration behind a node of the graph."""
        return self._recipes[node].declaration

    def advance(self, targets: Iterable[str], oracle: Oracle) -> bool:
        """Make every key that can be made now; False if some wait for values that the oracle does not know yet."""
        self.needed, self.errors = {}, {}
        agenda: list[Iterator[str]] = [iter(self._eager(targets))]
        while agenda:
            node = next(agenda[-1], None)
            if node is None:
                agenda.pop()
            elif node not in self.needed:
                more = self._eager(self._choose(node, oracle))
                if more:  # the branch that a lazy node chose comes first, then the node again
                    agenda += [iter((node,)), iter(more)]
                    continue
                if node not in self.keys:
                    self._make(node, oracle)
                self.needed[node] = None
        return all(node in self.keys for node in self.needed)

    def listed(self, wire: Wire) -> bool:
        """Whether a wire brings a list of items rather than one value."""
        return wire.node in self.mapped or self._recipes[wire.node].declaration.outputs[wire.output].is_list

    def require_same_files(self, node: str) -> None:
        """Raise a GlidewireError if a file of a node is no longer the one that its key was made for."""
        for path, state in self.files.get(node, {}).items():
            if self._files.state(path) != state:
                raise GlidewireError(
                    f"{path.name} changed while the workflow ran",
                    expected="a file that stays as it is",
                    got="another size or time than when the run began",
                    hint="Run it again.",
                )

    def _recipe(self, call: NodeCall, registry: Registry) -> _Recipe:
        declaration = registry.get(call.type)
        if declaration is None:
            raise GlidewireError(
                f"node {call.id}: there is no node type {call.type}",
                hint="Check the workflow first: it names the nearest.",
            )
        head = {"@node": declaration.id, "@version": str(declaration.version), "@environment": self._environment}
        slots = tuple(
            _Slot(
                entry=entry,
                file=entry.widget if isinstance(entry.widget, File) else None,
                counts=not (entry.widget is not None and entry.widget.cosmetic),
                lazy=entry.id in declaration.lazy_inputs,
                default="" if isinstance(entry.widget, File) else text_of(literal(entry, NodeCall("", ""))),
            )
            for entry in declaration.inputs
        )
        return _Recipe(declaration, head, slots)

    def _refuse_broken_wires(self) -> None:
        for call in self.graph.calls.values():
            for name, wire in call.wires:
                producer = self._recipes.get(wire.node)
                if producer is None or not 0 <= wire.output < len(producer.declaration.outputs):
                    raise GlidewireError(
                        f"node {call.id}, input {name}: wired to output {wire.output} of node {wire.node}",
                        expected="an output that exists",
                        hint="Check the workflow first.",
                    )

    def _eager(self, targets: Iterable[str]) -> list[str]:
        """The targets and all that they need whatever lazy nodes choose, in topological order; none seen before."""
        found: set[str] = set()
        waiting = [node for node in targets if node not in self.needed]
        while waiting:
            node = waiting.pop()
            if node in found or node in self.needed:
                continue
            found.add(node)
            call, lazy = self.graph.calls[node], self._recipes[node].declaration.lazy_inputs
            waiting += [
                value.node for name, value in call.inputs.items() if isinstance(value, Wire) and name not in lazy
            ]
        return sorted(found, key=self._index.__getitem__)

    def _choose(self, node: str, oracle: Oracle) -> list[str]:
        """Settle which wires a node will get; returns the producers that only its choice makes needed."""
        declaration, call = self._recipes[node].declaration, self.graph.calls[node]
        inputs = declaration.by_input
        if not declaration.lazy_inputs:
            if node not in self.wires:
                self.wires[node] = tuple(
                    (name, value) for name, value in call.inputs.items() if isinstance(value, Wire) and name in inputs
                )
            return []
        chosen = self._chosen(node, oracle)
        left_out = frozenset(declaration.lazy_inputs).difference(chosen)
        self.unchosen[node] = left_out
        self.wires[node] = tuple(
            (name, value)
            for name, value in call.inputs.items()
            if isinstance(value, Wire) and name in inputs and name not in left_out
        )
        return [wire.node for _, wire in self.wires[node]]

    def _chosen(self, node: str, oracle: Oracle) -> Collection[str]:
        """The lazy inputs that the node asks for; all of them while the values it decides by are not known."""
        declaration, call = self._recipes[node].declaration, self.graph.calls[node]
        if declaration.lazy is None:
            return declaration.lazy_inputs
        values: dict[str, Any] = {}
        listed = []
        for entry in declaration.inputs:
            if entry.id in declaration.lazy_inputs:
                continue
            given = call.inputs.get(entry.id)
            values[entry.id] = oracle.value(given) if isinstance(given, Wire) else literal(entry, call)
            if isinstance(given, Wire) and self.listed(given) and not entry.is_list:
                listed.append(entry.id)
        if any(value is UNKNOWN for value in values.values()):
            return declaration.lazy_inputs
        try:
            return {name for item in per_item(values, listed) for name in declaration.lazy(**item)}
        except Exception as problem:
            self.errors[node] = problem
            return ()

    def _make(self, node: str, oracle: Oracle) -> None:
        recipe, call = self._recipes[node], self.graph.calls[node]
        left_out = self.unchosen.get(node, ())
        lists = tuple(
            name
            for name, wire in self.wires[node]
            if self.listed(wire) and not recipe.declaration.by_input[name].is_list
        )
        if lists:
            self.mapped[node] = lists
        else:
            self.mapped.pop(node, None)
        if node in self.errors or (recipe.declaration.lazy and not self._decided(node, oracle)):
            return
        parts = dict(recipe.head)
        for slot in recipe.slots:
            name = slot.entry.id
            if not slot.counts or name in left_out:
                continue
            given = call.inputs.get(name, REQUIRED)
            if isinstance(given, Wire):
                text = self._wire_text(node, given, slot, oracle)
            elif slot.file is not None:
                text = self._file_text(node, slot.file, literal(slot.entry, call))
            else:
                text = slot.default if given is REQUIRED else text_of(literal(slot.entry, call))
            if text is None:
                return
            parts[name] = text
        lines = "\n".join(f"{name}={text}" for name, text in parts.items())
        self.keys[node] = NodeKey(hashlib.sha256(f"{SCHEMA}\n{lines}".encode()).hexdigest(), parts)

    def _decided(self, node: str, oracle: Oracle) -> bool:
        """Whether a lazy node's choice rests on known values."""
        lazy = self._recipes[node].declaration.lazy_inputs
        return all(name in lazy or oracle.value(wire) is not UNKNOWN for name, wire in self.wires[node])

    def _wire_text(self, node: str, wire: Wire, slot: _Slot, oracle: Oracle) -> str | None:
        producer = self.keys.get(wire.node)
        if producer is None:
            return None
        prefix = "list of " if self.listed(wire) else ""
        if slot.file is not None:
            value = oracle.value(wire)
            return None if value is UNKNOWN else self._file_text(node, slot.file, value)
        if self._recipes[wire.node].declaration.by_value:
            digests = self._digests.get(wire.node) or oracle.digests(wire.node, producer.key)
            if digests is None:
                return None
            self._digests[wire.node] = digests
            if digests[wire.output] is not None:
                return f"{prefix}value {digests[wire.output]}"
        return f"{prefix}wire {wire.output} {producer.key}"

    def _file_text(self, node: str, widget: File, name: Any) -> str | None:
        """The content digest behind a file name, or behind each of a list of names."""
        if name is None or name == "":
            return "file none"
        if isinstance(name, list):
            texts = [self._file_text(node, widget, item) for item in name]
            return None if None in texts else f"list {texts}"
        try:
            path = self._folders.find(widget.folder, name)
            self.files.setdefault(node, {})[path] = self._files.state(path)
            return f"file {self._files.digest(path)}"
        except GlidewireError as problem:
            self.errors[node] = problem
            return None


def _order(graph: Graph) -> dict[str, int]:
    """The position of each node in a topological order."""
    import networkx as nx

    try:
        return {node: index for index, node in enumerate(graph.order())}
    except nx.NetworkXUnfeasible:
        raise GlidewireError(
            "the workflow has a cycle", hint="Check it first: that names the nodes concerned."
        ) from None
