"""What a run leaves for the next: the parts of every key, so that `why` can say which of them changed."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from .graph import Graph
from .keys import Keys


def workflow_id(graph: Graph) -> str:
    """The identity of a workflow over its edits: the id it was saved with, else the one it would be saved with now."""
    saved = (graph.document or {}).get("id")
    return f"saved {saved if isinstance(saved, str) and saved else graph.fresh_id()}"


def record_of(
    keys: Keys,
    environment: Mapping[str, str],
    had: Container[str],
    costs: Mapping[str, tuple[float, int]],
    last: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The record of a run, as plain JSON.

    Args:
        keys: Of the graph that ran.
        environment: The facts behind "@environment".
        had: The nodes whose result was there in the end, or was not needed.
        costs: Seconds and bytes of each node that ran.
        last: The record before: nodes that did not come to a result keep what it says.
    """
    before = (last or {}).get("nodes", {})
    nodes: dict[str, Any] = {}
    for node in keys.graph.calls:
        key = keys.keys.get(node)
        if key is not None and node in had:
            cost = costs.get(node) or before.get(node, {}).get("cost")
            nodes[node] = {"key": key.key, "parts": dict(key.parts), "cost": cost and list(cost)}
        elif node in before:
            nodes[node] = before[node]
    return {"environment": dict(environment), "nodes": nodes}
