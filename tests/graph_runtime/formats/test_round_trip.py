"""Any graph, written in any form and read again, says the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from glidewire.graph_runtime import formats
from glidewire.graph_runtime.formats import saved
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.host_schema import Catalogue
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_saved_form_keeps_every_graph(data, any_graph, registry, meaning):
    graph = data.draw(any_graph)
    document = json.loads(json.dumps(formats.to_saved(graph, registry)))
    assert meaning(formats.read(document, registry)) == meaning(graph)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_api_form_keeps_every_graph(data, any_graph, registry, meaning):
    graph = data.draw(any_graph)
    assume(graph.calls)
    text = json.dumps(formats.to_api(graph))
    assert meaning(formats.read(text, registry)) == meaning(graph)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_saved_to_api_to_graph(data, any_graph, registry, meaning):
    graph = data.draw(any_graph)
    assume(graph.calls)
    api = saved.to_api(formats.to_saved(graph, registry), Catalogue(registry))
    assert meaning(formats.read(json.dumps(api), registry)) == meaning(graph)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_document_is_kept_and_brought_up_to_date(data, any_graph, registry, meaning):
    document = formats.to_saved(data.draw(any_graph), registry)
    document["groups"] = [{"title": "mine", "bounding": [0, 0, 10, 10]}]
    document["nodes"].append({"id": 5000, "type": "Note", "pos": [1, 2], "widgets_values": ["a note"]})
    graph = formats.read(document, registry)
    digs = [
        call
        for call in graph.calls.values()
        if call.type == "GlidewireDig" and not isinstance(call.inputs["depth"], Wire)
    ]
    if digs:
        graph = graph.with_inputs(digs[0].id, depth=0.25)
    again = formats.to_saved(graph, registry)
    assert again["groups"] == document["groups"]
    assert again["nodes"][-1]["widgets_values"] == ["a note"]
    assert meaning(formats.read(again, registry)) == meaning(graph)
    assert [node["pos"] for node in again["nodes"]] == [node["pos"] for node in document["nodes"]]


def test_updating_leaves_the_graphs_own_document_alone(registry):
    graph = formats.read(formats.to_saved(Graph([NodeCall("1", "GlidewireDig")]), registry), registry)
    before = json.dumps(graph.document)
    formats.to_saved(graph.with_inputs("1", depth=0.75), registry)
    assert json.dumps(graph.document) == before


def test_another_structure_is_laid_out_afresh(registry):
    graph = formats.read(formats.to_saved(Graph([NodeCall("1", "GlidewireDig")]), registry), registry)
    grown = Graph([*graph.calls.values(), NodeCall("2", "GlidewireShow", {"clay": Wire("1", 0)})], graph.document)
    document = formats.to_saved(grown, registry)
    assert [node["id"] for node in document["nodes"]] == [1, 2]
    assert document["links"] == [[1, 1, 0, 2, 1, "FORMATS_CLAY"]]


@pytest.mark.parametrize("suffix", [".png", ".webp"])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_pictures_carry_every_graph(tmp_path_factory, suffix, data, any_graph, registry, meaning):
    graph = data.draw(any_graph)
    path = tmp_path_factory.mktemp("pictures") / f"one{suffix}"
    texts = {
        "workflow": json.dumps(formats.to_saved(graph, registry), ensure_ascii=False),
        "prompt": json.dumps(formats.to_api(graph)),
    }
    formats.embed(Image.new("RGB", (4, 4)), path, texts)
    assert meaning(formats.read(path, registry)) == meaning(graph)
    if graph.calls:
        assert meaning(formats.read(path.read_bytes(), registry, which="prompt")) == meaning(graph)


def test_a_former_id_is_written_as_the_present_one(registry):
    document = formats.to_saved(Graph([NodeCall("1", "FormerlyTurn", {"seed": 3})]), registry)
    assert document["nodes"][0]["type"] == "GlidewireTurn"
    assert document["nodes"][0]["widgets_values"] == [3, "fixed", 8, None]


def test_a_long_chain_goes_through_every_form(registry, tmp_path: Path):
    calls = [NodeCall("0", "GlidewireDig")]
    calls += [NodeCall(str(i), "GlidewireTurn", {"clay": Wire(str(i - 1), 0), "seed": i}) for i in range(1, 2000)]
    document = formats.to_saved(Graph(calls), registry)
    formats.write(tmp_path / "long.json", document)
    graph = formats.read(tmp_path / "long.json", registry)
    assert graph.calls["1999"].inputs["clay"] == Wire("1998", 0)
    assert len(formats.read(formats.to_api(graph), registry).calls) == 2000
