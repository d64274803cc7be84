"""The API form: wires, wrapped lists, and every malformed entry named."""

from __future__ import annotations

import json

import pytest
from glidewire.graph_runtime import formats
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.problems import GraphProblems


def lines(document, registry):
    with pytest.raises(GraphProblems) as raised:
        formats.read(document, registry)
    return [str(problem) for problem in raised.value.problems]


def test_wires_accept_numbers_as_node_ids(registry):
    document = {"1": {"class_type": "GlidewireDig"}, "2": {"class_type": "GlidewireShow", "inputs": {"clay": [1, 0]}}}
    assert formats.read(document, registry).calls["2"].inputs == {"clay": Wire("1", 0)}


def test_lists_are_wrapped_and_unwrapped(registry):
    inputs = {"numbers": ["1", 0], "wire": Wire("1", 0), "odd": {"__value__": 1}}
    document = formats.to_api(Graph([NodeCall("1", "GlidewireEither", inputs)]))
    assert document["1"]["inputs"] == {
        "numbers": {"__value__": ["1", 0]},
        "wire": ["1", 0],
        "odd": {"__value__": {"__value__": 1}},
    }
    assert formats.read(json.dumps(document), registry).calls["1"].inputs == inputs


def test_titles_stand_in_meta_and_the_types_own_is_none(registry):
    document = {
        "1": {"class_type": "GlidewireDig", "_meta": {"title": "mine"}},
        "2": {"class_type": "GlidewireDig", "_meta": {"title": "Dig for clay"}},
    }
    graph = formats.read(document, registry)
    assert [call.title for call in graph.calls.values()] == ["mine", ""]
    assert formats.to_api(graph)["1"]["_meta"] == {"title": "mine"}


def test_unknown_types_and_missing_nodes_are_left_to_the_check(registry):
    graph = formats.read({"1": {"class_type": "Elsewhere", "inputs": {"a": ["9", 0]}}}, registry)
    assert graph.calls["1"] == NodeCall("1", "Elsewhere", {"a": Wire("9", 0)})


def test_every_malformed_entry_is_named_in_one_pass(registry):
    document = {
        "0": 5,
        "1": {"class_type": ["GlidewireDig"]},
        "2": {"class_type": "GlidewireDig", "inputs": [1], "_meta": {"title": "mine"}},
        "3": {"class_type": "GlidewireShow", "inputs": {"clay": ["1", "0"], "glaze": [True, 0], "x": [1, -1]}},
        "4": {"class_type": "GlidewireShow", "inputs": {"clay": ["77", 0]}},
    }
    expected = "is no wire; expected [node id, output number from 0]"
    hint = 'A list of two that is a value is written {"__value__": [...]}.'
    assert lines(document, registry) == [
        'node 0: is no node; expected {"class_type": ..., "inputs": {...}}; got a number (5)',
        "node 1: does not say which node it is; expected class_type: text; got a list",
        "node 2 (mine): has inputs that are no object; expected {name: value}; got a list",
        f"node 3 (GlidewireShow), input clay: {expected}; got ['1', '0']. {hint}",
        f"node 3 (GlidewireShow), input glaze: {expected}; got [True, 0]. {hint}",
        f"node 3 (GlidewireShow), input x: {expected}; got [1, -1]. {hint}",
        "node 4 (GlidewireShow), input clay: is wired to node 77, which is not in the workflow",
    ]


def test_repeated_keys_of_the_file_are_noticed(registry):
    text = (
        '{"1": {"class_type": "GlidewireDig"}, "1": {"class_type": "GlidewireDig", "inputs": {"depth": 1, "depth": 2}}}'
    )
    assert lines(text, registry) == [
        "node 1: two nodes are called 1",
        "node 1 (GlidewireDig), input depth: depth stands there twice",
    ]
