"""The Python door: node calls recorded, run, saved, loaded; and what every misuse is told."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.graph import Wire
from glidewire.graph_runtime.problems import GraphProblems
from glidewire.interfaces.api import RunFailedError, Workflow
from glidewire.interfaces.placeholders import PlaceholderError


@pytest.fixture
def flow(tiny, registry):
    with Workflow("tiny", registry=registry) as flow:
        noise = flow.titled("Noise", tiny.tiny_noise(6, seed=3))
        low, high = tiny.tiny_split(noise)
        joined = tiny.tiny_join(low, right=high)
        tiny.tiny_keep(tiny.tiny_scale(joined, by=0.5), name="kept")
    return flow


def test_calls_become_nodes_with_small_ids_in_order(flow):
    assert list(flow.graph.calls) == ["1", "2", "3", "4", "5"]
    assert flow.graph.calls["1"].inputs == {"count": 6, "seed": 3}
    assert flow.graph.calls["1"].title == "Noise"
    assert flow.graph.calls["2"].inputs == {"grain": Wire("1", 0)}
    assert flow.graph.calls["3"].inputs == {"left": Wire("2", 0), "right": Wire("2", 1)}
    assert repr(flow) == "<Workflow 'tiny', 5 nodes>"


def test_outside_the_block_nodes_are_plain_functions(tiny, flow):
    grain = tiny.tiny_noise(6, seed=3)
    low, high = tiny.tiny_split(grain)
    assert torch.equal(tiny.tiny_join(low, high), grain)


def test_it_runs_and_gives_the_values_asked_for(tiny, registry, tmp_path):
    with Workflow("two", registry=registry) as flow:
        noise = tiny.tiny_noise(5, seed=1)
        pair = tiny.tiny_split(noise)
        tiny.tiny_keep(pair.left)
    results = flow.run(noise, pair, device="cpu")
    assert torch.equal(results[noise], tiny.tiny_noise(5, seed=1))
    assert torch.equal(results[pair.right], results[noise].clamp(min=0))
    assert torch.equal(results["1", 0], results[noise])
    assert not (tmp_path / "output").exists()  # only what was asked for ran
    left, right = flow.fetch(pair.left, pair.right, device="cpu")
    assert torch.equal(left + right, results[noise])
    assert torch.equal(flow.fetch(noise, device="cpu", cache=None), results[noise])


def test_without_outputs_the_effects_run(flow, tmp_path):
    results = flow.run(device="cpu", output=tmp_path / "out")
    assert (tmp_path / "out" / "kept.txt").is_file()
    assert list(results.digests) == ["5"] and len(results.digests["5"]) == 64


def test_a_value_can_be_fetched_inside_the_block(tiny, registry):
    with Workflow(registry=registry) as flow:
        noise = tiny.tiny_noise(2)
        assert flow.fetch(noise, device="cpu").shape == (2,)
        tiny.tiny_scale(noise)
    assert list(flow.graph.calls) == ["1", "2"]


def test_blocks_nest_and_an_error_ends_the_recording(tiny, registry):
    with Workflow("outer", registry=registry) as outer:
        tiny.tiny_noise()
        with Workflow("inner", registry=registry) as inner:
            tiny.tiny_noise()
        tiny.tiny_noise()
    assert (len(outer.graph.calls), len(inner.graph.calls)) == (2, 1)
    with pytest.raises(ZeroDivisionError), Workflow(registry=registry):
        1 / 0
    assert isinstance(tiny.tiny_noise(), torch.Tensor)


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda out: out + 1, "it cannot be computed with"),
        (lambda out: 2 * out, "it cannot be computed with"),
        (lambda out: -out, "it cannot be computed with"),
        (lambda out: list(out), "it cannot be used as a value (__iter__)"),
        (lambda out: bool(out), "it cannot be used as a value (__bool__)"),
        (lambda out: float(out), "it cannot be used as a value (__float__)"),
        (lambda out: out[0], "it cannot be used as a value (__getitem__)"),
        (lambda out: out.shape, "its attribute shape is not known"),
    ],
)
def test_a_placeholder_used_as_a_value_explains_itself(tiny, registry, misuse, message):
    with Workflow(registry=registry):
        noise = tiny.tiny_noise()
        with pytest.raises(PlaceholderError) as caught:
            misuse(noise)
    assert str(caught.value) == (
        f"node 1 (Tiny noise), output grain has no value while the workflow is being written: {message}; expected an "
        "input of another node. Compute with nodes, or fetch the value with flow.fetch(...) first."
    )


def test_torch_functions_refuse_placeholders_in_words(tiny, registry):
    with Workflow(registry=registry):
        noise = tiny.tiny_noise()
    with pytest.raises(PlaceholderError, match="torch's cat was called on an output of a node"):
        torch.cat([noise, noise])


def test_placeholders_can_be_looked_at(tiny, registry):
    with Workflow(registry=registry):
        noise = tiny.tiny_noise()
    assert repr(noise) == "<node 1 (Tiny noise), output grain>"
    assert not hasattr(noise, "_repr_html_")
    assert copy.copy(noise).wire == noise.wire
    assert noise == noise and noise in {noise}


def misuses(tiny, foreign):
    return [
        (
            lambda: tiny.tiny_scale(foreign),
            "tiny_scale, input grain: node 1 (Tiny noise), output grain belongs to another workflow; expected an "
            "output of this workflow; got one of 'foreign'. Fetch its value from there, or write both in one "
            "workflow.",
        ),
        (
            lambda: tiny.tiny_scale(torch.ones(2)),
            "tiny_scale, input grain: this value cannot be written into a workflow; expected an output of a node, "
            "a number, a text or a list of those; got Tensor. Let a node make it, so that the saved workflow can "
            "make it again.",
        ),
        (
            lambda: tiny.tiny_scale(tiny.tiny_split(tiny.tiny_noise())),
            "tiny_scale, input grain: that node has several outputs; expected one of them: .left, .right",
        ),
        (
            lambda: tiny.tiny_scale([tiny.tiny_noise()]),
            "tiny_scale, input grain: a Python list of outputs cannot be wired; expected one output. Join them "
            "with a node that makes a list, and wire that.",
        ),
        (
            lambda: tiny.tiny_scale(tiny.tiny_keep(tiny.tiny_noise())),
            "tiny_scale, input grain: got nothing; expected a value, or an output of a node that has one; got None",
        ),
        (
            lambda: tiny.tiny_scale(tiny.tiny_noise(), bye=1),
            "tiny_scale: got an unexpected keyword argument 'bye'; expected tiny_scale(grain, by, offset). Did you "
            "mean by?",
        ),
        (
            lambda: tiny.tiny_scale(),
            "tiny_scale: missing a required argument: 'grain'; expected tiny_scale(grain, by, offset)",
        ),
        (
            lambda: tiny.tiny_noise(1, 2, 3),
            "tiny_noise: too many positional arguments; expected tiny_noise(count, seed)",
        ),
    ]


@pytest.mark.parametrize("index", range(8))
def test_what_cannot_be_written_is_refused_in_words(tiny, registry, index):
    with Workflow("foreign", registry=registry):
        foreign = tiny.tiny_noise()
    call, message = misuses(tiny, foreign)[index]
    with Workflow("mine", registry=registry), pytest.raises(GlidewireError) as caught:
        call()
    assert str(caught.value) == message


def test_only_outputs_of_this_workflow_can_be_asked_for(tiny, registry, flow):
    with Workflow("foreign", registry=registry):
        foreign = tiny.tiny_noise()
    with pytest.raises(
        GlidewireError, match="belongs to another workflow; expected an output of this workflow; got one of 'foreign'"
    ):
        flow.run(foreign, device="cpu")
    with pytest.raises(
        GlidewireError, match="only an output of a node can be asked for; expected a placeholder; got 3"
    ):
        flow.run(3, device="cpu")
    results = flow.run(device="cpu")
    with pytest.raises(
        GlidewireError, match=r"the value of output 0 of node 1 was not kept; expected an output .* Name it in run"
    ):
        results["1", 0]


def test_a_failing_node_raises_its_failure_and_problems_come_before(tiny, registry):
    with Workflow(registry=registry) as flow:
        noise = tiny.tiny_noise(3)
        broken = tiny.tiny_fail(noise)
        tiny.tiny_keep(broken)
    with pytest.raises(RunFailedError) as caught:
        flow.run(device="cpu")
    text = str(caught.value)
    assert text.startswith(
        "node 2 (GlidewireTinyFail) failed: the tiny node fails; expected success; got failure. It always does."
    )
    assert "grain = float32 3" in text and caught.value.failures[0].node == "2"
    with Workflow(registry=registry) as wrong:
        tiny.tiny_keep(tiny.tiny_noise(count=1000))
    with pytest.raises(GraphProblems, match="1 problem in the workflow") as problems:
        wrong.run(device="cpu")
    assert [(one.kind, one.node, one.input) for one in problems.value.problems] == [("out_of_range", "1", "count")]
    assert wrong.check().problems == problems.value.problems


def test_options_are_checked(flow, tmp_path):
    for options, message in [
        ({"device": "tpu"}, "this machine has no such device; expected auto, cpu"),
        ({"dtype": "float8"}, "no such number type; expected float32, bfloat16 or float16; got float8"),
        ({"threads": 0}, "the number of threads is impossible; expected 1 to 1024; got 0"),
        ({"models": [tmp_path / "none"]}, "the models folder does not exist; expected an existing folder; got "),
        (
            {"modles": []},
            "unknown option modles; expected models, inputs, output, device, dtype, deterministic, threads, cache. "
            "Did you mean models?",
        ),
    ]:
        with pytest.raises(GlidewireError) as caught:
            flow.run(**options)
        assert str(caught.value).startswith(message)


def test_round_trip_through_files_keeps_every_key(flow, registry, tmp_path):
    keys = {node: entry.key for node, entry in flow.plan(device="cpu").entries.items()}
    flow.save(tmp_path / "saved.json")
    flow.save_api(tmp_path / "api.json")
    for name in ("saved.json", "api.json"):
        loaded = Workflow.load(tmp_path / name, registry=registry)
        assert loaded.name == Path(name).stem
        assert loaded.graph.calls["1"].title == "Noise"
        assert {node: entry.key for node, entry in loaded.plan(device="cpu").entries.items()} == keys
    document = json.loads((tmp_path / "saved.json").read_text())
    assert [node["id"] for node in document["nodes"]] == [1, 2, 3, 4, 5]
    assert all(len(node["pos"]) == 2 for node in document["nodes"])


def test_a_loaded_workflow_can_be_changed_and_gone_on_with(flow, tiny, registry, tmp_path):
    flow.save(tmp_path / "saved.json")
    loaded = Workflow.load(tmp_path / "saved.json", registry=registry)
    loaded.set(by=3.0, **{"Noise.seed": 9})
    assert loaded.graph.calls["4"].inputs["by"] == 3.0 and loaded.graph.calls["1"].inputs["seed"] == 9
    with loaded:
        more = tiny.tiny_scale(loaded.node("Noise"), by=10.0)
    assert more.wire == Wire("6", 0)
    assert torch.allclose(loaded.fetch(more, device="cpu"), 10 * tiny.tiny_noise(6, seed=9))
    assert loaded.node("2").right.wire == Wire("2", 1)
    with pytest.raises(GlidewireError, match=r"the workflow has no node Nois; expected .* Did you mean Noise\?"):
        loaded.node("Nois")


def test_a_failed_save_leaves_nothing(flow, tmp_path):
    with pytest.raises(GlidewireError, match="cannot be written"):
        flow.save(tmp_path / "none" / "saved.json")
    (tmp_path / "old.json").write_text("old")
    flow._calls["1"] = flow._calls["1"].__class__("1", "GlidewireTinyNoise", {"seed": float("nan"), "count": {1, 2}})
    with pytest.raises(GlidewireError):
        flow.save_api(tmp_path / "old.json")
    assert (tmp_path / "old.json").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.json"]


def test_titles_go_to_calls_of_this_workflow_alone(tiny, registry):
    with Workflow(registry=registry) as flow:
        flow.titled("Kept", tiny.tiny_keep(flow.titled("Noise", tiny.tiny_noise())))
        assert flow.titled("Pair", tiny.tiny_split(tiny.tiny_noise())).left.wire == Wire("4", 0)
    assert [call.title for call in flow.graph.calls.values()] == ["Noise", "Kept", "", "Pair"]
    with pytest.raises(GlidewireError, match="there is no node call to title"):
        Workflow(registry=registry).titled("x", None)


def test_the_package_alone_imports_nothing_heavy():
    code = (
        "import sys, glidewire; heavy = {'torch', 'diffusers', 'numpy', 'networkx', 'PIL'} & set(sys.modules);"
        "assert not heavy, heavy; assert not hasattr(glidewire, '_nothing')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_package_offers_its_doors_and_nodes_by_name():
    import glidewire
    from glidewire.interfaces.session import pack_registry

    names = dir(glidewire)
    assert {"Workflow", "run", "check", "plan", "nodes", "GlidewireError"} <= set(names)
    for declaration in pack_registry():
        assert declaration.name in names
        assert hasattr(glidewire.nodes, declaration.name), f"add {declaration.name} to nodes/__init__.py"
        assert getattr(glidewire, declaration.name).declaration is declaration
        assert getattr(glidewire.nodes, declaration.name).declaration is declaration
    with pytest.raises(AttributeError):
        glidewire.no_such_node


def test_a_star_import_gives_the_doors_and_every_node():
    found: dict[str, object] = {}
    exec("from glidewire import *", found)
    assert found["Workflow"] is Workflow
    assert {"run", "check", "plan", "GlidewireError", "nodes", "load_glide", "save_image"} <= set(found)
    assert not {"importlib", "TYPE_CHECKING", "Any"} & set(found)


def test_what_can_be_no_workflow_is_refused_in_words():
    with pytest.raises(GlidewireError, match=r"this is no workflow; expected a path, .* got 3"):
        Workflow.load(3)
