"""A workflow written as an explanation: titled nodes in groups that are read from left to right, with a note."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from ..graph_runtime import formats
from ..graph_runtime.formats.layout import Box, Edge, place
from ..interfaces.api import Workflow

T = TypeVar("T")
_COLOURS = ("#3f5159", "#593f59", "#3f593f", "#595131", "#59403f", "#3f4459")
_MARGIN, _HEAD, _TITLE, _PREVIEW = 24.0, 64.0, 30.0, 270.0
_NOTE_WIDTH, _LINE, _LETTERS = 460.0, 22.0, 62


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
    return saved


def _arranged(saved: Mapping[str, Any], groups: Mapping[str, list[str]], effects: set[str]) -> list[dict[str, Any]]:
    """Place nodes within their groups and groups beside one another; returns the groups' frames."""
    nodes = {str(node["id"]): node for node in saved["nodes"]}
    wires = [(str(origin), str(target)) for _, origin, _, target, *_ in saved["links"]]
    group_of = {member: title for title, members in groups.items() for member in members}
    for name in nodes:  # a literal that no widget holds stands with what it feeds
        group_of.setdefault(name, next((group_of[target] for origin, target in wires if origin == name), ""))
    inside: dict[str, dict[str, tuple[float, float]]] = {}
    frames: dict[str, Box] = {}
    for title in dict.fromkeys(group_of.values()):
        members = {name: _box(node, name in effects) for name, node in nodes.items() if group_of[name] == title}
        inside[title] = place(members, [Edge(*wire) for wire in wires])
        width, height = (
            max(inside[title][name][axis] + (box.width, box.height)[axis] for name, box in members.items())
            for axis in (0, 1)
        )
        frames[title] = Box(width + 2 * _MARGIN, height + _HEAD + _MARGIN)
    between = {(group_of[origin], group_of[target]) for origin, target in wires}
    corners = place(frames, [Edge(*pair) for pair in sorted(between)])
    for name, node in nodes.items():
        (left, top), (x, y) = corners[group_of[name]], inside[group_of[name]][name]
        node["pos"] = [left + _MARGIN + x, top + _HEAD + y]
    for order, node in enumerate(sorted(nodes.values(), key=lambda node: node["pos"])):
        node["order"] = order
    return [
        _frame(number, title, corners[title], frames[title]) for number, title in enumerate((t for t in frames if t), 1)
    ]


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
