"""Inputs changed by name: which name means which input, and what every wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.interfaces.assignments import assign, assign_seed, find_node, find_place, relative_names
from glidewire.interfaces.surroundings import find_folders
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def graph() -> Graph:
    return Graph(
        [
            NodeCall("1", "GlidewireTinyNoise", {"count": 4, "seed": 1}),
            NodeCall("2", "GlidewireTinyNoise", {"count": 4, "seed": 2}, title="Second. noise"),
            NodeCall("3", "GlidewireTinyJoin", {"left": Wire("1", 0), "right": Wire("2", 0), "label": "x"}),
            NodeCall("4", "GlidewireTinyScale", {"grain": Wire("3", 0), "by": 2.0}),
            NodeCall("5:1", "GlidewireTinyKeep", {"grain": Wire("4", 0)}, title="Keep"),
        ]
    )


def changed(graph: Graph, registry, **changes) -> Graph:
    return assign(graph, registry, changes)[0]


@pytest.mark.parametrize(
    ("name", "node", "entry"),
    [
        ("1.seed", "1", "seed"),
        ("Second. noise.seed", "2", "seed"),
        ("second. NOISE.seed", "2", "seed"),
        ("label", "3", "label"),
        ("by", "4", "by"),
        ("tiny_scale.by", "4", "by"),
        ("GlidewireTinyScale.by", "4", "by"),
        ("5:1.name", "5:1", "name"),
        ("Keep.name", "5:1", "name"),
    ],
)
def test_a_name_means_one_input(graph, registry, name, node, entry):
    place = find_place(graph, registry, name)
    assert (place.call.id, place.input.id) == (node, entry)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "seed",
            "seed is ambiguous; expected one input; got 1.seed (GlidewireTinyNoise), 2.seed (Second. noise). "
            "Write it as node.input.",
        ),
        (
            "tiny_noise.seed",
            "tiny_noise.seed is ambiguous; expected one input; got 1.seed (GlidewireTinyNoise), "
            "2.seed (Second. noise). Write it as node.input.",
        ),
        (
            "left",
            "left is a socket of node 3 (GlidewireTinyJoin): it takes a wire, not a value; expected a wire that "
            "carries GRAIN. Set an input of the node that feeds it instead.",
        ),
        ("labl", "Did you mean label or 3.label?"),
        ("4.bye", "Did you mean 4.by"),
        ("Kep.name", "Kep.name: the workflow has no node Kep with an input to set; expected 1 (GlidewireTinyNoise), "),
        ("Kep.name", "Did you mean Keep?"),
    ],
)
def test_a_name_that_means_none_or_several_is_explained(graph, registry, name, text):
    with pytest.raises(GlidewireError) as caught:
        find_place(graph, registry, name)
    assert text in str(caught.value)


def test_an_input_that_a_wire_feeds_is_not_what_a_bare_name_means(graph, registry):
    wired = graph.with_inputs("1", seed=Wire("9", 0))
    assert find_place(wired, registry, "seed").call.id == "2"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("1.count", "12", 12),
        ("by", "3", 3.0),
        ("by", "-1e-3", -0.001),
        ("label", "a=b, c", "a=b, c"),
        ("label", "", ""),
        ("1.seed", "9007199254740991", 2**53 - 1),
    ],
)
def test_texts_are_read_by_the_inputs_own_type(graph, registry, name, text, value):
    place = find_place(graph, registry, name)
    got = changed(graph, registry, **{name: text}).calls[place.call.id].inputs[place.input.id]
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("TRUE", True), ("on", True), ("0", False), ("no", False)])
def test_truth_is_read_in_words(registry, text, value):
    graph = Graph([NodeCall("1", "GlidewireTinySplit", {})])
    assert changed(graph, registry, low=text).calls["1"].inputs["low"] is value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("1.count", "4.5", "1.count (GlidewireTinyNoise) cannot be set so; expected a whole number; got '4.5'"),
        ("by", "much", "4.by (GlidewireTinyScale) cannot be set so; expected a number; got 'much'"),
        ("5.low", "maybe", "5.low (GlidewireTinySplit) cannot be set so; expected yes or no; got 'maybe'"),
    ],
)
def test_a_text_that_is_no_such_value_is_refused(graph, registry, name, text, message):
    wider = Graph([*graph.calls.values(), NodeCall("5", "GlidewireTinySplit", {})])
    with pytest.raises(GlidewireError) as caught:
        assign(wider, registry, {name: text})
    assert str(caught.value) == message


@given(st.text())
def test_any_text_sets_a_text_and_no_other_error_than_ours_leaves(registry, text):
    graph = Graph([NodeCall("1", "GlidewireTinyNoise"), NodeCall("2", "GlidewireTinyKeep")])
    assert changed(graph, registry, name=text).calls["2"].inputs["name"] == text
    for name in ("count", text, f"1.{text}"):
        try:
            assign(graph, registry, {name: text})
        except GlidewireError:
            continue


def test_values_of_python_are_taken_as_they_are(graph, registry):
    assert changed(graph, registry, by=3).calls["4"].inputs["by"] == 3
    assert changed(graph, registry, **{"1.seed": True}).calls["1"].inputs["seed"] is True  # check refuses it later


def test_a_file_that_the_user_names_is_allowed_and_no_other(registry, tmp_path):
    graph = Graph([NodeCall("1", "GlidewireTinyRead", {"file": "a.txt"})])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.txt").write_text("b")
    for named in (elsewhere / "b.txt", str(elsewhere / "b.txt")):
        made, files = assign(graph, registry, {"file": named})
        assert files == {(elsewhere / "b.txt").resolve()}
        assert made.calls["1"].inputs["file"] == str((elsewhere / "b.txt").resolve())
    made, files = assign(graph, registry, {"file": "missing.txt"})
    assert not files and made.calls["1"].inputs["file"] == "missing.txt"


def test_files_inside_the_users_folders_are_written_relative_to_them(registry, tmp_path: Path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    folders = find_folders((), [tmp_path / "in"], "output")
    inside, outside = str(tmp_path / "in" / "deep" / "a.txt"), str(tmp_path / "b.txt")
    graph = Graph(
        [NodeCall("1", "GlidewireTinyRead", {"file": inside}), NodeCall("2", "GlidewireTinyRead", {"file": outside})]
    )
    made = relative_names(graph, registry, folders)
    assert made.calls["1"].inputs["file"] == "deep/a.txt"
    assert made.calls["2"].inputs["file"] == outside


def test_every_seed_that_is_written_down_is_set(graph, registry):
    made = assign_seed(graph.with_inputs("2", seed=Wire("9", 0)), registry, 7)
    assert made.calls["1"].inputs["seed"] == 7
    assert made.calls["2"].inputs["seed"] == Wire("9", 0)


def test_a_workflow_without_seeds_cannot_be_seeded(registry):
    with pytest.raises(GlidewireError, match=r"^no node of the workflow has a seed to set\. Leave --seed out\.$"):
        assign_seed(Graph([NodeCall("1", "GlidewireTinySplit")]), registry, 7)


def test_a_node_is_found_by_id_title_or_type(graph):
    assert [find_node(graph, name).id for name in ("4", "Keep", "tiny_join")] == ["4", "5:1", "3"]
    with pytest.raises(GlidewireError) as caught:
        find_node(graph, "tiny_noise")
    assert str(caught.value) == (
        "tiny_noise is ambiguous; expected one node; got 1 (GlidewireTinyNoise), 2 (Second. noise). Name it by its id."
    )
    with pytest.raises(GlidewireError, match=r"^the workflow has no node keap; expected .* Did you mean Keep\?$"):
        find_node(graph, "keap")
