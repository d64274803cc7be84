"""The official editor's own graph-to-prompt as the oracle: whatever it makes of a workflow, our reading makes too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from glidewire.graph_runtime.declaration import REQUIRED, NodeDeclaration
from glidewire.graph_runtime.folders import Folders
from glidewire.graph_runtime.formats import saved, to_saved
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.host_schema import Catalogue, has_widget
from glidewire.graph_runtime.problems import GraphProblems
from glidewire.graph_runtime.sockets import fits
from glidewire.graph_runtime.widgets import Choice, File, Number, Seed, Text, Toggle
from glidewire.interfaces.session import pack_registry, shipped_workflows
from glidewire.interfaces.surroundings import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

REGISTRY = pack_registry()
NODES = [REGISTRY.get(name) for name in REGISTRY.ids()]
CATALOGUE = Catalogue(REGISTRY, Folders(models=(ROOT / "weights",)))
ASK = """async document => {
  await app.loadGraphData(document, true, false)
  return (await app.graphToPrompt()).output
}"""
ALWAYS, NEVER, BYPASS = 0, 2, 4


def plain(prompt: dict[str, Any]) -> dict[str, Any]:
    """Types and inputs of a prompt, without inputs that only the interface adds (a button, a preview)."""
    found = {}
    for node, entry in prompt.items():
        declaration = REGISTRY.get(entry["class_type"])
        known = set(declaration.by_input) if declaration else set(entry["inputs"])
        inputs = {name: typed(value) for name, value in entry["inputs"].items() if name in known}
        found[str(node)] = (entry["class_type"], inputs)
    return found


def typed(value: Any) -> Any:
    """JavaScript has one kind of number; True is none."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    return ("boolean", value) if isinstance(value, bool) else float(value) if isinstance(value, int) else value


def assert_same(page: Any, document: dict[str, Any]) -> None:
    document = json.loads(json.dumps(document))
    theirs = plain(page.js(ASK, document))
    try:
        ours = plain(saved.to_api(document, CATALOGUE))
    except GraphProblems as refused:
        # The one difference that is meant: behind a muted wire the editor sends the widget's hidden value, we refuse.
        for problem in refused.problems:
            assert problem.message == "its wire comes from a muted node"
            assert problem.input in theirs[problem.node][1]
        return
    for node, (kind, inputs) in theirs.items():
        # What is left blank we leave out, so that it is missed if it is needed; the editor takes the first it offers.
        left_out = {name for name in inputs if node in ours and name not in ours[node][1] and blank(kind, name)}
        theirs[node] = kind, {name: value for name, value in inputs.items() if name not in left_out}
    assert ours == theirs


def blank(kind: str, name: str) -> bool:
    """Whether an input has no value of its own."""
    declaration = REGISTRY.get(kind)
    return declaration is not None and declaration.by_input[name].default in (REQUIRED, None)


@pytest.mark.parametrize("name", sorted(shipped_workflows()))
def test_shipped_workflows_mean_what_the_editor_sends(page, name):
    document = json.loads(shipped_workflows()[name].read_text())
    if "nodes" not in document:
        pytest.skip(f"{name}.json is no workflow")
    assert_same(page, document)


def literals(declaration: NodeDeclaration) -> st.SearchStrategy[dict[str, Any]]:
    """Values for the widgets of a node; some are left as they are."""
    found = {}
    for entry in declaration.inputs:
        widget = entry.widget
        if not has_widget(entry) or widget is None:
            continue
        if isinstance(widget, File):
            found[entry.id] = st.sampled_from(["mini-glide-base.safetensors", "a folder/another.png"])
        elif isinstance(widget, Choice):
            found[entry.id] = st.sampled_from(list(widget.current()))
        elif isinstance(widget, Toggle):
            found[entry.id] = st.booleans()
        elif isinstance(widget, Text):
            found[entry.id] = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=12)
        elif isinstance(widget, Seed):
            found[entry.id] = st.integers(0, 2**53 - 1)
        elif isinstance(widget, Number):
            low, high = max(widget.min or 0, -1000), min(widget.max or 1000, 1000)
            whole = "FLOAT" not in entry.type_ids
            found[entry.id] = st.integers(int(low), int(high)) if whole else st.floats(low, high)
    return st.fixed_dictionaries({}, optional=found)


@st.composite
def documents(draw: Any) -> dict[str, Any]:
    """Up to eight of the pack's nodes, wired where they fit, some of them muted or bypassed."""
    declared = draw(st.lists(st.sampled_from(NODES), min_size=1, max_size=8))
    calls: list[NodeCall] = []
    for number, declaration in enumerate(declared, 1):
        inputs: dict[str, Any] = draw(literals(declaration))
        for entry in declaration.inputs:
            producers = [
                Wire(call.id, slot)
                for call, made in zip(calls, declared, strict=False)
                for slot, output in enumerate(made.outputs)
                if fits(output.type_ids, entry.type_ids) and "*" not in output.type_ids + entry.type_ids
            ]
            if producers and draw(st.integers(0, 3)):
                inputs[entry.id] = draw(st.sampled_from(producers))
        calls.append(NodeCall(str(number), declaration.id, inputs))
    document = to_saved(Graph(calls), REGISTRY)
    for node in document["nodes"]:
        node["mode"] = draw(st.sampled_from([ALWAYS] * 6 + [NEVER, BYPASS]))
    return document


def test_behind_a_muted_wire_the_editor_sends_what_nobody_sees_and_we_refuse(page):
    calls = [
        NodeCall("1", "GlidewireInteger", {"value": 3}),
        NodeCall("2", "GlidewireSeedList", {"count": Wire("1", 0)}),
    ]
    document = to_saved(Graph(calls), REGISTRY)
    document["nodes"][0]["mode"] = NEVER
    with pytest.raises(GraphProblems, match="its wire comes from a muted node"):
        saved.to_api(document, CATALOGUE)
    assert_same(page, document)


@given(document=documents())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_graph_of_our_nodes_means_what_the_editor_sends(page, document):
    assert_same(page, document)
