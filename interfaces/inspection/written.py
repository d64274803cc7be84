"""A graph written out for use elsewhere: as Python source, and as the command that runs it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...errors import GlidewireError
from ...graph_runtime.folders import near
from ...graph_runtime.formats import read
from ...graph_runtime.graph import Graph, NodeCall, Wire
from ..assignments import find_place
from ..session import Session, shipped_workflows


def command(session: Session, graph: Graph, name: str, saved: Path | None = None) -> str:
    """The command line that runs a graph: the workflow it was opened from, and every value that was changed since.

    Args:
        session: Knows the nodes.
        graph: As it is in the editor.
        name: What the editor calls it, "text-to-image.json".
        saved: The folder that the editor saves workflows into, if there is one.

    Raises:
        GlidewireError: it was never saved, or it has other nodes or wires than what was saved.
    """
    stem = name.removesuffix(".json")
    shipped = shipped_workflows()
    file = _within(saved, f"{stem}.json")
    source = file or shipped.get(stem)
    if source is None:
        raise GlidewireError(
            f"the workflow {stem or 'without a name'} is in no file",
            expected="a saved workflow, or one that comes with the pack",
            hint=near(stem, shipped) or "Save it first, then copy the command again.",
        )
    before = read(source, session.registry)
    if _shape(before) != _shape(graph):
        raise GlidewireError(
            f"the workflow has other nodes or wires than {source.name}",
            expected="only other values",
            hint="Save it first, then copy the command again.",
        )
    written = [f"--set {shlex.quote(f'{place}={value}')}" for place, value in _changes(session, before, graph)]
    return " ".join(["glidewire run", shlex.quote(str(file) if file else stem), *written])


def _within(folder: Path | None, name: str) -> Path | None:
    """A file inside of a folder, links followed; None if there is none."""
    if folder is None or "\0" in name:
        return None
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None


def _shape(graph: Graph) -> dict[str, Any]:
    """Nodes and wires, without values."""
    return {
        call.id: (call.type, sorted((name, wire.node, wire.output) for name, wire in call.wires))
        for call in graph.calls.values()
    }


def _changes(session: Session, before: Graph, graph: Graph) -> Iterable[tuple[str, Any]]:
    for call in graph.calls.values():
        old, declaration = before.calls[call.id].inputs, session.registry.get(call.type)
        for entry in declaration.inputs if declaration else ():
            now, was = (inputs.get(entry.id, entry.default) for inputs in (call.inputs, old))
            if entry.is_literal and not isinstance(now, Wire) and now != was:
                yield _name(session, graph, call, entry.id), now


def _name(session: Session, graph: Graph, call: NodeCall, given: str) -> str:
    """The shortest name that means this input: alone, with the node's title, or with its id."""
    for name in (given, f"{call.title}.{given}"):
        try:
            place = find_place(graph, session.registry, name)
        except GlidewireError:
            continue
        if place.call.id == call.id and place.input.id == given and "=" not in name:
            return name
    return f"{call.id}.{given}"
