"""Whatever is handed in, a graph or one of our own errors comes out; what is written appears whole or not at all."""

from __future__ import annotations

import contextlib
import copy
import json
import os

import pytest
from glidewire.errors import GlidewireError
from glidewire.graph_runtime import formats
from glidewire.graph_runtime.formats import json_text
from glidewire.graph_runtime.formats.picture import embed
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

ONE = '{"1": {"class_type": "GlidewireDig", "inputs": {"depth": %s}}}'

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=6), children, max_size=4),
    max_leaves=12,
)
KEYS = ["nodes", "links", "id", "type", "inputs", "outputs", "link", "widgets_values", "class_type", "definitions"]
WORKFLOWISH = st.recursive(
    st.none() | st.integers(-20, 3) | st.sampled_from(["GlidewireDig", "Reroute", "PrimitiveNode", "-10", "x", "1"]),
    lambda children: st.lists(children, max_size=5) | st.dictionaries(st.sampled_from(KEYS), children, max_size=6),
    max_leaves=30,
)


def survives(source, registry) -> None:
    """Read, and write again what could be read: nothing but our own errors."""
    with contextlib.suppress(GlidewireError):
        reading = formats.examine(source, registry)
        formats.to_saved(reading.graph, registry)
        formats.to_api(reading.graph)
    with contextlib.suppress(GlidewireError):
        formats.read(source, registry, which="prompt")


@given(document=JSON | WORKFLOWISH)
@settings(max_examples=120, deadline=None)
def test_garbage_json_raises_only_our_errors(document, registry):
    survives(json.dumps(document).encode(), registry)


@given(
    data=st.binary(max_size=200),
    head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBP", b"{", b"\xff\xd8\xff"]),
)
@settings(max_examples=120, deadline=None)
def test_garbage_bytes_raise_only_our_errors(data, head, registry):
    survives(head + data, registry)


@given(text=st.text(max_size=50))
@settings(max_examples=100, deadline=None)
def test_garbage_text_raises_only_our_errors(text, registry):
    survives(text, registry)


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_damaged_documents_raise_only_our_errors(data, any_graph, registry):
    graph = data.draw(any_graph)
    document = data.draw(st.sampled_from([formats.to_saved(graph, registry), formats.to_api(graph), _nested()]))
    document = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = _anywhere(document, data)
        if holder is not None and data.draw(st.booleans()):
            holder[key] = data.draw(JSON | WORKFLOWISH)
        elif holder is not None:
            del holder[key]
    survives(json.dumps(document), registry)


def _anywhere(document, data):
    """A random place inside a document."""
    holder, key, current = None, None, document
    while isinstance(current, dict | list) and current and data.draw(st.integers(0, 7)):
        holder = current
        key = data.draw(st.sampled_from(list(current) if isinstance(current, dict) else range(len(current))))
        current = holder[key]
    return holder, key


def _nested():
    inner = {"id": 1, "type": "GlidewireTurn", "widgets_values": [1, "fixed", 2, None]}
    inner["inputs"] = [{"name": "seed", "type": "INT", "widget": {"name": "seed"}, "link": 1}]
    definition = {
        "id": "s",
        "name": "s",
        "nodes": [inner],
        "inputs": [{"name": "seed", "type": "INT"}],
        "outputs": [{}],
    }
    definition["links"] = [[1, -10, 0, 1, 0, "INT"], [2, 1, 0, -20, 0, "*"]]
    instance = {"id": 4, "type": "s", "widgets_values": [9], "properties": {"proxyWidgets": [["-1", "seed"]]}}
    reroute = {"id": 5, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 3}], "mode": 4}
    show = {"id": 6, "type": "GlidewireShow", "inputs": [{"name": "clay", "type": "*", "link": 4}]}
    links = [[3, 4, 0, 5, 0, "*"], [4, 5, 0, 6, 0, "*"]]
    return {"nodes": [instance, reroute, show], "links": links, "definitions": {"subgraphs": [definition]}}


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_damaged_pictures_raise_only_our_errors(data, pictures, registry):
    picture = bytearray(data.draw(st.sampled_from(pictures)))
    for _ in range(data.draw(st.integers(1, 4))):
        picture[data.draw(st.integers(0, len(picture) - 1))] = data.draw(st.integers(0, 255))
    survives(bytes(picture[: data.draw(st.integers(1, len(picture)))]), registry)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("a.png", "b.webp"):
        embed(Image.new("RGB", (3, 3)), folder / name, {"workflow": '{"nodes": []}', "prompt": ONE % 1})
    return [path.read_bytes() for path in folder.iterdir()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the workflow is empty; expected a workflow in JSON; got nothing"),
        (" \n", "the workflow is empty"),
        ("{", "the workflow is not JSON; expected a workflow in JSON, a PNG or a WebP; got Expecting property name"),
        ("[1, 2]", "the workflow is no workflow; expected a saved workflow"),
        ("[" * 100_000, "the workflow is nested too deeply; expected at most 100 levels"),
        ('{"nodes": ' + "[" * 200 + "]" * 200 + "}", "the workflow is nested too deeply; expected at most 100 levels"),
        (ONE % ("1" * 5000), "the workflow holds a number that is too long; got Exceeds the limit"),
        (ONE % '"\\ud800"', "the workflow holds half of a character (an unpaired surrogate); got '\\ud800'"),
        ('{"hello": 1}', "got an object with the keys hello"),
    ],
)
def test_texts_that_are_no_workflow(text, message, registry):
    with pytest.raises(GlidewireError) as raised:
        formats.read(text, registry)
    assert message in str(raised.value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_become_null(number, registry):
    assert formats.read(ONE % number, registry).calls["1"].inputs == {"depth": None}


def test_files_that_are_no_workflow(tmp_path, registry):
    def error(path) -> str:
        with pytest.raises(GlidewireError) as raised:
            formats.read(path, registry)
        return str(raised.value).replace(str(tmp_path), "")

    (tmp_path / "binary").write_bytes(b"\xfe\xff\x00\x01")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    os.mkfifo(tmp_path / "pipe")
    assert (
        error(tmp_path / "none.json")
        == "/none.json cannot be read; expected a workflow file: JSON, PNG or WebP; got no such file"
    )
    assert error(tmp_path) == " cannot be read; expected a workflow file: JSON, PNG or WebP; got a folder"
    assert error(tmp_path / "pipe").endswith("got something that is no file")
    assert error(tmp_path / "binary").startswith(
        "/binary is neither text nor a picture; expected JSON in UTF-8, PNG or WebP"
    )
    assert error(tmp_path / "photo.jpg").startswith("/photo.jpg is a picture of a kind that carries no workflow")
    assert error("no\0such").startswith("no\0such cannot be read")
    assert "cannot be read" in error("x" * 5000)


def test_too_long_a_document_is_refused(monkeypatch, registry):
    monkeypatch.setattr(json_text, "MAX_BYTES", 10)
    with pytest.raises(GlidewireError, match="the workflow is too long; expected at most 10 bytes of JSON; got 61"):
        formats.read(ONE % 1, registry)


def test_a_byte_order_mark_is_no_obstacle(tmp_path, registry):
    (tmp_path / "one.json").write_text(ONE % 1, encoding="utf-8-sig")
    assert formats.read(tmp_path / "one.json", registry).calls.keys() == {"1"}
    assert formats.read("\ufeff" + ONE % 1, registry).calls.keys() == {"1"}
    assert formats.read(str(tmp_path / "one.json"), registry).calls.keys() == {"1"}


def test_a_key_twice_in_a_saved_workflow_is_said(registry):
    with pytest.raises(GlidewireError, match="workflow: mode stands twice in one object"):
        formats.read('{"nodes": [{"id": 1, "type": "GlidewireDig", "mode": 0, "mode": 2}]}', registry)


def test_a_mapping_with_values_that_no_file_carries_is_refused(registry):
    for value in (object(), float("nan"), {1, 2}):
        with pytest.raises(GlidewireError, match="the workflow holds a value that a file cannot carry"):
            formats.read({"1": {"class_type": "GlidewireDig", "inputs": {"depth": value}}}, registry)


def test_writing_is_all_or_nothing(tmp_path):
    path = tmp_path / "one.json"
    formats.write(path, {"a": "ü"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "ü"}
    with pytest.raises(GlidewireError, match="a value that a file cannot carry"):
        formats.write(path, {"a": float("inf")})
    with pytest.raises(GlidewireError, match=r"cannot be written; expected a file name in an existing folder"):
        formats.write(tmp_path / "none" / "two.json", {})
    (tmp_path / "folder").mkdir()
    with pytest.raises(GlidewireError, match="folder cannot be written"):
        formats.write(tmp_path / "folder", {})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "one.json"]
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "ü"}


def test_a_missing_wire_end_stays_for_the_check(registry):
    graph = Graph([NodeCall("2", "GlidewireShow", {"clay": Wire("9", 3)})])
    assert formats.read(formats.to_saved(graph, registry), registry).calls == graph.calls
