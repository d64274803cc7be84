"""`run`: the whole of a workflow, or what some targets need, from the cache or through the nodes' functions."""

from __future__ import annotations

import queue
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from . import events
from .cache import Cache
from .calls import Caller
from .context import CancelToken, Policy
from .demand import targets_of
from .environment import deterministic, environment
from .folders import Folders
from .graph import Graph
from .keys import Keys
from .pull import Pull
from .registry import Registry
from .results import RunResult

__all__ = ["RunResult", "run", "stream"]


def run(
    graph: Graph,
    registry: Registry,
    cache: Cache,
    *,
    folders: Folders,
    policy: Policy,
    targets: Iterable[str] | None = None,
    on_event: events.Listener = lambda event: None,
    cancel: CancelToken | None = None,
    keep_going: bool = False,
    provenance: Mapping[str, str] | None = None,
    previews: bool = False,
    frames: bool = False,
) -> RunResult:
    """Run what the targets need and the cache does not have; one node at a time, each after those that it needs.

    Args:
        graph: A workflow that `check` found in order.
        registry: The node types.
        cache: Looked into first; gets what is made.
        folders: Where nodes read and write.
        policy: Device and number type.
        targets: Node ids; by default every effect node.
        on_event: Called with every event, in order, in this thread.
        cancel: Polled between nodes and by nodes between steps.
        keep_going: After a failure, go on with the nodes that do not depend on it.
        provenance: What saved pictures shall carry.
        previews: Whether anybody looks at pictures of steps.
        frames: Whether nodes leave frames of their steps in the cache, for the step inspector.

    Returns: Outputs, digests and failures; a failing node raises nothing here.

    Raises:
        GlidewireError: the graph was not checked: unknown types, broken wires, a cycle.
    """
    facts = environment(policy)
    keys = Keys(graph, registry, folders, facts, cache.files)
    caller = Caller(
        run=uuid.uuid4().hex[:12],
        cache=cache,
        policy=policy,
        folders=folders,
        cancel=cancel or CancelToken(),
        environment=facts,
        emit=on_event,
        provenance=dict(provenance or {}),
        previews=previews,
        frames=frames,
    )
    with deterministic(policy):
        return Pull(keys, caller, targets_of(graph, registry, targets), keep_going).result()


def stream(
    graph: Graph, registry: Registry, cache: Cache, *, cancel: CancelToken | None = None, **options: Any
) -> Iterator[events.Event]:
    """`run` in a thread of its own, as an iterator of its events; closing the iterator cancels the run.

    Raises:
        GlidewireError: as `run`.
    """
    token = cancel or CancelToken()
    waiting: queue.SimpleQueue[events.Event | BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            run(graph, registry, cache, cancel=token, on_event=waiting.put, **options)
            waiting.put(None)
        except BaseException as problem:
            waiting.put(problem)

    thread = threading.Thread(target=work, name="glidewire run", daemon=True)
    thread.start()
    try:
        while (event := waiting.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        token.cancel()
        thread.join()
