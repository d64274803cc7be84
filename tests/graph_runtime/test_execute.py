"""Running graphs: what runs, in which order, what it says, and what happens when something fails."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
import torch
from glidewire.graph_runtime import codec, events
from glidewire.graph_runtime.context import CancelToken, Policy
from glidewire.graph_runtime.execute import stream
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire


def kinds(bench: Any) -> list[str]:
    """The events as "Kind node"."""
    return [f"{type(event).__name__} {getattr(event, 'node', '')}".strip() for event in bench.events]


def test_only_what_the_effect_needs_runs_in_order(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(
        spare=("number", {}), a=("number", {"value": 2}), f=("fill", {"value": "a"}), k=("keep", {"value": "f"})
    )
    result = bench.run(graph)
    assert result.ok and not result.failures and not result.cancelled
    assert kinds(bench) == [
        "Queued",
        *("Started a", "Finished a"),
        *("Started f", "Finished f"),
        *("Started k", "Finished k"),
        "Completed",
    ]
    queued, completed = bench.events[0], bench.events[-1]
    assert queued.nodes == queued.will_run == ("a", "f", "k")
    assert completed.ok and completed.digests == result.digests and set(result.digests) == {"k"}
    assert {event.run for event in bench.events} == {queued.run}
    shown = next(event for event in bench.events if isinstance(event, events.Finished) and event.node == "k")
    assert shown.show == {"text": ["float32 3 in [2, 2]"]}
    filled = next(event for event in bench.events if isinstance(event, events.Finished) and event.node == "f")
    assert filled.outputs == {"test_values": "float32 3 in [2, 2]"} and filled.nbytes >= 12


def test_a_second_run_takes_the_result_from_memory_and_effects_run_again(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(a=("number", {}), f=("fill", {"value": "a"}), k=("keep", {"value": "f"}))
    first = bench.run(graph)
    second = bench.run(graph)
    assert kinds(bench) == ["Queued", "Cached f", "Started k", "Finished k", "Completed"]
    assert dict(tiny.RAN) == {"keep": 1}
    assert first.digests == second.digests


def test_a_changed_parameter_runs_what_follows_it_only(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(f=("fill", {}), g=("add", {"left": "f"}), h=("add", {"left": "g"}), k=("keep", {"value": "h"}))
    bench.run(graph)
    bench.run(graph.with_inputs("g", amount=7.0))
    assert bench.names(events.Started) == ["g", "h", "k"]
    bench.run(graph)
    assert bench.names(events.Started) == ["k"]


def test_targets_yield_their_outputs(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(s=("split", {"value": 2.5}), k=("keep", {"value": "s"}))
    result = bench.run(graph, "s")
    assert result.outputs == {"s": (2, 0.5)} and tiny.RAN["keep"] == 0
    assert result.digests["s"] == codec.digest([codec.digest(2), codec.digest(0.5)])


def test_the_digest_of_an_effect_is_that_of_what_went_in(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(f=("fill", {"value": 2.0}), k=("keep", {"value": "f", "name": "one"}))
    same = tiny.graph(z=("fill", {"value": 1.0}), y=("add", {"left": "z"}), k=("keep", {"value": "y", "name": "two"}))
    assert bench.run(graph).digests == bench.run(same).digests
    assert bench.run(graph).digests != bench.run(graph.with_inputs("f", value=3.0)).digests


def test_handles_run_and_stay_in_memory(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(e=("engine", {"power": 3}), d=("drive", {"engine": "e", "by": 2.0}), k=("keep", {"value": "d"}))
    assert bench.run(graph, "d").outputs == {"d": (6.0,)}
    assert bench.run(graph.with_inputs("d", by=4.0), "d").outputs == {"d": (12.0,)}
    assert tiny.RAN["engine"] == 0


def test_a_whole_number_on_a_wire_arrives_as_a_real_one(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(r=("rounded", {"value": 3.9}), p=("product", {"left": "r", "right": 2}))
    (value,) = bench.run(graph, "p").outputs["p"]
    assert value == 6.0 and type(value) is float


# Lists


def test_a_list_runs_a_node_once_per_item_and_a_shorter_one_repeats_its_last(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(
        c=("count", {"upto": 4}),
        d=("count", {"upto": 2}),
        p=("product", {"left": "c", "right": "d"}),
        t=("total", {"values": "p"}),
    )
    result = bench.run(graph, "p", "t")
    assert result.outputs == {"p": ([0.0, 1.0, 2.0, 3.0],), "t": (6.0,)}
    assert tiny.RAN["product"] == 4 and tiny.RAN["total"] == 1


def test_list_outputs_of_a_mapped_node_are_joined(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(c=("count", {"upto": 3}), d=("twice_each", {"value": "c"}))
    assert bench.run(graph, "d").outputs == {"d": ([0, 0, 1, 1, 2, 2],)}


def test_a_single_value_enters_a_list_input_as_a_list_of_one(bench: Any, tiny: Any) -> None:
    assert bench.run(tiny.graph(n=("number", {"value": 5}), t=("total", {"values": "n"})), "t").outputs["t"] == (5.0,)
    assert bench.run(tiny.graph(t=("total", {"values": [1, 2.5]})), "t").outputs["t"] == (3.5,)


def test_an_empty_list_runs_nothing_and_gives_an_empty_list(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(c=("count", {"upto": 0}), d=("step", {"value": "c"}), t=("total", {"values": "d"}))
    assert bench.run(graph, "d", "t").outputs == {"d": ([],), "t": (0,)}


def test_an_effect_on_a_list_happens_for_each_item(bench: Any, tiny: Any) -> None:
    bench.run(tiny.graph(c=("count", {"upto": 3}), k=("keep", {"value": "c"})))
    assert bench.events[-2].show == {"text": ["0", "1", "2"]}


def test_a_mapped_result_comes_back_from_the_cache_as_a_list(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(
        c=("count", {}), s=("step", {"value": "c"}), t=("total", {"values": "s"}), k=("keep", {"value": "t"})
    )
    bench.run(graph, "s")
    assert bench.run(graph, "t").outputs["t"] == (6.0,)
    assert bench.names(events.Cached) == ["s"]


# Laziness and values


@pytest.mark.parametrize(("condition", "ran", "value"), [(True, ["t", "s"], (1.0,)), (False, ["f", "s"], (2.0,))])
def test_a_switch_computes_only_the_branch_it_takes(
    bench: Any, tiny: Any, condition: bool, ran: list[str], value: tuple[float]
) -> None:
    graph = tiny.graph(
        t=("number", {}),
        f=("number", {"value": 2.0}),
        s=("switch", {"condition": condition, "on_true": "t", "on_false": "f"}),
    )
    assert bench.run(graph, "s").outputs == {"s": value}
    assert bench.names(events.Started) == ran


def test_a_switch_whose_condition_is_computed_runs_that_first(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(
        n=("number", {"value": -1.0}),
        p=("positive", {"value": "n"}),
        t=("fill", {}),
        u=("add", {"left": "t"}),
        f=("fill", {"value": 2.0}),
        inner=("switch", {"condition": "p", "on_true": "u", "on_false": "f"}),
        s=("switch", {"condition": True, "on_true": "inner", "on_false": "t"}),
        k=("keep", {"value": "s"}),
    )
    assert bench.run(graph).ok
    assert bench.names(events.Started) == ["n", "p", "f", "inner", "s", "k"]
    bench.run(graph)
    assert bench.names(events.Started) == ["k"]


def test_by_value_cuts_off_early(bench: Any, tiny: Any) -> None:
    def graph(value: float) -> Graph:
        return tiny.graph(
            r=("rounded", {"value": value}),
            p=("product", {"left": "r"}),
            q=("product", {"left": "p"}),
            k=("keep", {"value": "q"}),
        )

    bench.run(graph(2.25))
    assert bench.names(events.Started) == ["r", "p", "q", "k"]
    bench.run(graph(2.75))
    assert bench.names(events.Started) == ["r", "k"] and bench.names(events.Cached) == ["q"]
    bench.run(graph(3.0))
    assert bench.names(events.Started) == ["r", "p", "q", "k"]


def test_a_file_named_over_a_wire_counts_by_its_content(bench: Any, tiny: Any) -> None:
    folder = bench.folders.input[0]
    (folder / "a.txt").write_text("one")
    (folder / "b.txt").write_text("two")
    graph = tiny.graph(w=("word", {"value": "a.txt"}), f=("load", {"file": "w"}))
    assert bench.run(graph, "f").outputs["f"] == ("one",)
    assert bench.run(graph.with_inputs("w", value="b.txt"), "f").outputs["f"] == ("two",)
    (folder / "b.txt").write_text("three")
    assert bench.run(graph.with_inputs("w", value="b.txt"), "f").outputs["f"] == ("three",)


def test_a_file_that_changes_before_it_is_read_fails_its_node_and_leaves_nothing_wrong(bench: Any, tiny: Any) -> None:
    file = bench.folders.input[0] / "a.txt"
    file.write_text("one")
    graph = tiny.graph(f=("load", {"file": "a.txt"}))

    def swap(event: Any) -> None:
        if isinstance(event, events.Started):
            file.write_text("another")

    (failure,) = bench.run(graph, "f", on_event=swap).failures
    assert failure.error == (
        "a.txt changed while the workflow ran; expected a file that stays as it is; "
        "got another size or time than when the run began. Run it again."
    )
    assert bench.run(graph, "f").outputs["f"] == ("another",)
    file.write_text("one")
    assert bench.run(graph, "f").outputs["f"] == ("one",), "the old content is known by no other result"


# Memory


def test_a_value_is_let_go_when_its_last_consumer_has_run(make_bench: Any, tiny: Any) -> None:
    bench = make_bench(memory=0)
    alive: list[weakref.ref[torch.Tensor]] = []
    counts: list[int] = []

    def watch(event: events.Event) -> None:
        if isinstance(event, events.Started):
            gc.collect()
            counts.append(sum(ref() is not None for ref in alive))

    original = torch.Tensor.__add__

    def tracked(left: torch.Tensor, right: Any) -> torch.Tensor:
        made = original(left, right)
        alive.append(weakref.ref(made))
        return made

    nodes = {f"n{index}": ("add", {"left": f"n{index - 1}"}) for index in range(1, 8)}
    graph = tiny.graph(n0=("fill", {}), **nodes, k=("keep", {"value": "n7"}))
    torch.Tensor.__add__ = tracked  # type: ignore[method-assign]
    try:
        assert bench.run(graph, on_event=watch).ok
    finally:
        torch.Tensor.__add__ = original  # type: ignore[method-assign]
    assert len(alive) == 7 and max(counts) <= 1


def test_without_room_in_the_cache_everything_still_runs(make_bench: Any, tiny: Any) -> None:
    bench = make_bench(memory=0)
    graph = tiny.graph(
        r=("rounded", {"value": 3.5}),
        f=("fill", {"value": "r"}),
        g=("add", {"left": "f", "amount": "r"}),
        k=("keep", {"value": "g"}),
    )
    first = bench.run(graph)
    second = bench.run(graph)
    assert first.ok and first.digests == second.digests
    assert bench.names(events.Started) == ["r", "f", "g", "k"]


def test_long_chains_run_without_recursion(bench: Any, tiny: Any) -> None:
    graph = tiny.chain(3000)
    assert bench.run(graph).ok and bench.run(graph, "2999").outputs == {"2999": (3000,)}


# Failure


def diamond(tiny: Any, kind: str = "ValueError") -> Graph:
    return tiny.graph(
        f=("fill", {}),
        bad=("boom", {"value": "f", "kind": kind}),
        after=("add", {"left": "bad"}),
        good=("add", {"left": "f"}),
        kbad=("keep", {"value": "after"}),
        kgood=("keep", {"value": "good"}),
    )


def test_a_failure_stops_the_run_and_says_what_came_in(bench: Any, tiny: Any) -> None:
    result = bench.run(diamond(tiny))
    (failure,) = result.failures
    assert not result.ok and not result.outputs
    assert str(failure) == (
        "node bad (GlidewireBoom) failed: ValueError: no such luck\n"
        "    value = float32 3 in [1, 1]\n    kind = 'ValueError'"
    )
    assert failure.kind == "ValueError" and "no such luck" in failure.traceback and "in boom" in failure.traceback
    assert kinds(bench)[-2:] == ["Failed bad", "Completed"] and not bench.events[-1].ok
    assert bench.names(events.Finished) == ["f"]


def test_keep_going_finishes_what_does_not_depend_on_it(bench: Any, tiny: Any) -> None:
    result = bench.run(diamond(tiny), keep_going=True)
    assert [failure.node for failure in result.failures] == ["bad"]
    assert result.skipped == {"after": "bad", "kbad": "after"}
    assert bench.names(events.Finished) == ["f", "good", "kgood"]
    skipped = [event for event in bench.events if isinstance(event, events.Skipped)]
    assert [(event.node, event.because) for event in skipped] == [("after", "bad"), ("kbad", "after")]
    assert set(result.digests) == {"kgood"}


def test_our_own_errors_speak_for_themselves(bench: Any, tiny: Any) -> None:
    (failure,) = bench.run(diamond(tiny, "GlidewireError")).failures
    assert failure.error == "the value is wrong; expected 3; got 4. Use 3."


def test_running_out_of_memory_says_what_to_do(bench: Any, tiny: Any) -> None:
    (failure,) = bench.run(diamond(tiny, "memory")).failures
    assert failure.error == (
        "not enough memory. Use a smaller batch or picture, a shorter number type (--dtype), or give the cache less"
    )


def test_a_failed_node_leaves_nothing_in_the_cache(bench: Any, tiny: Any) -> None:
    bench.run(diamond(tiny), keep_going=True)
    bench.run(diamond(tiny), keep_going=True)
    assert bench.names(events.Started) == ["bad", "kgood"]


def test_a_missing_file_is_the_failure_of_its_node(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(l=("load", {"file": "no.txt"}), k=("keep", {"value": "l"}))
    (failure,) = bench.run(graph).failures
    assert failure.node == "l" and failure.error.startswith(
        "no file no.txt in the input folders; expected a file inside"
    )


def test_a_by_value_node_that_fails_skips_what_hangs_on_it(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(
        r=("rounded", {"value": float("nan")}),
        p=("product", {"left": "r"}),
        k=("keep", {"value": "p"}),
        k2=("keep", {"value": 1}),
    )
    result = bench.run(graph, keep_going=True)
    assert [failure.node for failure in result.failures] == ["r"] and result.skipped == {"p": "r", "k": "p"}
    assert bench.names(events.Finished) == ["k2"]


def test_a_lazy_choice_that_raises_is_the_failure_of_its_node(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(
        t=("number", {}), p=("picky", {"which": "third", "first": "t", "second": "t"}), k=("keep", {"value": "p"})
    )
    (failure,) = bench.run(graph).failures
    assert failure.node == "p" and failure.error == "there is no third; expected first or second"
    assert bench.names(events.Started) == ["p"]


def test_a_lazy_input_that_is_required_may_stay_out(bench: Any, tiny: Any) -> None:
    graph = tiny.graph(t=("number", {}), p=("picky", {"which": "first", "first": "t"}))
    assert bench.run(graph, "p").outputs == {"p": (1.0,)}


def test_a_missing_input_is_named(bench: Any) -> None:
    (failure,) = bench.run(
        Graph([NodeCall("1", "GlidewireAdd"), NodeCall("2", "GlidewireKeep", {"value": Wire("1", 0)})])
    ).failures
    assert failure.error == "input left is missing; expected a wire or a value. Check the workflow first."


# Cancelling and progress


def test_cancelling_stops_within_a_step(bench: Any, tiny: Any) -> None:
    token = CancelToken()
    tiny.GATES["walk"] = lambda index: token.cancel() if index == 2 else None
    graph = tiny.graph(w=("walk", {"steps": 100}), k=("keep", {"value": "w"}))
    try:
        result = bench.run(graph, cancel=token)
    finally:
        tiny.GATES.clear()
    assert result.cancelled and not result.ok and not result.failures
    assert [event.done for event in bench.events if isinstance(event, events.Progress)] == [1, 2]
    assert kinds(bench)[-2:] == ["Cancelled", "Completed"]
    assert bench.run(graph).ok and bench.names(events.Started) == ["w", "k"]


def test_cancelling_between_nodes(bench: Any, tiny: Any) -> None:
    token = CancelToken()

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Finished):
            token.cancel()

    result = bench.run(tiny.chain(10), cancel=token, on_event=listen)
    assert result.cancelled and not result.failures


def test_a_stream_yields_the_events_and_closing_it_cancels(bench: Any, tiny: Any) -> None:
    options = {"folders": bench.folders, "policy": bench.policy}
    found = list(stream(tiny.chain(3), tiny.REGISTRY, bench.cache, **options))
    assert isinstance(found[0], events.Queued) and isinstance(found[-1], events.Completed)

    token, stepped = CancelToken(), threading.Event()
    tiny.GATES["walk"] = lambda index: stepped.set()
    running = stream(
        tiny.graph(w=("walk", {"steps": 10**9}), k=("keep", {"value": "w"})),
        tiny.REGISTRY,
        bench.cache,
        cancel=token,
        **options,
    )
    try:
        while not isinstance(next(running), events.Progress):
            pass
        running.close()
    finally:
        tiny.GATES.clear()
    assert token.cancelled and stepped.is_set()
    assert "glidewire run" not in {thread.name for thread in threading.enumerate()}


def test_a_stream_raises_what_run_raises(bench: Any, tiny: Any) -> None:
    with pytest.raises(Exception, match="there is no node type Nothing"):
        list(
            stream(
                Graph([NodeCall("1", "Nothing")]),
                tiny.REGISTRY,
                bench.cache,
                folders=bench.folders,
                policy=bench.policy,
            )
        )


# Determinism


def test_a_deterministic_run_asks_torch_for_it_only_while_it_lasts(bench: Any, tiny: Any) -> None:
    seen: list[bool] = []
    tiny.GATES["walk"] = lambda index: seen.append(torch.are_deterministic_algorithms_enabled())
    bench.policy = Policy(deterministic=True)
    try:
        bench.run(tiny.graph(w=("walk", {"steps": 1}), k=("keep", {"value": "w"})))
    finally:
        tiny.GATES.clear()
    assert seen == [True] and not torch.are_deterministic_algorithms_enabled()


def test_a_node_finds_its_segments_again(bench: Any, tiny: Any) -> None:
    def run(length: int) -> torch.Tensor:
        return bench.run(tiny.graph(s=("segmented", {"length": length})), "s").outputs["s"][0]

    assert torch.equal(run(4), torch.full((2,), 16.0)) and tiny.RAN["segment"] == 4
    assert torch.equal(run(6), torch.full((2,), 64.0)) and tiny.RAN["segment"] == 2
    assert torch.equal(run(3), torch.full((2,), 8.0)) and tiny.RAN["segment"] == 0
