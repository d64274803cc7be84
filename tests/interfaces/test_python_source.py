"""A graph as Python source: the text, run as a script, rebuilds the same workflow."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.problems import GraphProblems
from glidewire.interfaces.api import Workflow
from glidewire.interfaces.python_source import as_python
from hypothesis import given
from hypothesis import strategies as st

HERE = Path(__file__).parent


def rebuilt(source: str, folder: Path) -> Path:
    """Run source as a script of its own; returns the API form of the workflow that it wrote."""
    (folder / "made.py").write_text(source.replace("flow.run()", 'flow.save_api("made.json")'), encoding="utf-8")
    # The tests load the tiny nodes under a name of their own: a script finds them under that name too.
    (folder / "tiny_interface_nodes.py").write_text((HERE / "tiny_nodes.py").read_text(), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "made.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder / "made.json"


def test_the_source_rebuilds_the_workflow_with_the_same_keys(tiny, registry, tmp_path):
    with Workflow("all of it", registry=registry) as flow:
        noise = flow.titled('Class of \'26: a "noise"', tiny.tiny_noise(6, seed=2**53 - 1))
        again = flow.titled("class", tiny.tiny_noise(6, seed=1))
        low, high = tiny.tiny_split(noise, low=False)
        joined = tiny.tiny_join(low, right=high, label="two\nlines — {x}")
        scaled = tiny.tiny_scale(tiny.tiny_join(joined, again), by=-1e-30, offset=-3)
        tiny.tiny_keep(scaled, name="kept")
        tiny.tiny_keep(high, name="x" * 120)
    source = as_python(flow.graph, registry, name=flow.name)
    assert "class_of_26_a_noise = flow.titled(" in source and 'node_class = flow.titled("class",' in source
    assert "tiny_split.right" in source or ".right" in source
    assert "from glidewire import Workflow, nodes" in source
    loaded = Workflow.load(rebuilt(source, tmp_path), registry=registry)
    mine, made = flow.plan(device="cpu").entries, loaded.plan(device="cpu").entries
    assert sorted(entry.key for entry in mine.values()) == sorted(entry.key for entry in made.values())
    assert sorted(call.title for call in loaded.graph.calls.values()) == sorted(
        call.title for call in flow.graph.calls.values()
    )


@given(st.lists(st.text(max_size=12), min_size=1, max_size=5), st.floats(), st.text(max_size=30), st.integers())
def test_any_titles_and_literals_make_python_that_parses(registry, titles, number, label, count):
    calls = [NodeCall("0", "GlidewireTinyNoise", {"count": count}, "noise")]
    for index, title in enumerate(titles):
        inputs = {"left": Wire("0", 0), "label": label} if index % 2 else {"grain": Wire("0", 0), "by": number}
        calls.append(
            NodeCall(str(index + 1), "GlidewireTinyJoin" if index % 2 else "GlidewireTinyScale", inputs, title)
        )
    tree = ast.parse(as_python(Graph(calls), registry, name=label))
    block = next(part for part in tree.body if isinstance(part, ast.With))
    names = [part.targets[0].id for part in block.body]
    assert len(names) == len(set(names)) == len(calls)


def test_a_graph_that_is_none_is_refused_with_every_reason(registry):
    graph = Graph(
        [
            NodeCall("1", "NoSuchNode"),
            NodeCall("2", "GlidewireTinyScale", {"grain": Wire("7", 0), "bye": 1.0}),
            NodeCall("3", "GlidewireTinyScale", {"grain": Wire("4", 0)}),
            NodeCall("4", "GlidewireTinyScale", {"grain": Wire("3", 0)}),
        ]
    )
    with pytest.raises(GraphProblems) as caught:
        as_python(graph, registry)
    kinds = sorted(problem.kind for problem in caught.value.problems)
    assert kinds == ["cycle", "missing_output", "unknown_input", "unknown_node"]


def test_a_literal_without_a_python_form_is_refused(registry):
    graph = Graph([NodeCall("1", "GlidewireTinyNoise", {"count": {"a": 1}})])
    with pytest.raises(
        GlidewireError, match="a literal has no Python form; expected a number, a text or a list; got dict"
    ):
        as_python(graph, registry)


def test_an_empty_graph_is_an_empty_workflow(registry):
    assert "    pass\n" in as_python(Graph([]), registry)
