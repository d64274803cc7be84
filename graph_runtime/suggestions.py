"""What to do about a problem: the names that were perhaps meant, and the nodes that would fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .declaration import InputDeclaration, NodeDeclaration, OutputDeclaration
from .dims import parse
from .folders import near
from .registry import Registry
from .sockets import fits
from .unify import Unifier

MOST = 3
"""How many nodes are named in one hint."""

MOST_SEARCHES = 100
"""After so many different searches the rest of a graph gets no names: it is no workflow with a mistake in it."""


class Flow(NamedTuple):
    """What comes out of a socket, or must go into one: the type's ids, the dims, and the tags as far as known."""

    types: tuple[str, ...]
    dims: str = "..."
    tags: tuple[str | None, ...] = ()


class Suggestions:
    """Looks through a registry for what the user may have meant; answers are remembered, searches are limited."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._ids = [name for entry in registry for name in (entry.id, *entry.aliases)]
        self._names = [entry.name for entry in registry]
        self._known: dict[object, str | None] = {}

    def node_named(self, name: str) -> str | None:
        """The ids closest to an unknown one."""
        if name not in self._known:
            pools = (self._names, self._ids) if name.islower() else (self._ids, self._names)
            found = (near(name, pool) for pool in pools) if self._may_search() else ()
            self._known[name] = next((hint for hint in found if hint), None)
        return self._known[name]

    def makers(self, wanted: Sequence[str]) -> str | None:
        """The nodes that yield a type, for an input that nothing is wired to."""
        key = ("makers", tuple(wanted))
        if "*" in wanted:
            return None
        if key not in self._known:
            found = [entry for entry in self._registry if any(_yields(output, wanted) for output in entry.outputs)]
            self._known[key] = f"Nodes that make it: {_titles(found)}." if found else None
        return self._known[key]

    def between(self, source: Flow, target: Flow) -> str | None:
        """The nodes that take what `source` is and give what `target` needs."""
        if (source, target) not in self._known:
            found = list(self._converters(source, target)) if self._may_search() else []
            found.sort(key=lambda entry: sum(_must_wire(given) for given in entry.inputs))
            self._known[source, target] = f"Nodes that fit between: {_titles(found)}." if found else None
        return self._known[source, target]

    def _may_search(self) -> bool:
        return len(self._known) < MOST_SEARCHES

    def _converters(self, source: Flow, target: Flow) -> Iterator[NodeDeclaration]:
        for entry in self._registry:
            if any(
                _takes(given, source.types)
                and _yields(output, target.types)
                and _bridges(given, output, source, target)
                for output in entry.outputs
                for given in entry.inputs
            ):
                yield entry


def _takes(given: InputDeclaration, types: Sequence[str]) -> bool:
    return "*" not in given.type_ids and fits(types, given.type_ids)


def _yields(output: OutputDeclaration, types: Sequence[str]) -> bool:
    return "*" not in output.type_ids and fits(output.type_ids, types)


def _must_wire(given: InputDeclaration) -> bool:
    return not given.is_literal and not given.optional


def _bridges(given: InputDeclaration, output: OutputDeclaration, source: Flow, target: Flow) -> bool:
    """Whether the dims of one input and one output of a node can be those of the two ends."""
    if target.dims != "..." and parse(output.dims).is_free:
        return False
    tags_differ = any(None not in pair and pair[0] != pair[1] for pair in zip(source.tags, target.tags, strict=False))
    if tags_differ and len(parse(output.dims).tags) < len(target.tags):
        return False
    unifier = Unifier()
    scope: dict[str, int] = {}
    for flow, dims in ((source, given.dims), (target, output.dims)):
        pattern = parse(dims)
        axes, clashes = unifier.instantiate(pattern, scope)
        there, _ = unifier.instantiate(parse(flow.dims), {})
        if clashes or unifier.match(axes, there):
            return False
        for tag, text in zip(pattern.tags, flow.tags, strict=False):
            if text is not None and unifier.settle(unifier.name(scope, f"@{tag}"), text):
                return False
    return True


def _titles(found: Iterable[NodeDeclaration]) -> str:
    return ", ".join([entry.title for entry in found][:MOST])
