"""A readable automatic layout: columns from left to right along the wires, ordered so that few wires cross."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

COLUMN_GAP, ROW_GAP, TITLE_HEIGHT, BETWEEN_ROWS = 70.0, 26.0, 30.0, 20.0
SWEEPS = 4


@dataclass(frozen=True)
class Box:
    """The size of a node's body in the editor's units; its title bar stands above, `TITLE_HEIGHT` high."""

    width: float
    height: float

    @property
    def room(self) -> float:
        """The height that it takes up in a column."""
        return self.height + TITLE_HEIGHT + ROW_GAP


@dataclass(frozen=True)
class Edge:
    """A wire, with how far below the top of each node it leaves and enters."""

    origin: str
    target: str
    out_y: float = 0.0
    in_y: float = 0.0


def place(
    boxes: Mapping[str, Box], edges: Iterable[Edge], most_width: float = math.inf
) -> dict[str, tuple[float, float]]:
    """Give every node a position (left, top of its body) so that no two overlap and wires run to the right.

    A node's column is the longest path that leads to it; nodes without inputs stand just before what they feed.
    Inside a column nodes are ordered by the mean height of what they are wired to (the barycentre heuristic), swept
    to and fro a few times.

    Args:
        boxes: Node id -> size, in document order, which decides ties.
        edges: The wires; those from or to unknown nodes are ignored. Circles are allowed.
        most_width: Columns that would stand further to the right begin a new row below, as words on a page do; wires
            to them run back. A single column may be wider.

    Returns:
        Node id -> (x, y).

    Source:
        Sugiyama, Tagawa & Toda 1981, "Methods for Visual Understanding of Hierarchical System Structures".
    """
    known = [edge for edge in edges if edge.origin in boxes and edge.target in boxes and edge.origin != edge.target]
    columns = _columns(boxes, known)
    into: dict[str, list[Edge]] = defaultdict(list)
    out_of: dict[str, list[Edge]] = defaultdict(list)
    for edge in known:
        into[edge.target].append(edge)
        out_of[edge.origin].append(edge)
    tops: dict[str, float] = {}
    for column in columns:
        _stack(column, boxes, tops, {})
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for column in columns if forward else reversed(columns):
            wanted = {name: _wanted(into[name] if forward else out_of[name], tops, forward) for name in column}
            kept = {name: tops[name] if height is None else height for name, height in wanted.items()}
            column.sort(key=kept.__getitem__)
            _stack(column, boxes, tops, kept)
    positions: dict[str, tuple[float, float]] = {}
    above = 0.0
    for row in _rows(columns, boxes, most_width):
        highest = min(tops[name] for column in row for name in column)
        left = 0.0
        for column in row:
            positions |= {name: (round(left), round(above + tops[name] - highest + TITLE_HEIGHT)) for name in column}
            left += _width(column, boxes) + COLUMN_GAP
        above += max(tops[name] + boxes[name].room - highest for column in row for name in column) + BETWEEN_ROWS
    return {name: positions[name] for name in boxes}


def _width(column: Iterable[str], boxes: Mapping[str, Box]) -> float:
    return max(boxes[name].width for name in column)


def _rows(columns: Iterable[list[str]], boxes: Mapping[str, Box], most_width: float) -> list[list[list[str]]]:
    """Columns in rows, each as wide as may be."""
    rows: list[list[list[str]]] = []
    right = math.inf
    for column in columns:
        right += COLUMN_GAP + _width(column, boxes)
        if right > most_width or not rows:
            rows.append([])
            right = _width(column, boxes)
        rows[-1].append(column)
    return rows


def _columns(boxes: Mapping[str, Box], edges: Sequence[Edge]) -> list[list[str]]:
    """The columns from left to right; the nodes of a circle share one."""
    import networkx as nx

    network: nx.DiGraph = nx.DiGraph()
    network.add_nodes_from(boxes)
    network.add_edges_from((edge.origin, edge.target) for edge in edges)
    condensed = nx.condensation(network)
    layer: dict[int, int] = {}
    for depth, generation in enumerate(nx.topological_generations(condensed)):
        layer |= dict.fromkeys(generation, depth)
    for group in condensed:
        if not condensed.in_degree(group) and condensed.out_degree(group):
            layer[group] = min(layer[after] for after in condensed.successors(group)) - 1
    column_of = condensed.graph["mapping"]
    columns: dict[int, list[str]] = defaultdict(list)
    for name in boxes:
        columns[layer[column_of[name]]].append(name)
    return [columns[depth] for depth in sorted(columns)]


def _wanted(edges: Sequence[Edge], tops: Mapping[str, float], forward: bool) -> float | None:
    """The top at which a node's wires would run level on average; None where it has none on that side."""
    if not edges:
        return None
    if forward:
        return sum(tops[edge.origin] + edge.out_y - edge.in_y for edge in edges) / len(edges)
    return sum(tops[edge.target] + edge.in_y - edge.out_y for edge in edges) / len(edges)


def _stack(
    column: Sequence[str], boxes: Mapping[str, Box], tops: dict[str, float], wanted: Mapping[str, float]
) -> None:
    """Set the tops of a column in order, as near to what is wanted as the others leave room, without overlap."""
    bottom = float("-inf")
    shift = 0.0
    for name in column:
        tops[name] = max(wanted.get(name, 0.0), bottom)
        bottom = tops[name] + boxes[name].room
        shift += tops[name] - wanted.get(name, 0.0)
    if wanted:
        for name in column:
            tops[name] -= shift / len(column)
