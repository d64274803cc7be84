"""The Python door: `Workflow` writes a graph; `run`, `check` and `plan` take any graph or file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack

from ..graph_runtime.check import Report
from ..graph_runtime.events import Event
from ..graph_runtime.plan import Plan
from .python_source import as_python
from .results import Results, RunFailedError
from .session import SessionOptions
from .workflow import Source, Workflow

__all__ = ["Results", "RunFailedError", "Workflow", "as_python", "check", "plan", "run"]


def run(
    source: Source,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002
    on_event: Callable[[Event], None] = lambda event: None,
    **options: Unpack[SessionOptions],
) -> Results:
    """Run a saved workflow, an API form, a picture, a shipped workflow's name or a graph.

    Args:
        source: What to run.
        set: Inputs to change, by name: `{"prompt": "a red cube", "3.seed": 7}`.
        on_event: Receives the runtime's events.
        options: Those of `SessionOptions`.

    Raises:
        GlidewireError: it cannot be read or a name means no input; GraphProblems where something is wrong with
            it; RunFailedError where a node failed.
    """
    flow = Workflow.load(source)
    flow.set(**(set or {}))
    return flow.run(on_event=on_event, **options)


def check(source: Source, **options: Unpack[SessionOptions]) -> Report:
    """Every problem of a workflow in one pass, and the dims on its wires; `source` as in `run`."""
    return Workflow.load(source).check(**options)


def plan(source: Source, **options: Unpack[SessionOptions]) -> Plan:
    """What would run, what is cached, and why; `source` as in `run`."""
    return Workflow.load(source).plan(**options)
