"""What the editor marks on a graph: dims, problems, what would run and why, and where a wire cannot go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from glidewire.graph_runtime.registry import Registry
from glidewire.interfaces.inspection.state import Costs, misfits, read_graph, state
from glidewire.interfaces.session import Session

Prompt = dict[str, dict[str, Any]]


@pytest.fixture
def session(registry: Registry) -> Session:
    return Session.open(registry=registry, cache=None)


@pytest.fixture
def prompt() -> Prompt:
    """Noise, doubled, kept."""
    return {
        "1": {"class_type": "GlidewireTinyNoise", "inputs": {"count": 4, "seed": 7}},
        "2": {"class_type": "GlidewireTinyScale", "inputs": {"grain": ["1", 0], "by": 2.0, "offset": 0}},
        "3": {"class_type": "GlidewireTinyKeep", "inputs": {"grain": ["2", 0], "name": "kept"}},
    }


@pytest.fixture
def asked(session: Session) -> Callable[[Prompt], dict[str, Any]]:
    costs = Costs()

    def ask(prompt: Prompt) -> dict[str, Any]:
        return state(session, *read_graph(session, prompt, {"id": "one workflow"}), costs)

    return ask


def _statuses(told: dict[str, Any]) -> dict[str, str]:
    return {node: mark["status"] for node, mark in told["marks"].items()}


def test_an_empty_canvas_has_nothing_to_tell(asked: Callable[[Prompt], dict[str, Any]]) -> None:
    told = asked({})
    assert told["marks"] == {}
    assert told["dims"] == {}


def test_dims_and_types_stand_by_node_and_output(asked: Callable[[Prompt], dict[str, Any]], prompt: Prompt) -> None:
    told = asked(prompt)
    assert told["problems"] == []
    assert told["dims"]["2"] == {0: "4"}
    assert told["types"]["2"] == {0: ["GRAIN"]}


def test_what_ran_is_cached_and_what_changed_says_why(
    asked: Callable[[Prompt], dict[str, Any]], session: Session, prompt: Prompt
) -> None:
    assert _statuses(asked(prompt)) == {"1": "run", "2": "run", "3": "effect"}
    graph, _ = read_graph(session, prompt, {"id": "one workflow"})
    assert session.run(graph).ok
    told = asked(prompt)
    assert _statuses(told) == {"1": "memory", "2": "memory", "3": "effect"}
    assert told["marks"]["2"]["seconds"] > 0
    assert told["marks"]["2"]["nbytes"] >= 16
    prompt["1"]["inputs"]["seed"] = 8
    told = asked(prompt)
    assert _statuses(told) == {"1": "run", "2": "run", "3": "effect"}
    assert told["marks"]["1"]["why"] == "input seed changed: 7 → 8"
    assert told["marks"]["2"]["roots"] == ["1"]
    assert told["totals"]["nodes"] == 3


def test_a_cached_node_that_nobody_asks_for_is_still_marked_cached(
    asked: Callable[[Prompt], dict[str, Any]], session: Session, prompt: Prompt
) -> None:
    assert session.run(read_graph(session, prompt)[0], ["1"]).ok
    del prompt["3"]
    told = asked(prompt)
    assert told["marks"]["1"]["status"] == "memory"


def test_a_new_node_is_estimated_by_another_of_its_type(
    asked: Callable[[Prompt], dict[str, Any]], session: Session, prompt: Prompt
) -> None:
    assert session.run(read_graph(session, prompt, {"id": "one workflow"})[0]).ok
    asked(prompt)
    prompt["4"] = {"class_type": "GlidewireTinyNoise", "inputs": {"count": 9, "seed": 1}}
    mark = asked(prompt)["marks"]["4"]
    assert mark["guessed"]
    assert mark["seconds"] > 0


def test_what_hangs_on_a_problem_is_not_planned(asked: Callable[[Prompt], dict[str, Any]], prompt: Prompt) -> None:
    prompt["1"]["inputs"]["count"] = 1000
    told = asked(prompt)
    assert told["marks"] == {}
    (problem,) = told["problems"]
    assert (problem["node"], problem["input"], problem["kind"]) == ("1", "count", "out_of_range")


def test_nodes_of_other_packs_are_none_of_our_business(
    asked: Callable[[Prompt], dict[str, Any]], prompt: Prompt
) -> None:
    prompt["1"]["class_type"] = "SomeoneElsesNoise"
    told = asked(prompt)
    assert told["problems"] == []
    assert set(told["marks"]) == set()


def test_a_wire_that_cannot_fit_is_known_before_it_is_drawn(session: Session, prompt: Prompt) -> None:
    prompt["4"] = {"class_type": "GlidewireTinyNoise", "inputs": {"count": 9, "seed": 0}}
    prompt["5"] = {"class_type": "GlidewireTinyJoin", "inputs": {"left": ["4", 0]}}
    found = misfits(session, read_graph(session, prompt)[0], "1", 0)
    assert set(found) == {"5 right"}
    assert "9" in found["5 right"]["message"] + found["5 right"]["expected"]
    assert "4" in found["5 right"]["message"] + found["5 right"]["got"]
    assert misfits(session, read_graph(session, prompt)[0], "nobody", 0) == {}


def test_a_wire_backwards_is_left_to_the_check_of_cycles(session: Session, prompt: Prompt) -> None:
    assert misfits(session, read_graph(session, prompt)[0], "2", 0) == {}
