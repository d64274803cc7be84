"""A graph written out as the command that runs it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.formats import to_saved, write
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.registry import Registry
from glidewire.interfaces.assignments import assign
from glidewire.interfaces.inspection.written import command
from glidewire.interfaces.session import Session, load, pack_registry


def _graph(**changes: Any) -> Graph:
    noise = {"count": 4, "seed": 7, **{name: value for name, value in changes.items() if name in ("count", "seed")}}
    scale = {"grain": Wire("1", 0), "by": changes.get("by", 2.0)}
    calls = [
        NodeCall("1", "GlidewireTinyNoise", noise, "Noise"),
        NodeCall("2", "GlidewireTinyScale", scale, "Twice"),
        NodeCall("3", "GlidewireTinyKeep", {"grain": Wire("2", 0), "name": changes.get("name", "kept")}),
    ]
    return Graph(calls)


@pytest.fixture
def session(registry: Registry) -> Session:
    return Session.open(registry=registry, cache=None)


@pytest.fixture
def saved(tmp_path: Path, registry: Registry) -> Path:
    write(tmp_path / "mine.json", to_saved(_graph(), registry))
    return tmp_path


def test_a_saved_workflow_as_it_is(session: Session, saved: Path) -> None:
    assert command(session, _graph(), "mine.json", saved) == f"glidewire run {saved / 'mine.json'}"


def test_changed_values_become_options_that_change_them_back(session: Session, saved: Path) -> None:
    changed = _graph(seed=9, by=-1.5, name="it's new; rm -rf $HOME")
    words = shlex.split(command(session, changed, "mine", saved))
    assert words[:3] == ["glidewire", "run", str(saved / "mine.json")]
    assert words[3::2] == ["--set"] * 3
    graph, _ = assign(_graph(), session.registry, dict(word.split("=", 1) for word in words[4::2]))
    assert {node: dict(call.inputs) for node, call in graph.calls.items()} == {
        node: dict(call.inputs) for node, call in changed.calls.items()
    }


def test_a_shipped_workflow_goes_by_its_name() -> None:
    session = Session.open(cache=None)
    graph = load("text-to-image", pack_registry()).graph
    graph, _ = assign(graph, session.registry, {"spacing": "10"})
    assert command(session, graph, "text-to-image") == "glidewire run text-to-image --set spacing=10"


@pytest.mark.parametrize("name", ["", "never-saved", "../mine", "a\0b"])
def test_what_is_in_no_file_must_be_saved_first(session: Session, saved: Path, name: str) -> None:
    with pytest.raises(GlidewireError, match="in no file"):
        command(session, _graph(), name, saved / "deeper")


def test_other_nodes_must_be_saved_first(session: Session, saved: Path) -> None:
    calls = list(_graph().calls.values())[:2]
    with pytest.raises(GlidewireError, match=r"other nodes or wires than mine.json.*Save it first"):
        command(session, Graph(calls), "mine", saved)
