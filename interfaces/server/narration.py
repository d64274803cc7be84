"""A run told to the editor: the runtime's events as the host's messages, in the host's order."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from ...graph_runtime import events
from ...graph_runtime.graph import Graph
from ...graph_runtime.problems import GraphProblems, NodeFailure
from .. import sources
from .frames import Message, NodeText, Outgoing, Preview, jpeg
from .jobs import Job, Outcome, Status, now

_PROGRESS_SECONDS: Final = 1 / 30
_PREVIEW_SECONDS: Final = 1 / 10
_FINISHED_SHOWN: Final = 8
"""How many finished nodes a progress_state lists: all of them would be quadratic in the size of the graph."""


class Narration:
    """The messages of one job, and what stays of them for clients that come later and for the history.

    Args:
        job: The job.
        graph: What runs.
    """

    def __init__(self, job: Job, graph: Graph) -> None:
        self._job, self._graph = job, graph
        self._lock = threading.Lock()
        self._base = {"prompt_id": job.id}
        self._kept: list[tuple[str, dict[str, Any]]] = []
        self._cached: list[str] = []
        self._waiting: list[str] = []
        self._states: dict[str, dict[str, Any]] = {}
        self._current: str | None = None
        self._told = self._pictured = 0.0
        self._outputs: dict[str, Any] = {}
        self._nodes: dict[str, Any] = {}
        self._digests: dict[str, str] = {}
        self._error: dict[str, Any] | None = None
        self._cancelled = self._cached_told = False

    def begin(self) -> list[Outgoing]:
        """The run is about to begin."""
        with self._lock:
            return [self._keep("execution_start", timestamp=now())]

    def hear(self, event: events.Event) -> list[Outgoing]:
        """The messages that an event means."""
        with self._lock:
            return self._messages(event)

    def refused(self, problem: Exception) -> list[Outgoing]:
        """The messages where the run could not even begin, or the runtime itself made a mistake."""
        first = problem.problems[0].node if isinstance(problem, GraphProblems) and problem.problems else ""
        kind = type(problem).__name__
        failure = NodeFailure(first or (self._current or ""), "", str(problem) or kind, kind)
        with self._lock:
            return self._failed(failure)

    def end(self) -> tuple[Status, Outcome, list[Outgoing]]:
        """What came of it, and the last messages."""
        with self._lock:
            last: list[Outgoing] = self._flush_cached()
            if not (self._error or self._cancelled):
                last.append(self._keep("execution_success", timestamp=now()))
            status: Status = "failed" if self._error else "cancelled" if self._cancelled else "completed"
            outcome = Outcome(self._outputs, self._kept, self._error, self._nodes, self._digests)
            return status, outcome, last

    def replay(self) -> list[Outgoing]:
        """What a client that comes in the middle has to be told to stand where the others stand."""
        with self._lock:
            said: list[Outgoing] = [
                self._message(kind, **data) for kind, data in self._kept if kind == "execution_start"
            ]
            if self._cached:
                said.append(self._message("execution_cached", nodes=list(self._cached), timestamp=now()))
            if self._states:
                said.append(self._progress_state())
            if self._current is not None:
                said.append(self._message("executing", node=self._current, display_node=self._current))
            said += [
                self._message("executed", node=node, display_node=node, output=shown)
                for node, shown in self._outputs.items()
            ]
            return said

    # One kind of event each

    def _messages(self, event: events.Event) -> list[Outgoing]:
        match event:
            case events.Cached(node=node, tier=tier):
                self._waiting.append(node)
                self._nodes[node] = {"cached": tier}
                return []
            case events.Started(node=node):
                self._current = node
                self._state(node, "running", 0, 1)
                executing = self._message("executing", node=node, display_node=node)
                return [*self._flush_cached(always=not self._cached_told), self._progress_state(), executing]
            case events.Progress():
                return self._progress(event)
            case events.Warned(node=node, message=message):
                client = self._job.client
                return [
                    self._message("glidewire_warning", node=node, message=message),
                    NodeText(node, f"⚠ {message}", client),
                ]
            case events.Finished():
                return self._finished(event)
            case events.Failed(failure=failure):
                return [*self._flush_cached(), *self._failed(failure)]
            case events.Cancelled():
                return [*self._flush_cached(), *self._interrupted()]
            case events.Completed(digests=digests):
                self._digests = dict(digests)
        return []

    def _progress(self, event: events.Progress) -> list[Outgoing]:
        moment = time.monotonic()
        state = self._states.get(event.node, {})
        last = event.done >= event.total and state.get("value") != event.done
        if moment - self._told < _PROGRESS_SECONDS and not last:
            return []
        self._told = moment
        self._state(event.node, "running", event.done, event.total)
        said: list[Outgoing] = [self._progress_state()]
        if event.preview is not None and (moment - self._pictured >= _PREVIEW_SECONDS or last):
            self._pictured = moment
            client = self._job.client
            said.append(Preview(jpeg(event.preview), self._node_facts(event.node), client, f"preview {event.node}"))
        data = {"value": event.done, "max": event.total, "node": event.node}
        said.append(self._message("progress", slot=f"progress {event.node}", **data))
        return said

    def _finished(self, event: events.Finished) -> list[Outgoing]:
        self._current = None
        said: list[Outgoing] = []
        facts = {"seconds": event.seconds, "nbytes": event.nbytes, "outputs": dict(event.outputs)}
        self._nodes[event.node] = facts
        if event.show:
            self._outputs[event.node] = dict(event.show)
            shown = dict(event.show)
            said.append(self._message("executed", node=event.node, display_node=event.node, output=shown))
        state = self._states.pop(event.node, {})
        self._state(event.node, "finished", state.get("max", 1), state.get("max", 1))
        said.append(self._progress_state())
        said.append(self._message("glidewire_finished", node=event.node, **facts))
        return said

    def _failed(self, failure: NodeFailure) -> list[Outgoing]:
        call = self._graph.calls.get(failure.node)
        if failure.node:
            self._state(failure.node, "error", 0, 1)
        # Our own errors speak for themselves; where it was somebody else's, the lines help to report it.
        foreign = failure.error.startswith(failure.kind)
        advice = sources.restart_advice()
        error = {
            "node_id": failure.node,
            "node_type": call.type if call else "",
            "executed": self._done(),
            "exception_message": f"{failure.error} {advice}" if advice else failure.error,
            "exception_type": failure.kind,
            "traceback": failure.traceback.splitlines(keepends=True) if foreign else [],
            "current_inputs": {name: [text] for name, text in failure.inputs.items()},
            "current_outputs": [],
            "timestamp": now(),
        }
        self._error = {**self._base, **error}
        return (
            [self._progress_state(), self._keep("execution_error", **error)]
            if failure.node
            else [self._keep("execution_error", **error)]
        )

    def _interrupted(self) -> list[Outgoing]:
        self._cancelled = True
        call = self._graph.calls.get(self._current or "")
        facts = {"node_id": self._current or "", "node_type": call.type if call else "", "executed": self._done()}
        return [self._keep("execution_interrupted", **facts, timestamp=now())]

    # What several of them need

    def _done(self) -> list[str]:
        return [node for node, facts in self._nodes.items() if "seconds" in facts]

    def _flush_cached(self, *, always: bool = False) -> list[Outgoing]:
        if not (self._waiting or always):
            return []
        self._cached_told = True
        nodes, self._waiting = self._waiting, []
        self._cached += nodes
        return [self._keep("execution_cached", nodes=nodes, timestamp=now())]

    def _state(self, node: str, state: str, value: float, most: float) -> None:
        self._states[node] = {"value": value, "max": most, "state": state, **self._node_facts(node)}
        finished = [name for name, entry in self._states.items() if entry["state"] == "finished"]
        for name in finished[:-_FINISHED_SHOWN]:
            del self._states[name]

    def _node_facts(self, node: str) -> dict[str, Any]:
        ids = {"node_id": node, "display_node_id": node, "parent_node_id": None, "real_node_id": node}
        return {**ids, **self._base}

    def _progress_state(self) -> Message:
        return self._message("progress_state", slot="progress_state", nodes=dict(self._states))

    def _keep(self, kind: str, **data: Any) -> Message:
        self._kept.append((kind, {**data, **self._base}))
        return self._message(kind, **data)

    def _message(self, kind: str, *, slot: str | None = None, **data: Any) -> Message:
        return Message(kind, {**data, **self._base}, self._job.client, slot)


def afterwards(job: Job, outcome: Outcome) -> list[Outgoing]:
    """What a client that was away while its job ended has to be told, to stand where it would stand."""
    told = [Message(kind, data, job.client) for kind, data in outcome.messages]
    shown = [
        Message("executed", {"node": node, "display_node": node, "output": output, "prompt_id": job.id}, job.client)
        for node, output in outcome.outputs.items()
    ]
    over = Message("executing", {"node": None, "prompt_id": job.id}, job.client)
    return [*told[:-1], *shown, *told[-1:], over]
