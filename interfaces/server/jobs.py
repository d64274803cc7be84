"""Jobs: what was asked for, where it stands, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Status = Literal["pending", "in_progress", "completed", "failed", "cancelled"]
STATUSES: Final[tuple[Status, ...]] = ("pending", "in_progress", "completed", "failed", "cancelled")
FINISHED: Final[tuple[Status, ...]] = ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Args:
        outputs: Node id -> what the node showed: {"images": [...], "text": [...]}.
        messages: What clients were told, [kind, data] in order, without progress.
        error: The data of its execution_error message.
        nodes: Node id -> {"seconds", "nbytes", "outputs"} of each node that ran.
        digests: Of each effect node, as `glidewire run` reports them.
    """

    outputs: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[Any] = ()
    error: Mapping[str, Any] | None = None
    nodes: Mapping[str, Any] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One workflow to be run.

    Args:
        id: A lower-case UUID.
        number: Its place in the queue: lower runs sooner; equal numbers run in order of arrival.
        client: Who asked.
        workflow: The id of the saved workflow it came from, or "".
        created, started, ended: Milliseconds since 1970.
        summary: What lists show of it: outputs_count, preview_output, error.
    """

    id: str
    number: float = 0
    status: Status = "pending"
    client: str | None = None
    workflow: str = ""
    created: int = 0
    started: int | None = None
    ended: int | None = None
    attempts: int = 0
    serial: int = 0
    summary: Mapping[str, Any] = field(default_factory=dict)


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def summary_of(outcome: Outcome) -> dict[str, Any]:
    """What lists show of an outcome: how many files, the last of them, the error."""
    files = [
        {**entry, "nodeId": node, "mediaType": kind}
        for node, shown in outcome.outputs.items()
        for kind, entries in shown.items()
        if isinstance(entries, list)
        for entry in entries
        if isinstance(entry, Mapping) and "filename" in entry
    ]
    found: dict[str, Any] = {"outputs_count": len(files)}
    if files:
        found["preview_output"] = files[-1]
    if outcome.error:
        found["error"] = dict(outcome.error)
    return found
