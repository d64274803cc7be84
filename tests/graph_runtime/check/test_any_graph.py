"""Whatever a graph holds, the report is the answer."""

from __future__ import annotations

import json

from check_nodes import (
    REGISTRY,
)
from glidewire.graph_runtime.check import check
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMES = st.sampled_from(["1", "2", "3", "4", "5", "6", "é", ""])
LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["small", "vit-l.json"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)
WIRES = st.builds(Wire, NAMES, st.integers(-1, 2))
KINDS = st.sampled_from([*REGISTRY]) | st.text(max_size=8)


@st.composite
def calls(draw) -> NodeCall:
    kind = draw(KINDS)
    if isinstance(kind, str):
        return NodeCall(draw(NAMES), kind, draw(st.dictionaries(st.text(max_size=3), LITERALS | WIRES, max_size=2)))
    known = {given.id: WIRES | WIRES | LITERALS for given in kind.inputs}
    return NodeCall(draw(NAMES), kind.id, draw(st.fixed_dictionaries({}, optional={**known, "else": LITERALS})))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(calls(), max_size=8))
def test_no_graph_makes_it_raise(folders, nodes):
    made = Graph(nodes)
    report = check(made, REGISTRY, folders)
    for problem in report.problems:
        assert problem.node in made.calls or problem.kind == "no_effect"
        assert str(problem)
        json.dumps(problem.as_json())
    assert all(isinstance(shown, str) for shown in report.dims.values())
    assert set(report.blocking()) <= set(report.problems)
    again = check(made, REGISTRY, folders)
    assert again.problems == report.problems


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([8, 16, 24, 100]), min_size=2, max_size=6), st.data())
def test_dims_do_not_depend_on_the_order_of_the_document(folders, heights, data):
    made = [NodeCall(f"e{i}", "empty", {"height": height}) for i, height in enumerate(heights)]
    for i in range(len(heights)):
        before = st.sampled_from([call.id for call in made])
        wires = {name: Wire(data.draw(before), 0) for name in ("first", "second")}
        made.append(NodeCall(f"b{i}", "blend", wires))
    made.append(NodeCall("k", "keep", {"value": Wire(made[-1].id, 0)}))
    report = check(Graph(made), REGISTRY, folders)
    shuffled = check(Graph(data.draw(st.permutations(made))), REGISTRY, folders)
    assert shuffled.ok == report.ok
    if report.ok:
        assert dict(shuffled.dims) == dict(report.dims)
