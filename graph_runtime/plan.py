"""`plan`: what a run would do with each node, and why, without running anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .cache import Cache
from .context import Policy
from .demand import CacheOracle, Status, demand, targets_of
from .environment import environment
from .folders import Folders
from .graph import Graph
from .history import workflow_id
from .keys import Keys
from .registry import Registry
from .why import Explainer, Why


@dataclass(frozen=True, slots=True)
class Entry:
    """What a run would do with one node.

    Args:
        status: "memory" or "disk": found there. "run": it will run. "effect": it always runs. "unneeded": nobody
            asks for it, or whoever does is cached.
        key: Its key; None while it hangs on a value that is not known before the run.
        why: The reason.
        seconds: What it took when it last ran, if that is known.
        nbytes: The size of its result then.
    """

    status: Status
    key: str | None
    why: Why
    seconds: float | None = None
    nbytes: int | None = None


@dataclass(frozen=True)
class Plan:
    """What a run would do with each node of a graph, in an order in which they could run.

    Args:
        entries: By node id.
        seconds: What the nodes that will run took when they last ran; nodes that never ran count as nothing.
        nbytes: The size of what they made then.
        saved: What the nodes found in the cache took.
    """

    entries: Mapping[str, Entry]
    seconds: float = 0.0
    nbytes: int = 0
    saved: float = 0.0

    @property
    def will_run(self) -> tuple[str, ...]:
        """The nodes that will run."""
        return tuple(node for node, entry in self.entries.items() if entry.status in ("run", "effect"))


def plan(
    graph: Graph,
    registry: Registry,
    cache: Cache,
    *,
    folders: Folders,
    policy: Policy,
    targets: Iterable[str] | None = None,
) -> Plan:
    """Say for each node whether it is cached (where), will run or is not needed, and why.

    Args:
        graph: A workflow that `check` found in order.
        registry: The node types.
        cache: Looked into, not changed.
        folders: Where file inputs are.
        policy: Device and number type.
        targets: Node ids; by default every effect node.

    Raises:
        GlidewireError: the graph was not checked: unknown types, broken wires, a cycle.
    """
    facts = environment(policy)
    keys = Keys(graph, registry, folders, facts, cache.files)
    chosen = targets_of(graph, registry, targets)
    keys.advance(chosen, CacheOracle(keys, cache))
    status = demand(keys, cache, chosen).status
    explain = Explainer(keys, status, facts, cache.last_run(workflow_id(graph)))
    entries: dict[str, Entry] = {}
    for node in keys.needed:
        entries[node] = _entry(keys, cache, explain, node, status[node])
    for node in graph.calls:
        if node not in entries:
            entries[node] = Entry("unneeded", None, explain.unneeded())
    return Plan(
        entries,
        seconds=sum(entry.seconds or 0.0 for entry in entries.values() if entry.status in ("run", "effect")),
        nbytes=sum(entry.nbytes or 0 for entry in entries.values() if entry.status in ("run", "effect")),
        saved=sum(entry.seconds or 0.0 for entry in entries.values() if entry.status in ("memory", "disk")),
    )


def _entry(keys: Keys, cache: Cache, explain: Explainer, node: str, status: Status) -> Entry:
    key = keys.keys.get(node)
    cached = cache.cost(key.key) if key is not None and status in ("memory", "disk") else None
    seconds, nbytes = cached or explain.cost(node) or (None, None)
    return Entry(status, key.key if key else None, explain.why(node), seconds, nbytes)
