"""Plans: what a run would do with each node, and why, word for word."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from glidewire.graph_runtime import events
from glidewire.graph_runtime.cache import Cache, Store
from glidewire.graph_runtime.context import CancelToken, Policy
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.registry import Registry


def statuses(plan: Any) -> dict[str, str]:
    return {node: entry.status for node, entry in plan.entries.items()}


def reasons(plan: Any) -> dict[str, str]:
    return {node: str(entry.why) for node, entry in plan.entries.items()}


@pytest.fixture
def graph(tiny: Any) -> Graph:
    return tiny.graph(
        {"id": "a workflow"},
        a=("number", {"value": 2.0}),
        f=("fill", {"value": "a"}),
        g=("add", {"left": "f", "amount": 3.0}),
        k=("keep", {"value": "g"}),
        spare=("number", {"value": 9.0}),
    )


def test_before_the_first_run_everything_needed_will_run(bench: Any, graph: Graph) -> None:
    plan = bench.plan(graph)
    assert statuses(plan) == {"a": "run", "f": "run", "g": "run", "k": "effect", "spare": "unneeded"}
    assert reasons(plan) == {
        "a": "never run in this workflow",
        "f": "never run in this workflow",
        "g": "never run in this workflow",
        "k": "effect nodes always run",
        "spare": "nothing that will run asks for it",
    }
    assert plan.will_run == ("a", "f", "g", "k") and plan.entries["a"].seconds is None


def test_planning_runs_nothing_and_the_run_does_what_the_plan_said(bench: Any, tiny: Any, graph: Graph) -> None:
    for changes in ({}, {"amount": 4.0}, {}):
        changed = graph.with_inputs("g", **changes)
        tiny.RAN.clear()
        plan = bench.plan(changed)
        assert not tiny.RAN
        bench.run(changed)
        assert bench.names(events.Started) == list(plan.will_run)


def test_a_cached_result_cuts_off_what_only_it_needs(bench: Any, graph: Graph) -> None:
    bench.run(graph)
    plan = bench.plan(graph)
    assert statuses(plan) == {"a": "unneeded", "f": "unneeded", "g": "memory", "k": "effect", "spare": "unneeded"}
    assert str(plan.entries["g"].why) == "its result is in memory"
    assert plan.entries["g"].seconds is not None and plan.entries["g"].nbytes >= 12 and plan.saved > 0


def test_a_target_that_was_not_run_before(bench: Any, graph: Graph) -> None:
    bench.run(graph)
    plan = bench.plan(graph, "spare")
    assert statuses(plan)["spare"] == "run" and statuses(plan)["k"] == "unneeded"
    assert reasons(plan)["spare"] == "never run in this workflow"


def test_a_changed_parameter_is_named_where_it_changed_and_downstream(bench: Any, graph: Graph) -> None:
    bench.run(graph)
    found = bench.plan(graph.with_inputs("a", value=5.0).with_inputs("g", amount=4.0))
    why = reasons(found)
    assert why["a"] == "input value changed: 2.0 → 5.0"
    assert why["f"] == "upstream node a (GlidewireNumber): input value changed: 2.0 → 5.0"
    assert why["g"] == "input amount changed: 3.0 → 4.0"
    assert found.entries["f"].why.kind == "upstream" and found.entries["f"].why.roots == ("a",)
    assert found.entries["g"].why.roots == ("g", "a")


def test_several_changes_upstream_are_all_named_up_to_three(bench: Any, tiny: Any) -> None:
    names = ["a", "b", "c", "d"]
    calls = {name: ("number", {"value": 1.0}) for name in names}
    graph = tiny.graph(
        **calls,
        p=("product", {"left": "a", "right": "b"}),
        q=("product", {"left": "c", "right": "d"}),
        r=("product", {"left": "p", "right": "q"}),
        k=("keep", {"value": "r"}),
    )
    bench.run(graph)
    two = graph.with_inputs("b", value=2.0).with_inputs("c", value=2.0)
    assert reasons(bench.plan(two))["r"] == (
        "upstream node b (GlidewireNumber): input value changed: 1.0 → 2.0; "
        "upstream node c (GlidewireNumber): input value changed: 1.0 → 2.0"
    )
    for name in names:
        two = two.with_inputs(name, value=3.0)
    assert reasons(bench.plan(two))["r"].endswith("1.0 → 3.0; and more upstream")


def test_a_changed_file(bench: Any, tiny: Any) -> None:
    path = bench.folders.input[0] / "a.txt"
    path.write_text("one")
    graph = tiny.graph(l=("load", {"file": "a.txt"}), x=("anything", {"value": "l"}), k=("keep", {"value": "x"}))
    bench.run(graph)
    path.write_text("two")
    why = reasons(bench.plan(graph))
    assert why["l"] == "the file of input file changed"
    assert why["x"] == "upstream node l (GlidewireLoad): the file of input file changed"


def test_a_version_bump(bench: Any, tiny: Any, graph: Graph) -> None:
    bench.run(graph)
    bench.registry = Registry(
        dataclasses.replace(entry, version=2) if entry.name == "fill" else entry for entry in tiny.REGISTRY
    )
    why = reasons(bench.plan(graph))
    assert why["a"] == "nothing that will run asks for it" or why["a"] == "its result is in memory"
    assert why["f"] == "node version changed: 1 → 2"
    assert why["g"] == "upstream node f (GlidewireFill): node version changed: 1 → 2"


def test_another_environment(bench: Any, graph: Graph) -> None:
    bench.run(graph)
    bench.policy = Policy(dtype="bfloat16", deterministic=True)
    assert reasons(bench.plan(graph))["f"] == (
        "environment changed: dtype float32 → bfloat16, deterministic False → True"
    )


def test_threads_count(bench: Any, graph: Graph) -> None:
    bench.run(graph)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        assert reasons(bench.plan(graph))["a"] == f"environment changed: threads {before} → {before + 1}"
    finally:
        torch.set_num_threads(before)


def test_rewiring(bench: Any, tiny: Any, graph: Graph) -> None:
    bench.run(graph)
    bench.run(graph, "spare")
    why = reasons(bench.plan(graph.with_inputs("f", value=Wire("spare", 0))))
    assert why["f"] == "input value was wired to node a, now to node spare"
    assert reasons(bench.plan(graph.with_inputs("f", value=7)))["f"] == "input value changed: a wire from node a → 7.0"
    assert reasons(bench.plan(graph.with_inputs("g", amount=Wire("a", 0))))["g"] == (
        "input amount changed: 3.0 → a wire from node a"
    )


def test_another_value_and_a_value_that_is_not_known_yet(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(r=("rounded", {"value": 2.5}), p=("product", {"left": "r"}), k=("keep", {"value": "p"}))
    bench.run(graph)
    changed = graph.with_inputs("r", value=5.5)
    plan = bench.plan(changed)
    assert plan.entries["p"].key is None and plan.entries["p"].why.kind == "unknown_value"
    assert reasons(plan)["p"] == (
        "it hangs on the value of node r (GlidewireRounded), which is not known before that runs"
    )
    bench.run(changed, "r")
    assert reasons(bench.plan(changed))["p"] == "input left got another value from node r"
    assert statuses(bench.plan(graph.with_inputs("r", value=2.75)))["p"] == "run"


def test_a_missing_file_is_the_reason(bench: Any, tiny: Any) -> None:
    plan = bench.plan(tiny.graph(l=("load", {"file": "no.txt"}), k=("keep", {"value": "l"})))
    assert plan.entries["l"].why.kind == "error" and reasons(plan)["l"].startswith(
        "no file no.txt in the input folders"
    )


def test_evicted_and_handles(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(e=("engine", {}), d=("drive", {"engine": "e"}), k=("keep", {"value": "d"}))
    bench.run(graph)
    bench.cache.clear_memory()
    why = reasons(bench.plan(graph))
    assert why["d"] == "nothing changed, but its result is not in the cache: evicted, or not worth keeping"
    assert why["e"] == "it makes something that lives in memory only, and this process has not made it"


def test_the_estimate_is_what_the_nodes_took_last_time(bench: Any, graph: Graph) -> None:
    bench.run(graph)
    took = {event.node: event.seconds for event in bench.events if isinstance(event, events.Finished)}
    plan = bench.plan(graph.with_inputs("g", amount=9.0))
    assert plan.entries["g"].seconds == took["g"]
    assert plan.seconds == pytest.approx(took["g"] + took["k"])


def test_a_cancelled_run_keeps_the_record_of_the_one_before(bench: Any, tiny: Any, graph: Graph) -> None:
    bench.run(graph)
    token = CancelToken()
    token.cancel()
    assert bench.run(graph.with_inputs("g", amount=4.0), cancel=token).cancelled
    assert reasons(bench.plan(graph.with_inputs("g", amount=5.0)))["g"] == "input amount changed: 3.0 → 5.0"


def test_plans_and_reasons_outlive_the_process_with_a_store(make_bench: Any, graph: Graph, tmp_path: Any) -> None:
    first = make_bench(store=Store(tmp_path / "cache"), write_seconds=-1.0)
    first.run(graph)
    first.cache.store.close()
    second = make_bench(store=Store(tmp_path / "cache"), write_seconds=-1.0)
    assert statuses(second.plan(graph))["g"] == "disk"
    assert str(second.plan(graph).entries["g"].why) == "its result is on disk"
    assert reasons(second.plan(graph.with_inputs("g", amount=4.0)))["g"] == "input amount changed: 3.0 → 4.0"
    assert statuses(second.plan(graph.with_inputs("g", amount=4.0)))["f"] == "disk"
    assert second.plan(graph).saved > 0


def test_a_workflow_without_an_id_is_known_by_its_nodes(bench: Any, tiny: Any) -> None:
    calls = {"a": ("number", {}), "k": ("keep", {"value": "a"})}
    bench.run(tiny.graph(**calls))
    assert reasons(bench.plan(tiny.graph(**calls).with_inputs("a", value=3.0)))["a"] == "input value changed: 1.0 → 3.0"
    more = Graph([*tiny.graph(**calls).with_inputs("a", value=3.0).calls.values(), NodeCall("z", "GlidewireNumber")])
    assert reasons(bench.plan(more))["a"] == "never run in this workflow"


def test_a_node_that_was_added_is_the_root_of_what_follows(bench: Any, tiny: Any) -> None:
    bench.run(tiny.graph({"id": "w"}, a=("number", {}), f=("fill", {"value": "a"}), k=("keep", {"value": "f"})))
    grown = tiny.graph(
        {"id": "w"},
        a=("number", {}),
        b=("product", {"left": "a"}),
        f=("fill", {"value": "b"}),
        k=("keep", {"value": "f"}),
    )
    why = reasons(bench.plan(grown))
    assert why["b"] == "never run in this workflow"
    assert why["f"] == "input value was wired to node a, now to node b"


def test_another_output_of_the_same_node(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(s=("split", {}), p=("anything", {"value": "s.0"}), k=("keep", {"value": "p"}))
    bench.run(graph)
    why = reasons(bench.plan(graph.with_inputs("p", value=Wire("s", 1))))
    assert why["p"] == "input value was wired to output 0, now to output 1"


def test_long_chains_are_planned_without_recursion(bench: Any, tiny: Any) -> None:
    graph = tiny.chain(3000)
    bench.run(graph)
    plan = bench.plan(graph.with_inputs("0", value=5))
    assert reasons(plan)["2999"] == "upstream node 0 (GlidewireStep): input value changed: 0 → 5"
    assert isinstance(bench.cache, Cache)
