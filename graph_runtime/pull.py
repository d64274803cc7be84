"""One run: pull what the targets need out of the cache or through the nodes' functions, reporting each step."""

from __future__ import annotations

import time
from typing import Any

from ..errors import GlidewireError
from . import codec, events
from .calls import Caller, Made, failure, inputs_of
from .context import CancelledError
from .demand import CacheOracle, Demand, demand
from .graph import Wire
from .history import record_of, workflow_id
from .keys import UNKNOWN, Keys
from .problems import NodeFailure
from .results import RunResult, digest_of, digest_or_none


class _Stop(Exception):
    """A node failed and the run shall not go on."""


class Pull:
    """The state of one run; `result` runs it.

    Args:
        keys: Of the graph.
        caller: Calls nodes.
        targets: The nodes whose outputs (or effects) are wanted.
        keep_going: After a failure, go on with the nodes that do not depend on it.
    """

    def __init__(self, keys: Keys, caller: Caller, targets: tuple[str, ...], keep_going: bool) -> None:
        self._keys, self._caller, self._targets, self._keep_going = keys, caller, targets, keep_going
        self._cache, self._emit, self._name = caller.cache, caller.emit, caller.run
        self._live: dict[str, tuple[Any, ...]] = {}
        self._had: set[str] = set()
        self._missed: set[str] = set()
        self._announced: set[str] = set()
        self._demand = Demand()
        self._failures: dict[str, NodeFailure] = {}
        self._skipped: dict[str, str] = {}
        self._costs: dict[str, tuple[float, int]] = {}
        self._digests: dict[str, str] = {}

    def result(self) -> RunResult:
        """Run it."""
        begun = time.perf_counter()
        settled = self._keys.advance(self._targets, CacheOracle(self._keys, self._cache))
        self._demand = demand(self._keys, self._cache, self._targets)
        self._announce()
        pins = [self._keys.keys[node].key for node, found in self._demand.status.items() if found == "memory"]
        cancelled = False
        try:
            with self._cache.pinned(pins):
                if not settled:
                    self._keys.advance(self._targets, self)
                    self._redemand()
                for target in self._targets:
                    self._pull(target)
        except CancelledError:
            cancelled = True
            self._emit(events.Cancelled(run=self._name))
        except _Stop:
            pass
        outputs = {node: self._live[node] for node in self._targets if self._live.get(node)}
        self._digests.update({node: digest_of(value) for node, value in outputs.items() if node not in self._digests})
        ok = not (self._failures or self._skipped or cancelled)
        self._record(ok)
        seconds = time.perf_counter() - begun
        self._emit(events.Completed(run=self._name, ok=ok, seconds=seconds, digests=dict(self._digests)))
        failures = tuple(self._failures.values())
        return RunResult(ok, outputs, self._digests, failures, self._skipped, seconds, cancelled)

    # What the keys ask for while they are being made (keys.Oracle)

    def digests(self, node: str, key: str) -> tuple[str | None, ...] | None:
        """The digests of a by-value node's outputs, if need be by running it now."""
        known = self._cache.digests(key)
        if known is None and self._pull(node):
            known = tuple(digest_or_none(value) for value in self._live[node])
        return known

    def value(self, wire: Wire) -> Any:
        """What comes over a wire, if need be by running its producer now."""
        return self._live[wire.node][wire.output] if self._pull(wire.node) else UNKNOWN

    # Pulling

    def _pull(self, goal: str) -> bool:
        """Make a node's outputs be there, without recursion; False if it failed or had to be skipped."""
        stack = [goal]
        while stack:
            node = stack[-1]
            if self._settled(node) or self._found(node):
                stack.pop()
                continue
            waiting = [wire.node for _, wire in self._keys.wires[node] if not self._settled(wire.node)]
            if waiting:
                stack.extend(reversed(waiting))
            else:
                self._make(node)
        return goal in self._live

    def _settled(self, node: str) -> bool:
        return node in self._live or node in self._failures or node in self._skipped

    def _found(self, node: str) -> bool:
        """Take a node's outputs from the cache if they are there."""
        key = self._keys.keys.get(node)
        if key is None or node in self._missed or self._keys.declaration(node).effect:
            return False
        tier = self._cache.lookup(key.key)
        found = self._cache.get(key.key) if tier else None
        self._pass_warnings_on(node)
        if found is not None:
            if tier and node not in self._announced:  # its key was not known when the run began
                self._emit(events.Cached(**self._place(node), tier=tier))
            self._live[node] = found
            self._had.add(node)
            return True
        self._missed.add(node)
        if self._demand.status.get(node) in ("memory", "disk"):  # damaged, or evicted since
            self._demand.consumers.update(wire.node for _, wire in self._keys.wires[node])
        return False

    def _make(self, node: str) -> None:
        """Run a node whose inputs are all settled."""
        place = self._place(node)
        blamed = next((wire.node for _, wire in self._keys.wires[node] if wire.node not in self._live), None)
        if blamed is not None:
            self._skipped[node] = blamed
            self._emit(events.Skipped(**place, because=blamed))
            return
        if self._caller.cancel.cancelled:
            raise CancelledError
        self._emit(events.Started(**place))
        declaration, call = self._keys.declaration(node), self._keys.graph.calls[node]
        values = self._inputs(node)
        if node in self._keys.errors:
            made: Made | NodeFailure = failure(call, values, self._keys.errors[node])
        else:
            key = self._keys.keys.get(node)
            listed = self._keys.mapped.get(node, ())
            made = self._caller.call(declaration, call, values, listed, key.key if key else None)
            try:
                self._keys.require_same_files(node)
            except GlidewireError as problem:
                made = failure(call, values, problem)
        if isinstance(made, NodeFailure):
            self._failures[node] = made
            self._emit(events.Failed(**place, failure=made))
            if not self._keep_going:
                raise _Stop
            return
        self._live[node] = made.outputs
        self._costs[node] = made.seconds, codec.nbytes(made.outputs)
        self._had.add(node)
        if declaration.effect:
            self._digests[node] = self._digest_of_inputs(node, values)
        self._keep(node)
        described = {
            output.id: codec.describe(value) for output, value in zip(declaration.outputs, made.outputs, strict=True)
        }
        seconds, size = self._costs[node]
        self._emit(events.Finished(**place, seconds=seconds, nbytes=size, outputs=described, show=made.shown))
        self._release(node)

    def _inputs(self, node: str) -> dict[str, Any]:
        wired = {
            name: (self._live[wire.node][wire.output], self._keys.listed(wire)) for name, wire in self._keys.wires[node]
        }
        left_out = self._keys.unchosen.get(node, frozenset())
        return inputs_of(self._keys.declaration(node), self._keys.graph.calls[node], wired, left_out)

    def _keep(self, node: str) -> None:
        """Put a node's outputs into the cache."""
        declaration, key = self._keys.declaration(node), self._keys.keys.get(node)
        if key is None or declaration.effect:
            return
        outputs = self._live[node]
        handles = any(kind.handle for output in declaration.outputs for kind in output.types)
        digests = tuple(digest_or_none(value) for value in outputs) if declaration.by_value else None
        self._cache.put(key.key, outputs, self._costs[node][0], digests=digests, storable=not handles)
        self._pass_warnings_on(node)

    def _release(self, node: str) -> None:
        """Let go of the inputs whose last consumer this was; the cache may still hold them."""
        consumers = self._demand.consumers
        for _, wire in self._keys.wires[node]:
            consumers[wire.node] -= 1
            if consumers[wire.node] <= 0 and wire.node not in self._targets:
                self._live.pop(wire.node, None)

    def _redemand(self) -> None:
        """Look again at who waits for whom, now that every key is made."""
        self._demand = demand(self._keys, self._cache, self._targets, done=self._live)
        for node in list(self._live):
            if not self._demand.consumers[node] and node not in self._targets:
                del self._live[node]

    # Reporting

    def _place(self, node: str) -> dict[str, str]:
        return {"run": self._name, "node": node, "title": self._keys.graph.calls[node].shown_title}

    def _announce(self) -> None:
        status = self._demand.status
        will_run = tuple(node for node in self._keys.needed if status[node] in ("run", "effect"))
        self._emit(events.Queued(run=self._name, nodes=tuple(self._keys.needed), will_run=will_run))
        for node in self._keys.needed:
            if status[node] in ("memory", "disk"):
                self._announced.add(node)
                self._emit(events.Cached(**self._place(node), tier=status[node]))

    def _pass_warnings_on(self, node: str) -> None:
        for message in self._cache.take_warnings():
            self._emit(events.Warned(**self._place(node), message=message))

    def _digest_of_inputs(self, node: str, values: dict[str, Any]) -> str:
        """What went into an effect node: by value, and networks and other handles by the key that made them."""
        wires = dict(self._keys.wires[node])
        found: dict[str, str] = {}
        for entry in self._keys.declaration(node).inputs:
            if entry.widget is not None and entry.widget.cosmetic:
                continue
            known = digest_or_none(values[entry.id])
            if known is None and entry.id in wires:
                producer = self._keys.keys.get(wires[entry.id].node)
                known = f"{producer.key if producer else ''} {wires[entry.id].output}"
            found[entry.id] = known or ""
        return codec.digest(found)

    def _record(self, ok: bool) -> None:
        """Leave a record for the next `plan`: of the nodes whose result was there in the end, or not needed."""
        name = workflow_id(self._keys.graph)
        spared = {node for node, found in self._demand.status.items() if found not in ("run", "effect")}
        had = self._keys.needed if ok else (self._had | spared).difference(self._failures, self._skipped)
        last = self._cache.last_run(name)
        self._cache.record_run(name, record_of(self._keys, self._caller.environment, had, self._costs, last))
        if self._targets:
            self._pass_warnings_on(self._targets[-1])
