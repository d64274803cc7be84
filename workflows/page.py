"""A workflow written as an explanation: titled nodes in groups that are read from left to right, with a note."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from ..graph_runtime import formats
from ..graph_runtime.formats.layout import Box, Edge, place
from ..interfaces.api import Workflow

T = TypeVar("T")
_COLOURS = ("#3f5159", "#593f59", "#3f593f", "#595131", "#59403f", "#3f4459")
_MARGIN, _HEAD, _TITLE, _PREVIEW = 24.0, 64.0, 30.0, 270.0
_NOTE_WIDTH, _NOTE_HEIGHT, _LINE, _LETTERS = 700.0, 200.0, 22.0, 94
_SCREEN = (1700.0, 900.0)  # what a usual screen leaves for the graph
_GROUP_WIDTHS = (math.inf, 1600.0, 1200.0, 1000.0)
_PAGE_WIDTHS = (math.inf, *(500.0 * number for number in range(12, 2, -1)))
_READABLE = 0.6  # editors draw no letters at a smaller zoom
_WORTH = 1.04  # a more broken arrangement is taken where it is shown so many times larger


class Page:
    """A workflow that is being written, group by group.

    Args:
        flow: Where node calls are recorded.
    """

    def __init__(self, flow: Workflow) -> None:
        self.flow = flow
        self.groups: dict[str, list[str]] = {}

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Every node that is called inside belongs to the group of this title; a title may be taken up again."""
        before = set(self.flow.graph.calls)
        yield
        self.groups.setdefault(title, []).extend(call for call in self.flow.graph.calls if call not in before)

    def titled(self, title: str, outputs: T) -> T:
        """Give the node that was just called a title."""
        return self.flow.titled(title, outputs)


@dataclass(frozen=True)
class Shipped:
    """A workflow that comes with the pack.

    Args:
        build: Writes the node calls, all of them in groups.
        note: What it shows, and which section of which paper it follows.
        minis: The checkpoints without which it cannot run.
    """

    build: Callable[[Page], None]
    note: str
    minis: tuple[str, ...]


def document(name: str, shipped: Shipped) -> dict[str, Any]:
    """The saved workflow called `name`, laid out by its groups, with its note."""
    with Workflow(name) as flow:
        page = Page(flow)
        shipped.build(page)
    saved = formats.to_saved(flow.graph, flow.registry)
    saved["id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, f"glidewire/workflows/{name}"))
    effects = {str(node["id"]) for node in saved["nodes"] if not node["outputs"]}
    saved["groups"] = _arranged(saved, page.groups, effects)
    saved["nodes"].append(_note(saved, shipped.note))
    saved["last_node_id"] = max(node["id"] for node in saved["nodes"])
    saved["extra"] = _first_view(saved)
    return saved


@dataclass(frozen=True)
class _Arrangement:
    """Where nodes stand within their groups, and groups on the page."""

    inside: Mapping[str, Mapping[str, tuple[float, float]]]
    frames: Mapping[str, Box]
    corners: Mapping[str, tuple[float, float]]

    @property
    def zoom(self) -> float:
        """How large the whole page is shown on a usual screen."""
        right = max(left + self.frames[title].width for title, (left, _) in self.corners.items())
        bottom = max(top + self.frames[title].height for title, (_, top) in self.corners.items())
        return min(_SCREEN[0] / right, _SCREEN[1] / (bottom + _NOTE_HEIGHT))


def _arranged(saved: Mapping[str, Any], groups: Mapping[str, list[str]], effects: set[str]) -> list[dict[str, Any]]:
    """Place nodes within their groups, and groups on a page that is read in rows; returns the groups' frames."""
    nodes = {str(node["id"]): node for node in saved["nodes"]}
    wires = [(str(origin), str(target)) for _, origin, _, target, *_ in saved["links"]]
    group_of = {member: title for title, members in groups.items() for member in members}
    for name in nodes:  # a literal that no widget holds stands with what it feeds
        group_of.setdefault(name, next((group_of[target] for origin, target in wires if origin == name), ""))
    boxes = {name: _box(node, name in effects) for name, node in nodes.items()}
    found = _best(boxes, wires, group_of)
    for name, node in nodes.items():
        (left, top), (x, y) = found.corners[group_of[name]], found.inside[group_of[name]][name]
        node["pos"] = [left + _MARGIN + x, top + _HEAD + y]
    titles = [title for title in found.frames if title]
    return [_frame(number, one, found.corners[one], found.frames[one]) for number, one in enumerate(titles, 1)]


def _best(boxes: Mapping[str, Box], wires: Sequence[tuple[str, str]], group_of: Mapping[str, str]) -> _Arrangement:
    """The arrangement that is shown largest; groups and pages are broken into rows only where that is worth it."""
    best: _Arrangement | None = None
    for inside in _GROUP_WIDTHS:
        for outside in _PAGE_WIDTHS:
            found = _arrangement(boxes, wires, group_of, (inside, outside))
            if best is None or found.zoom > _WORTH * best.zoom:
                best = found
    assert best is not None
    return best


def _arrangement(
    boxes: Mapping[str, Box], wires: Sequence[tuple[str, str]], group_of: Mapping[str, str], most: tuple[float, float]
) -> _Arrangement:
    """Nodes in groups, and groups on the page, both in rows of at most these widths."""
    inside: dict[str, dict[str, tuple[float, float]]] = {}
    frames: dict[str, Box] = {}
    for title in dict.fromkeys(group_of.values()):
        members = {name: box for name, box in boxes.items() if group_of[name] == title}
        inside[title] = place(members, [Edge(*wire) for wire in wires], most[0])
        width, height = (
            max(inside[title][name][axis] + (box.width, box.height)[axis] for name, box in members.items())
            for axis in (0, 1)
        )
        frames[title] = Box(width + 2 * _MARGIN, height + _HEAD + _MARGIN)
    between = {(group_of[origin], group_of[target]) for origin, target in wires}
    return _Arrangement(inside, frames, place(frames, [Edge(*pair) for pair in sorted(between)], most[1]))


def _first_view(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Where an editor looks first at a page that is too large to be read whole: at its beginning."""
    rooms = [(*node["pos"], *node["size"]) for node in saved["nodes"]]
    (left, top), (right, bottom) = (
        (min(room[0] for room in rooms), min(room[1] for room in rooms)),
        (max(room[0] + room[2] for room in rooms), max(room[1] + room[3] for room in rooms)),
    )
    if min(_SCREEN[0] / (right - left), _SCREEN[1] / (bottom - top)) >= _READABLE:
        return {}
    return {"ds": {"scale": _READABLE, "offset": [_TITLE - left, 3 * _TITLE - top]}}


def _box(node: Mapping[str, Any], is_effect: bool) -> Box:
    """How much room a node takes; what saves pictures shows them below itself."""
    width, height = node["size"]
    return Box(width, height + (_PREVIEW if is_effect else 0.0))


def _frame(number: int, title: str, corner: tuple[float, float], box: Box) -> dict[str, Any]:
    bounds = [*corner, box.width, box.height]
    colour = _COLOURS[(number - 1) % len(_COLOURS)]
    return {"id": number, "title": title, "bounding": bounds, "color": colour, "font_size": 24, "flags": {}}


def _note(saved: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A note above everything else."""
    left, top = (min(group["bounding"][axis] for group in saved["groups"]) for axis in (0, 1))
    lines = sum(1 + len(paragraph) // _LETTERS for paragraph in text.split("\n"))
    height = _LINE * (lines + 1)
    return {
        "id": max(node["id"] for node in saved["nodes"]) + 1,
        "type": "MarkdownNote",
        "pos": [left, top - height - 2 * _TITLE],
        "size": [_NOTE_WIDTH, height],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": "About",
        "properties": {},
        "widgets_values": [text],
    }
