"""What `check` says of a few nodes of the pack."""

from __future__ import annotations

from typing import Any

from glidewire.graph_runtime.check import check
from glidewire.graph_runtime.graph import Graph, NodeCall
from glidewire.graph_runtime.problems import Problem
from glidewire.graph_runtime.registry import collect


def problems(materials: Any, *calls: NodeCall) -> tuple[Problem, ...]:
    """The problems of a graph of these nodes, over the folders of the materials."""
    return check(Graph(calls), collect("glidewire.nodes"), materials.context.folders).problems
