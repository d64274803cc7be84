"""Demand: which of the needed nodes are found in the cache, which must run, and who waits for their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from .cache import Cache
from .graph import Graph, Wire
from .keys import UNKNOWN, Keys
from .registry import Registry

Status = Literal["memory", "disk", "run", "unneeded", "effect"]


@dataclass
class Demand:
    """What becomes of each needed node, and how many nodes that will run wait for each one's result."""

    status: dict[str, Status] = field(default_factory=dict)
    consumers: Counter[str] = field(default_factory=Counter)


class CacheOracle:
    """What the cache knows of values before anything runs."""

    def __init__(self, keys: Keys, cache: Cache) -> None:
        self._keys, self._cache = keys, cache

    def digests(self, node: str, key: str) -> tuple[str | None, ...] | None:
        """The digests of a by-value node's outputs, if it ever ran."""
        return self._cache.digests(key)

    def value(self, wire: Wire) -> Any:
        """A cached value, or UNKNOWN."""
        key = self._keys.keys.get(wire.node)
        found = self._cache.get(key.key) if key is not None else None
        return UNKNOWN if found is None else found[wire.output]


def targets_of(graph: Graph, registry: Registry, targets: Iterable[str] | None) -> tuple[str, ...]:
    """The given targets, or every effect node in order of the document."""
    if targets is not None:
        return tuple(dict.fromkeys(targets))
    found = ((call.id, registry.get(call.type)) for call in graph.calls.values())
    return tuple(node for node, declaration in found if declaration is not None and declaration.effect)


def demand(keys: Keys, cache: Cache, targets: Iterable[str], done: Container[str] = ()) -> Demand:
    """Pull from the targets: a node whose result is cached (or `done`) cuts off everything that only it needs."""
    made = Demand()
    wanted = set(targets)
    for node in reversed(keys.needed):
        if node not in wanted:
            made.status[node] = "unneeded"
            continue
        made.status[node] = found = "memory" if node in done else _status(keys, cache, node)
        if found in ("run", "effect"):
            producers = [wire.node for _, wire in keys.wires[node]]
            wanted.update(producers)
            made.consumers.update(producers)
    return made


def _status(keys: Keys, cache: Cache, node: str) -> Status:
    if keys.declaration(node).effect:
        return "effect"
    key = keys.keys.get(node)
    return (cache.lookup(key.key) if key is not None else None) or "run"
