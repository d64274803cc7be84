"""The whole report."""

from __future__ import annotations

import dataclasses

import pytest
from check_nodes import (
    REGISTRY,
    problems,
)
from glidewire.graph_runtime.check import check
from glidewire.graph_runtime.folders import Folders
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.problems import GraphProblems


def test_a_graph_that_is_right(checked):
    report = checked(
        n1=("empty", {"height": 128}),
        n2=("GlidewireDecode", {"latent": "n1.0", "tile": 2}),
        n3=("save", {"picture": "n2.0"}),
    )
    assert report.ok
    assert report.blocking() == ()
    report.refuse()
    assert report.effects == ("n3",)
    assert dict(report.dims) == {("n1", 0): "1 4 16 8 @space=small", ("n2", 0): "1 128 64 3"}


def test_every_problem_is_reported_at_once_in_the_order_of_the_document(checked):
    report = checked(
        n1=("save", {"picture": "n2.0", "quality": 101, "bright": 1}),
        n2=("decode", {"latent": "n3.0", "tile": -1}),
        n3=("emty", {}),
        n4=("blend", {"first": "n5.0"}),
        n5=("blend", {"first": "n4.0", "second": "n9.0"}),
    )
    assert [(problem.node, problem.input, problem.kind) for problem in report.problems] == [
        ("n1", "quality", "out_of_range"),
        ("n1", "bright", "unknown_input"),
        ("n2", "tile", "out_of_range"),
        ("n3", None, "unknown_node"),
        ("n4", None, "cycle"),
        ("n4", "second", "missing_input"),
        ("n5", "second", "missing_node"),
    ]


def test_a_circle_names_all_its_nodes(checked):
    report = checked(
        n1=("either", {"first": "n3.0"}),
        n2=("either", {"first": "n1.0"}),
        n3=("either", {"first": "n2.0"}),
        k=("keep", {"value": "n3.0"}),
    )
    assert problems(report) == [
        "node n1 (either): the nodes n1, n2, n3 wait for one another in a circle; "
        "expected wires that lead forward only. "
        "Take out one of the wires between them."
    ]
    assert report.problems[0].others == ("n2", "n3")


def test_nothing_to_do(checked):
    (problem,) = checked(n1=("empty", {}), n2=("text", {})).problems
    assert str(problem) == (
        "workflow: there is nothing to do: no node saves or shows anything; expected at least one node with an effect; "
        "got 2 nodes without one. Add one of: Save, Show, Keep."
    )
    (problem,) = checked().problems
    assert (problem.kind, problem.got) == ("no_effect", "no node at all")


def test_only_problems_upstream_of_what_is_wanted_stand_in_the_way(checked):
    report = checked(
        good=("text", {}),
        n1=("keep", {"value": Wire("good", 0)}),
        aside=("empty", {"height": 0}),
        n2=("keep", {"value": Wire("aside", 0)}),
        lost=("emty", {}),
    )
    assert [problem.node for problem in report.problems] == ["aside", "lost"]
    assert [problem.node for problem in report.blocking()] == ["aside"]
    assert report.blocking(["n1"]) == ()
    assert [problem.node for problem in report.blocking(["n2"])] == ["aside"]
    assert [problem.node for problem in report.blocking(["n1", "nobody", "lost"])] == ["lost"]
    report.refuse(["n1"])
    with pytest.raises(GraphProblems) as raised:
        report.refuse()
    assert str(raised.value) == (
        "1 problem in the workflow\n"
        "  - node aside (empty), input height: the number is out of range; expected a number from 8 to 512; got 0"
    )


def test_without_an_effect_everything_stands_in_the_way_but_targets_may_be_run(checked):
    report = checked(n1=("text", {}), n2=("empty", {"height": 0}))
    assert [problem.kind for problem in report.blocking()] == ["out_of_range", "no_effect"]
    assert report.blocking(["n1"]) == ()


def test_long_chains_need_no_recursion():
    length = 3_000
    calls = [
        NodeCall("0", "empty"),
        *(NodeCall(f"{i}", "either", {"first": Wire(f"{i - 1}", 0)}) for i in range(1, length)),
    ]
    calls += [NodeCall("k", "keep", {"value": Wire(f"{length - 1}", 0)})]
    report = check(Graph(reversed(calls)), REGISTRY, Folders())
    assert report.ok
    assert report.dims[f"{length - 1}", 0] == "1 4 8 8 @space"
    circle = check(
        Graph([dataclasses.replace(calls[1], inputs={"first": Wire("2999", 0)}), *calls[2:]]), REGISTRY, Folders()
    )
    assert [problem.kind for problem in circle.problems] == ["cycle"]
    assert len(circle.problems[0].others) == length - 2
