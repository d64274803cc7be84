"""The dims of every socket of a graph, unified over its wires from literals, headers and configs alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from ..errors import GlidewireError
from .dims import Pattern
from .folders import Folders
from .graph import Graph, NodeCall, Wire
from .headers import Headers, Layout
from .misfits import Said, misfit, no_size, unreadable
from .problems import Problem
from .registry import Registry
from .suggestions import Flow, Suggestions
from .unify import Axes, Unifier


class Shape(NamedTuple):
    """The axes and tags of one socket."""

    axes: Axes
    tags: tuple[int, ...] = ()


class Shapes(Mapping[tuple[str, int], str]):
    """The dims of the outputs of a graph, as text; the nodes are visited in topological order.

    Sockets of a type variable pass on all dims of the one wire that surely flows through them, tags included; where
    several may flow (a switch whose condition is wired) nothing is known behind them. Tags beyond those that an
    output states come from the wires of its own type, if they agree: a node need not know all that others say.

    Args:
        graph, registry: The graph, and the nodes that there are.
        types: The types of each output, filled before the node's consumers are visited.
        folders: Where the files lie whose headers are read.
        suggestions: Finds nodes that would fit between two sockets that clash.
    """

    def __init__(
        self,
        graph: Graph,
        registry: Registry,
        types: Mapping[tuple[str, int], tuple[str, ...]],
        folders: Folders,
        suggestions: Suggestions,
    ) -> None:
        self.problems: list[Problem] = []
        self._graph, self._registry, self._types, self._suggestions = graph, registry, types, suggestions
        self._headers = Headers(folders)
        self._unifier = Unifier()
        self._outputs: dict[tuple[str, int], Shape] = {}
        self._scopes: dict[str, dict[str, int]] = {}

    def __getitem__(self, output: tuple[str, int]) -> str:
        return self._show(self._outputs[output])

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    def visit(self, call: NodeCall, layout: Layout, values: Mapping[str, Any], wires: Mapping[str, Wire]) -> None:
        """Take in one node.

        Args:
            call: The node.
            layout: Its declaration's sockets.
            values: Its literals that are in order, defaults and constants that come over wires among them.
            wires: Its wires that lead to an output of a fitting type.
        """
        declaration = layout.declaration
        scope: dict[str, int] = {}
        if declaration.validate:
            self._scopes[call.id] = scope
        for given in layout.named:
            value = values.get(given.id)
            self._say(scope, given.id, value, Said(call.id, f"input {given.id}", f"is {value}"))
        if declaration.static_dims:
            self._read_headers(call, layout, values, scope)
        live = _live(layout, values, wires)
        for name, wire in live.items():
            pattern, source = layout.inputs[name], self._outputs.get((wire.node, wire.output))
            if source and not pattern.is_free and not declaration.by_input[name].variable:
                self._join(call, name, wire, source, layout, scope)
        for index, (pattern, output) in enumerate(zip(layout.outputs, declaration.outputs, strict=True)):
            if output.variable:
                passed = [wire for name, wire in live.items() if declaration.by_input[name].variable == output.variable]
                source = self._outputs.get((passed[0].node, passed[0].output)) if len(passed) == 1 else None
                if source:
                    self._outputs[call.id, index] = source
            elif not pattern.is_free:
                axes, clashes = self._unifier.instantiate(pattern, scope, Said(call.id, f"output {output.id}"))
                tags = (*self._tags(pattern, scope), *self._further_tags(layout, index, live))
                self._outputs[call.id, index] = Shape(axes, tags)
                self.problems += [no_size(call, clash) for clash in clashes]

    def known(self, node: str, name: str) -> int | str | None:
        """The number or text behind a name or a tag of a node that has validations, or None."""
        scope = self._scopes[node]
        variable = scope.get(name, scope.get(f"@{name}"))
        value = None if variable is None else self._unifier.value(variable)
        return value if isinstance(value, int | str) else None

    def _say(self, scope: dict[str, int], name: str, value: Any, said: Said) -> None:
        if type(value) is int and value >= 0:
            scope[name] = self._unifier.variable(name, value, said)
        elif type(value) is str:
            scope[f"@{name}"] = self._unifier.variable(name, value, said)

    def _read_headers(self, call: NodeCall, layout: Layout, values: Mapping[str, Any], scope: dict[str, int]) -> None:
        try:
            said = self._headers.read(layout, values)
        except GlidewireError as error:
            takers = self._headers.takers(self._registry, layout.declaration, values)
            self.problems.append(unreadable(call, layout.declaration, error, takers))
            return
        files = ", ".join(self._headers.files(layout, values))
        for name, value in said.items():
            words = f"states {name} {value}" + (f" ({files})" if files else "")
            self._say(scope, name.removeprefix("@"), value, Said(call.id, "", words))

    def _tags(self, pattern: Pattern, scope: dict[str, int]) -> tuple[int, ...]:
        return tuple([self._unifier.name(scope, f"@{tag}") for tag in pattern.tags]) if pattern.tags else ()

    def _further_tags(self, layout: Layout, index: int, live: Mapping[str, Wire]) -> tuple[int, ...]:
        """Tags after those that an output states: those on which all wires of its own type agree pass through."""
        stated, types = len(layout.outputs[index].tags), layout.declaration.outputs[index].type_ids
        alike = [wire for name, wire in live.items() if layout.declaration.by_input[name].type_ids == types]
        if not stated or not alike:
            return ()
        shapes = [self._outputs.get((wire.node, wire.output)) for wire in alike]
        found = [shape.tags[stated:] if shape else () for shape in shapes]
        agreed = [self._agreed(tags) for tags in zip(*found, strict=False)]
        while agreed and self._unifier.value(agreed[-1]) is None:
            agreed.pop()
        return tuple(agreed)

    def _agreed(self, tags: tuple[int, ...]) -> int:
        """What several wires say of one tag: that of the first where all say the same, else something unknown."""
        values = {self._unifier.value(tag) for tag in tags}
        return tags[0] if len(values) == 1 else self._unifier.variable(self._unifier.label(tags[0]))

    def _join(
        self, call: NodeCall, name: str, wire: Wire, source: Shape, layout: Layout, scope: dict[str, int]
    ) -> None:
        """Unify the two ends of a wire; everything in which they differ is one problem."""
        here, pattern = Said(call.id, f"input {name}"), layout.inputs[name]
        axes, clashes = self._unifier.instantiate(pattern, scope, here)
        clashes += self._unifier.match(source.axes, axes, here)
        target = Shape(axes, self._tags(pattern, scope))
        for there, mine, tag in zip(source.tags, target.tags, pattern.tags, strict=False):
            clash = self._unifier.equate(there, mine)
            clashes += [replace(clash, what=f"@{tag}")] if clash else []
        if not clashes:
            return
        given = layout.declaration.by_input[name]
        hint = self._suggestions.between(
            self._flow(self._types[wire.node, wire.output], source), self._flow(given.type_ids, target)
        )
        texts = (self._show(source), self._show(target))
        self.problems.append(misfit(self._graph, (call, name), self._end(wire), texts, clashes, hint))

    def _end(self, wire: Wire) -> tuple[NodeCall, str]:
        declaration = self._registry.get(self._graph.calls[wire.node].type)
        assert declaration is not None
        return self._graph.calls[wire.node], declaration.outputs[wire.output].id

    def _flow(self, types: tuple[str, ...], shape: Shape) -> Flow:
        tags = tuple(None if (known := self._unifier.value(tag)) is None else str(known) for tag in shape.tags)
        return Flow(types, self._unifier.show(shape.axes, "_"), tags)

    def _show(self, shape: Shape) -> str:
        """Dims as text: "1 64 width @autoencoder=kl-f8", sizes where they are known."""
        tags = [
            f"@{self._unifier.label(tag).lstrip('@')}" + (f"={known}" if (known := self._unifier.value(tag)) else "")
            for tag in shape.tags
        ]
        return " ".join([self._unifier.show(shape.axes), *tags]).strip()


def _live(layout: Layout, values: Mapping[str, Any], wires: Mapping[str, Wire]) -> Mapping[str, Wire]:
    """The wires through which values will surely flow: of the lazy ones those that are asked for already now."""
    declaration = layout.declaration
    if declaration.lazy is None or not declaration.lazy_inputs:
        return wires
    lazy = set(declaration.lazy_inputs)
    eager = {given.id: values.get(given.id) for given in declaration.inputs if given.id not in lazy}
    needed: set[str] = set()
    if not (wires.keys() & eager.keys()) - values.keys():
        # A function that trips over its literals here trips in the run as well, and says so there.
        with suppress(Exception):
            needed = set(declaration.lazy(**eager))
    return {name: wire for name, wire in wires.items() if name not in lazy or name in needed}
