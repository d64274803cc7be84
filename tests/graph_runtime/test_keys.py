"""Keys: what counts in them, what does not, and that they are made without recursion."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Policy
from glidewire.graph_runtime.demand import CacheOracle
from glidewire.graph_runtime.environment import deterministic, environment
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.keys import Keys
from glidewire.graph_runtime.registry import Registry
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def keys_of(tiny: Any, bench: Any) -> Callable[..., dict[str, str | None]]:
    """The key of every node of a graph before anything ran."""

    def make(graph: Graph, registry: Registry = tiny.REGISTRY, policy: Policy = bench.policy) -> dict[str, str | None]:
        keys = Keys(graph, registry, bench.folders, environment(policy), bench.cache.files)
        keys.advance(graph.calls, CacheOracle(keys, bench.cache))
        return {node: keys.keys[node].key if node in keys.keys else None for node in graph.calls}

    return make


@pytest.mark.parametrize(
    ("left", "right"), [(1, True), (1, 1.0), (1, "1"), (0.0, -0.0), (None, "None"), ([1], [1.0]), ([[1], 2], [1, [2]])]
)
def test_literals_of_different_types_differ(keys_of: Any, tiny: Any, left: Any, right: Any) -> None:
    first = keys_of(tiny.graph(a=("anything", {"value": left})))
    assert first != keys_of(tiny.graph(a=("anything", {"value": right})))
    assert first == keys_of(tiny.graph(a=("anything", {"value": left})))


@given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
def test_texts_cannot_be_mistaken_for_one_another(texts: list[str]) -> None:
    from glidewire.graph_runtime.arguments import text_of

    left, right = (text_of(text) for text in texts)
    assert left != right and "\n" not in left + right


def test_a_whole_number_in_a_real_input_is_that_real_number(keys_of: Any, tiny: Any) -> None:
    assert keys_of(tiny.graph(a=("number", {"value": 3}))) == keys_of(tiny.graph(a=("number", {"value": 3.0})))


def test_an_input_left_out_is_its_default(keys_of: Any, tiny: Any) -> None:
    assert keys_of(tiny.graph(a=("number", {}))) == keys_of(tiny.graph(a=("number", {"value": 1.0})))


def test_ids_titles_and_cosmetic_inputs_do_not_count(keys_of: Any, tiny: Any) -> None:
    first = keys_of(tiny.graph(a=("fill", {"note": "x"})))["a"]
    assert keys_of(tiny.graph(b=("fill", {"note": "y"})))["b"] == first
    assert keys_of(Graph([NodeCall("c", "GlidewireFill", {}, title="Filling")]))["c"] == first


def test_a_change_reaches_everything_downstream_and_nothing_else(keys_of: Any, tiny: Any) -> None:
    graph = tiny.graph(
        a=("number", {}),
        b=("number", {"value": 2.0}),
        c=("fill", {"value": "a"}),
        d=("add", {"left": "c", "amount": "b"}),
    )
    before, after = keys_of(graph), keys_of(graph.with_inputs("a", value=5.0))
    assert {node for node in before if before[node] != after[node]} == {"a", "c", "d"}


def test_which_output_is_wired_counts(keys_of: Any, tiny: Any) -> None:
    whole = tiny.graph(s=("split", {}), k=("anything", {"value": "s.0"}))
    rest = tiny.graph(s=("split", {}), k=("anything", {"value": "s.1"}))
    assert keys_of(whole)["s"] == keys_of(rest)["s"] and keys_of(whole)["k"] != keys_of(rest)["k"]


def test_a_version_bump_changes_the_node_and_what_follows(keys_of: Any, tiny: Any) -> None:
    graph = tiny.graph(a=("number", {}), b=("fill", {"value": "a"}), c=("add", {"left": "b"}))
    bumped = Registry(
        dataclasses.replace(entry, version=2) if entry.name == "fill" else entry for entry in tiny.REGISTRY
    )
    before, after = keys_of(graph), keys_of(graph, registry=bumped)
    assert {node for node in before if before[node] != after[node]} == {"b", "c"}


@pytest.mark.parametrize("policy", [Policy(dtype="bfloat16"), Policy(deterministic=True), Policy(device="cuda")])
def test_the_environment_counts(keys_of: Any, tiny: Any, policy: Policy) -> None:
    graph = tiny.graph(a=("number", {}))
    assert keys_of(graph) != keys_of(graph, policy=policy)


def test_the_environment_names_what_changes_numbers_on_the_processor() -> None:
    facts = environment(Policy())
    assert facts["torch"] == torch.__version__
    assert facts["threads"] == str(torch.get_num_threads())
    assert facts["instructions"] == torch.backends.cpu.get_cpu_capability()


def test_deterministic_kernels_are_asked_for_and_given_back() -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(Policy(deterministic=True)):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(Policy()):
        assert not torch.are_deterministic_algorithms_enabled()


def test_a_files_content_counts_and_its_name_does_not(keys_of: Any, tiny: Any, bench: Any) -> None:
    folder = bench.folders.input[0]
    (folder / "one.txt").write_text("same")
    (folder / "two.txt").write_text("same")
    first = keys_of(tiny.graph(a=("load", {"file": "one.txt"})))
    assert first == keys_of(tiny.graph(a=("load", {"file": "two.txt"})))
    (folder / "one.txt").write_text("other")
    assert first != keys_of(tiny.graph(a=("load", {"file": "one.txt"})))


def test_by_value_keys_wait_for_the_value_and_then_forget_how_it_was_made(keys_of: Any, tiny: Any, bench: Any) -> None:
    def graph(value: float) -> Graph:
        return tiny.graph(r=("rounded", {"value": value}), a=("anything", {"value": "r"}), k=("keep", {"value": "a"}))

    assert keys_of(graph(2.25))["a"] is None
    bench.run(graph(2.25))
    bench.run(graph(2.75))
    assert keys_of(graph(2.25))["r"] != keys_of(graph(2.75))["r"]
    assert keys_of(graph(2.25))["a"] == keys_of(graph(2.75))["a"] is not None


def test_an_unchosen_branch_does_not_count(keys_of: Any, tiny: Any) -> None:
    graph = tiny.graph(
        t=("number", {"value": 1.0}), f=("number", {"value": 2.0}), s=("switch", {"on_true": "t", "on_false": "f"})
    )
    before = keys_of(graph)["s"]
    assert keys_of(graph.with_inputs("f", value=9.0))["s"] == before
    assert keys_of(graph.with_inputs("t", value=9.0))["s"] != before


def test_a_list_and_a_single_value_differ(keys_of: Any, tiny: Any, bench: Any) -> None:
    single = tiny.graph(c=("step", {}), k=("anything", {"value": "c"}))
    listed = tiny.graph(c=("count", {"upto": 1}), k=("anything", {"value": "c"}))
    assert keys_of(single)["k"] != keys_of(listed)["k"]


def test_parts_say_what_went_into_a_key(tiny: Any, bench: Any) -> None:
    graph = tiny.graph(a=("number", {"value": 2.5}), b=("fill", {"value": "a", "note": "cosmetic"}))
    keys = Keys(graph, tiny.REGISTRY, bench.folders, environment(bench.policy), bench.cache.files)
    keys.advance(["b"], CacheOracle(keys, bench.cache))
    assert keys.keys["a"].parts["value"] == "float 2.5"
    parts = dict(keys.keys["b"].parts)
    assert parts.pop("@environment")
    assert parts == {
        "@node": "GlidewireFill",
        "@version": "1",
        "value": f"wire 0 {keys.keys['a'].key}",
        "size": "int 3",
    }


def test_keys_are_the_same_in_another_process(keys_of: Any, tiny: Any) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(Path(tiny.__file__).parent)!r})\n"
        "import torch; torch.set_num_threads(1)\n"
        "import tempfile, pathlib, runtime_nodes as tiny\n"
        "bench = tiny.bench(pathlib.Path(tempfile.mkdtemp()))\n"
        "graph = tiny.graph(a=('number', {'value': 2.0}), b=('fill', {'value': 'a'}))\n"
        "print(bench.plan(graph, 'b').entries['b'].key)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    here = keys_of(tiny.graph(a=("number", {"value": 2.0}), b=("fill", {"value": "a"})))
    assert found.stdout.strip() == here["b"]


def test_long_chains_need_no_recursion(keys_of: Any, tiny: Any) -> None:
    keys = keys_of(tiny.chain(3 * sys.getrecursionlimit()))
    assert len(set(keys.values())) == len(keys)


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        (
            [NodeCall("1", "Nothing")],
            "node 1: there is no node type Nothing. Check the workflow first: it names the nearest.",
        ),
        (
            [NodeCall("1", "GlidewireStep", {"value": Wire("9", 0)})],
            "node 1, input value: wired to output 0 of node 9; expected an output that exists. "
            "Check the workflow first.",
        ),
        (
            [NodeCall("1", "GlidewireStep"), NodeCall("2", "GlidewireStep", {"value": Wire("1", 7)})],
            "node 2, input value: wired to output 7 of node 1; expected an output that exists. "
            "Check the workflow first.",
        ),
        (
            [
                NodeCall("1", "GlidewireStep", {"value": Wire("2", 0)}),
                NodeCall("2", "GlidewireStep", {"value": Wire("1", 0)}),
            ],
            "the workflow has a cycle. Check it first: that names the nodes concerned.",
        ),
    ],
)
def test_graphs_that_were_not_checked_are_refused(keys_of: Any, calls: list[NodeCall], text: str) -> None:
    with pytest.raises(GlidewireError) as caught:
        keys_of(Graph(calls))
    assert str(caught.value) == text
