"""The state of a graph as an editor marks it: what is wrong, what flows, what would run, what that costs and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import GlidewireError
from ...graph_runtime.check import Report
from ...graph_runtime.formats import examine
from ...graph_runtime.graph import Graph, Wire
from ...graph_runtime.plan import Entry, Plan
from ...graph_runtime.problems import Problem
from ..session import Session


@dataclass
class Costs:
    """What nodes of each type took last, for the estimate of those that never ran in a workflow."""

    seconds: dict[str, float] = field(default_factory=dict)

    def note(self, graph: Graph, plan: Plan) -> None:
        """Remember what a plan knows."""
        for node, entry in plan.entries.items():
            if entry.seconds is not None:
                self.seconds[graph.calls[node].type] = entry.seconds


def read_graph(session: Session, prompt: Mapping[str, Any], workflow: Any = None) -> tuple[Graph, tuple[Problem, ...]]:
    """The graph of an API form, with the saved workflow that tells which workflow it is, and its problems.

    Nodes that the session does not know (another pack's) are left out together with the wires from them.

    Raises:
        GlidewireError: it is no workflow at all.
    """
    if not prompt:
        return Graph(()), ()
    reading = examine(prompt, session.registry)
    calls = reading.graph.calls
    known = {node for node, call in calls.items() if session.registry.get(call.type)}
    kept = [call for node, call in calls.items() if node in known]
    document = workflow if isinstance(workflow, Mapping) else None
    problems = tuple(problem for problem in reading.problems if not problem.node or problem.node in known)
    return Graph(kept, document), problems


def state(session: Session, graph: Graph, problems: tuple[Problem, ...], costs: Costs) -> dict[str, Any]:
    """Everything that the editor marks on the nodes of a graph.

    Returns:
        "problems"; "dims" and "types" of each node's outputs, by node; "marks" by node: status, why, roots, key,
        seconds, nbytes, guessed (whether the seconds are another node's of the same type); "totals".
    """
    report = session.check(graph)
    found = [*problems, *(one for one in report.problems if not _foreign(graph, one))]
    blocked = _blocked(graph, report)
    runnable = Graph((call for node, call in graph.calls.items() if node not in blocked), graph.document)
    plan = _plan(session, runnable, None)
    # What nobody asks for may be cached all the same: as if it were asked for.
    alone = _plan(session, runnable, list(runnable.calls))
    costs.note(runnable, alone)
    marks = {}
    for node, entry in alone.entries.items():
        wanted = plan.entries.get(node, entry)
        shown = wanted if wanted.status != "unneeded" or entry.status not in ("memory", "disk") else entry
        marks[node] = _mark(runnable, node, shown, entry.key, costs)
    waiting = [mark["seconds"] or 0.0 for mark in marks.values() if mark["status"] in ("run", "effect")]
    return {
        "problems": [problem.as_json() for problem in found],
        "dims": _by_node(report.dims),
        "types": _by_node(report.types),
        "marks": marks,
        "totals": {"seconds": sum(waiting), "saved": plan.saved, "nodes": len(plan.will_run)},
    }


def misfits(session: Session, graph: Graph, node: str, output: int) -> dict[str, dict[str, Any]]:
    """Where a wire from an output cannot go because of what is known of its dims.

    Args:
        session: Knows the nodes.
        graph: As it is.
        node, output: Where the wire comes from.

    Returns:
        For each "node input" that it would not fit, the problem. Inputs of other types are not listed.
    """
    if node not in graph.calls:
        return {}
    upstream = graph.needed_by([node])
    types = session.check(Graph(graph.calls[one] for one in graph.calls if one in upstream)).types
    flowing = set(types.get((node, output), ()))
    found: dict[str, dict[str, Any]] = {}
    for call in graph.calls.values():
        declaration = session.registry.get(call.type)
        if declaration is None or call.id in upstream:
            continue
        for entry in declaration.inputs:
            if not flowing & set(entry.type_ids) or call.inputs.get(entry.id) == Wire(node, output):
                continue
            trial = graph.with_inputs(call.id, **{entry.id: Wire(node, output)})
            problem = _misfit(session, trial, call.id, entry.id)
            if problem is not None:
                found[f"{call.id} {entry.id}"] = problem.as_json()
    return found


def _misfit(session: Session, trial: Graph, node: str, given: str) -> Problem | None:
    """What is wrong with the wire into one input, judged by what lies above it alone."""
    upstream = trial.needed_by([node])
    report = session.check(Graph(trial.calls[one] for one in trial.calls if one in upstream))
    told = (one for one in report.problems if one.kind in ("wrong_dims", "wrong_type"))
    return next((one for one in told if one.node == node and one.input == given), None)


def _blocked(graph: Graph, report: Report) -> set[str]:
    """The nodes with problems of their own, and all that hang on them."""
    blocked = {problem.node for problem in report.problems if problem.node}
    blocked |= {call.id for call in graph.calls.values() for _, wire in call.wires if wire.node not in graph.calls}
    waiting = list(blocked)
    while waiting:
        node = waiting.pop()
        for consumer in graph.network.successors(node) if node in graph.network else ():
            if consumer not in blocked:
                blocked.add(consumer)
                waiting.append(consumer)
    return blocked


def _plan(session: Session, graph: Graph, targets: list[str] | None) -> Plan:
    """The plan for these targets, or for every effect; empty where there is nothing to plan."""
    try:
        return session.plan(graph, targets)
    except GlidewireError:
        return Plan({})


def _foreign(graph: Graph, problem: Problem) -> bool:
    """Problems that only say that a wire comes from a node of another pack."""
    return problem.kind == "missing_node" and problem.got not in graph.calls


def _mark(graph: Graph, node: str, entry: Entry, key: str | None, costs: Costs) -> dict[str, Any]:
    kind = graph.calls[node].type
    guess = costs.seconds.get(kind) if entry.seconds is None else None
    return {
        "status": entry.status,
        "why": entry.why.text,
        "kind": entry.why.kind,
        "roots": list(entry.why.roots),
        "key": key,
        "seconds": guess if entry.seconds is None else entry.seconds,
        "nbytes": entry.nbytes,
        "guessed": guess is not None,
    }


def _by_node(outputs: Mapping[tuple[str, int], Any]) -> dict[str, dict[int, Any]]:
    found: dict[str, dict[int, Any]] = {}
    for (node, output), value in outputs.items():
        found.setdefault(node, {})[output] = list(value) if isinstance(value, tuple) else value
    return found
