"""The saved workflow is read as the official editor reads it: golden cases, and what they do not cover."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from glidewire.graph_runtime import formats
from glidewire.graph_runtime.formats import flatten, saved
from glidewire.graph_runtime.graph import Wire
from glidewire.graph_runtime.problems import GraphProblems

CHECKOUT = Path(__file__).resolve().parents[3]


def _folders() -> list[Path]:
    """The golden workflows, where they are at hand, and the few that are kept with the tests."""
    named = os.environ.get("GLIDEWIRE_PARITY")
    golden = Path(named) if named else CHECKOUT.parent / "shared" / "parity"
    return [golden / "workflows", CHECKOUT / "tests" / "data" / "workflows"]


CASES = [path for folder in _folders() for path in sorted(folder.glob("*.json")) if path.name != "object_info.json"]


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_golden_case_is_identical(path):
    """Identical to graphToPrompt, but for titles that the host translates: object_info carries no translations."""
    case = json.loads(path.read_text())
    object_info = json.loads((path.parent / "object_info.json").read_text())
    before = copy.deepcopy(case["saved"])
    made, expected = saved.to_api(case["saved"], object_info), case["api"]
    assert case["saved"] == before
    assert {id_: (node["class_type"], node["inputs"]) for id_, node in made.items()} == {
        id_: (node["class_type"], node["inputs"]) for id_, node in expected.items()
    }
    own = {info["display_name"] for info in object_info.values()}
    for id_, node in made.items():
        title = node["_meta"]["title"]
        assert expected[id_]["_meta"]["title"] == title or title in own


def node(
    id_: int | str, type_: str, values: Any = None, inputs: Any = (), outputs: Any = (), **more: Any
) -> dict[str, Any]:
    """A node of a saved workflow; inputs are (name, type, link), outputs are types."""
    return {
        "id": id_,
        "type": type_,
        "widgets_values": values,
        "inputs": [{"name": name, "type": kind, "link": link} for name, kind, link in inputs],
        "outputs": [{"name": kind, "type": kind, "links": []} for kind in outputs],
        **more,
    }


def document(*nodes: Any, links: Any = (), **more: Any) -> dict[str, Any]:
    return {"nodes": list(nodes), "links": list(links), "version": 0.4, **more}


DIG = node(1, "GlidewireDig", ["clay", 0.5, "wet", False], outputs=["FORMATS_CLAY"])
CLAY, GLAZE = "FORMATS_CLAY", "FORMATS_GLAZE"


def turn(id_: int, link: int | None, values: Any = (7, "randomize", 20, "n"), **more: Any) -> dict[str, Any]:
    return node(id_, "GlidewireTurn", list(values), [("clay", CLAY, link)], [CLAY, GLAZE], **more)


def show(id_: int, link: int | None, kind: str = CLAY) -> dict[str, Any]:
    return node(id_, "GlidewireShow", [], [("clay" if kind == CLAY else "glaze", kind, link)])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([7, "randomize", 20, "n"], None),
        ({"seed": 7, "steps": 20, "note": "n"}, None),
        (None, {"seed": 7, "steps": 20, "note": "n"}),
        ([1, "fixed", 2, "x"], {"seed": 7, "steps": 20, "note": "n"}),
    ],
)
def test_widget_values_in_every_form(values, named, registry):
    made = node(1, "GlidewireTurn", values, [("clay", CLAY, None)])
    if named:
        made["widgets_values_named"] = named
    assert formats.read(document(made), registry).calls["1"].inputs == {"seed": 7, "steps": 20, "note": "n"}


def test_files_from_before_1_16_hold_a_dummy_for_inputs_that_are_always_sockets():
    required = {"count": ["INT", {"forceInput": True}], "seed": ["INT", {}], "steps": ["INT", {}]}
    info = {"Old": {"input": {"required": required}, "output": []}}
    for values in ([5, "fixed", 9], [0, 5, "fixed", 9]):
        made = saved.to_api(document(node(1, "Old", values)), info)
        assert made["1"]["inputs"] == {"seed": 5, "steps": 9}


def test_stock_widgets_without_a_default_hold_what_the_editor_would_put_there():
    kinds = {
        "i": ["INT"],
        "s": ["STRING", {"multiline": True}],
        "b": ["BOOLEAN"],
        "c": [["x", "y"]],
        "v3": ["COMBO", {"options": ["z"]}],
    }
    info = {"Stock": {"input": {"required": kinds}, "output": []}}
    made = saved.to_api(document(node(1, "Stock")), info)
    assert made["1"]["inputs"] == {"i": 0, "s": "", "b": False, "c": "x", "v3": "z"}


def test_a_combo_with_control_keeps_two_slots_of_the_editor():
    kinds = {"c": [["x", "y"], {"control_after_generate": True}], "i": ["INT"]}
    info = {"Stock": {"input": {"required": kinds}, "output": []}}
    assert saved.to_api(document(node(1, "Stock", ["y", "randomize", "", 4])), info)["1"]["inputs"] == {
        "c": "y",
        "i": 4,
    }


def test_missing_and_null_values_are_defaults_or_left_out(registry):
    inputs = formats.read(document(node(1, "GlidewireTurn", [None])), registry).calls["1"].inputs
    assert inputs == {"seed": 0, "steps": 8}
    assert formats.read(document(node(1, "GlidewireLoad")), registry).calls["1"].inputs == {"weights": "w"}


def test_upload_slot_stands_after_the_required_section(registry):
    inputs = formats.read(document(node(1, "GlidewireLoad", ["f.png", 3, "w2", "image"])), registry).calls["1"].inputs
    assert inputs == {"file": "f.png", "size": 3, "weights": "w2"}


def test_converted_widget_takes_its_wire_and_keeps_the_others_in_place(registry):
    number = node(2, "GlidewireChoose", ["red", ""], outputs=["INT"])
    wired = turn(3, None)
    wired["inputs"].append({"name": "steps", "type": "INT", "widget": {"name": "steps"}, "link": 1})
    graph = formats.read(document(number, wired, links=[[1, 2, 0, 3, 0, "INT"]]), registry)
    assert graph.calls["3"].inputs == {"seed": 7, "steps": Wire("2", 0), "note": "n"}


def test_reroutes_primitives_and_notes_vanish(registry):
    reroute = node(4, "Reroute", None, [("", "*", 1)], ["*"])
    primitive = node(5, "PrimitiveNode", [33, "fixed"], outputs=["INT"])
    wired = turn(3, 2)
    wired["inputs"].append({"name": "steps", "type": "INT", "widget": {"name": "steps"}, "link": 3})
    links = [[1, 1, 0, 4, 0, "*"], [2, 4, 0, 3, 0, "*"], [3, 5, 0, 3, 1, "INT"]]
    graph = formats.read(
        document(DIG, reroute, primitive, node(9, "MarkdownNote", ["hi"]), wired, links=links), registry
    )
    assert list(graph.calls) == ["1", "3"]
    assert graph.calls["3"].inputs == {"clay": Wire("1", 0), "seed": 7, "steps": 33, "note": "n"}


def test_links_as_objects_and_holes_are_read(registry):
    link = {"id": 1, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 0, "type": CLAY}
    graph = formats.read(document(DIG, turn(2, 1), links=[None, link]), registry)
    assert graph.calls["2"].inputs["clay"] == Wire("1", 0)


def test_bypass_passes_the_same_slot_then_the_same_type(registry):
    links = [[1, 1, 0, 2, 0, CLAY], [2, 2, 0, 3, 0, CLAY], [3, 2, 1, 4, 0, GLAZE]]
    graph = formats.read(document(DIG, turn(2, 1, mode=4), show(3, 2), show(4, 3, GLAZE), links=links), registry)
    assert list(graph.calls) == ["1", "3", "4"]
    assert graph.calls["3"].inputs == {"clay": Wire("1", 0)}
    assert graph.calls["4"].inputs == {}  # nothing of that type comes in


@pytest.mark.parametrize(
    ("slot", "kind", "passed"),
    [
        (0, "X", ["8", 0]),  # the same number
        (1, "X", ["9", 0]),  # the same number, although the first input would fit as well
        (2, "Y", ["7", 0]),  # the number is that of a widget, which comes last in the editor: the first of that type
        (3, "Z", None),  # nothing fits
        (4, "*", ["8", 0]),  # any of two types: the first that fits
    ],
)
def test_bypass_follows_the_editors_order_of_inputs(slot, kind, passed):
    mix = {"steps": ["INT"], "a": ["X"], "b": ["X"], "c": ["Y"]}
    info = {
        "Mix": {"input": {"required": mix}, "output": ["X", "X", "Y", "Z", "W,X"]},
        "Source": {"input": {"required": {}}, "output": ["*"]},
        "Sink": {"input": {"required": {"it": [kind]}}, "output": []},
    }
    inputs = [("a", "X", 1), ("b", "X", 2), ("c", "Y", 3)]
    bypassed = node(1, "Mix", [5], inputs, info["Mix"]["output"], mode=4)
    links = [[1, 8, 0, 1, 0, "X"], [2, 9, 0, 1, 1, "X"], [3, 7, 0, 1, 2, "Y"], [4, 1, slot, 2, 0, kind]]
    sources = [node(id_, "Source", outputs=["*"]) for id_ in (7, 8, 9)]
    made = saved.to_api(document(*sources, bypassed, node(2, "Sink", [], [("it", kind, 4)]), links=links), info)
    assert made["2"]["inputs"] == ({} if passed is None else {"it": passed})


def test_native_reroutes_on_links_change_nothing(registry):
    extra = {"linkExtensions": [{"id": 1, "parentId": 3}], "reroutes": [{"id": 3, "pos": [0, 0], "linkIds": [1]}]}
    graph = formats.read(document(DIG, turn(2, 1), links=[[1, 1, 0, 2, 0, CLAY]], extra=extra), registry)
    assert graph.calls["2"].inputs["clay"] == Wire("1", 0)


def test_a_muted_node_takes_its_wires_with_it(registry):
    links = [[1, 1, 0, 2, 0, CLAY], [2, 2, 0, 3, 0, CLAY]]
    graph = formats.read(document(DIG, turn(2, 1, mode=2), show(3, 2), links=links), registry)
    assert list(graph.calls) == ["1", "3"]
    assert graph.calls["3"].inputs == {}


def test_a_widget_behind_a_muted_wire_is_not_silently_its_default(registry):
    number = node(2, "GlidewireChoose", ["red", ""], outputs=["INT"], mode=2)
    wired = turn(3, None)
    wired["inputs"].append({"name": "steps", "type": "INT", "widget": {"name": "steps"}, "link": 1})
    with pytest.raises(GraphProblems) as raised:
        formats.read(document(number, wired, links=[[1, 2, 0, 3, 0, "INT"]]), registry)
    assert str(raised.value.problems[0]) == (
        "node 3 (GlidewireTurn), input steps: its wire comes from a muted node; expected a value, or a wire from a "
        "node that runs; got nothing. Unmute that node, or remove the wire so that the widget's own value counts."
    )


def subgraph(id_: str, nodes: Any, links: Any, inputs: Any = (), outputs: Any = ()) -> dict[str, Any]:
    return {
        "id": id_,
        "name": id_,
        "nodes": list(nodes),
        "links": [
            dict(zip(("id", "origin_id", "origin_slot", "target_id", "target_slot"), link, strict=False))
            for link in links
        ],
        "inputs": [{"name": name, "type": kind} for name, kind in inputs],
        "outputs": [{"name": name, "type": kind} for name, kind in outputs],
    }


@pytest.fixture
def potter() -> dict[str, Any]:
    """A subgraph: clay and two promoted widgets go in (the widgets share a name), clay comes out."""
    inner = turn(2, 1)
    for name, link in (("seed", 2), ("steps", 3)):
        inner["inputs"].append({"name": name, "type": "INT", "widget": {"name": name}, "link": link})
    links = [(1, -10, 0, 2, 0), (2, -10, 1, 2, 1), (3, -10, 2, 2, 2), (4, 2, 0, -20, 0)]
    return subgraph("potter", [inner], links, [("clay", CLAY), ("n", "INT"), ("n", "INT")], [("clay", CLAY)])


def test_two_instances_with_promoted_values_and_outer_links(potter, registry):
    first = node(5, "potter", [100, 50], [("clay", CLAY, 1)], [CLAY])
    second = node(6, "potter", [200, 60], [("clay", CLAY, 2)], [CLAY])
    second["inputs"] += [
        {"name": "n", "type": "INT", "link": 9, "widget": {"name": "n"}},
        {"name": "n", "type": "INT", "link": None, "widget": {"name": "n"}},
    ]
    links = [[1, 1, 0, 5, 0, CLAY], [2, 5, 0, 6, 0, CLAY], [3, 6, 0, 7, 0, CLAY], [9, 8, 0, 6, 1, "INT"]]
    number = node(8, "GlidewireChoose", ["red", ""], outputs=["INT"])
    graph = formats.read(
        document(DIG, first, second, show(7, 3), number, links=links, definitions={"subgraphs": [potter]}), registry
    )
    assert graph.calls["5:2"].inputs == {"clay": Wire("1", 0), "seed": 100, "steps": 50, "note": "n"}
    assert graph.calls["6:2"].inputs == {"clay": Wire("5:2", 0), "seed": Wire("8", 0), "steps": 60, "note": "n"}
    assert graph.calls["7"].inputs == {"clay": Wire("6:2", 0)}


def test_promoted_values_behind_proxy_widgets(potter, registry):
    potter["inputs"][1]["name"] = "seed"
    instance = node(5, "potter", ["other", 100], [("clay", CLAY, None)], [CLAY])
    instance["properties"] = {"proxyWidgets": [["2", "note"], ["-1", "seed"]]}
    graph = formats.read(document(instance, definitions={"subgraphs": [potter]}), registry)
    assert graph.calls["5:2"].inputs == {"seed": 100, "steps": 20, "note": "n"}


def test_a_subgraph_of_subgraphs_passes_links_straight_through(potter, registry):
    inner = node(3, "potter", [1, 2], [("clay", CLAY, 1)], [CLAY])
    outer = subgraph(
        "outer",
        [inner],
        [(1, -10, 0, 3, 0), (2, 3, 0, -20, 0), (3, -10, 0, -20, 1)],
        [("c", CLAY)],
        [("a", CLAY), ("b", CLAY)],
    )
    links = [[1, 1, 0, 5, 0, CLAY], [2, 5, 0, 6, 0, CLAY], [3, 5, 1, 7, 0, CLAY]]
    instance = node(5, "outer", [], [("c", CLAY, 1)], [CLAY, CLAY])
    graph = formats.read(
        document(DIG, instance, show(6, 2), show(7, 3), links=links, definitions={"subgraphs": [outer, potter]}),
        registry,
    )
    assert graph.calls["5:3:2"].inputs["clay"] == Wire("1", 0)
    assert graph.calls["6"].inputs == {"clay": Wire("5:3:2", 0)}
    assert graph.calls["7"].inputs == {"clay": Wire("1", 0)}


def test_values_inside_a_subgraph_are_brought_up_to_date(potter, registry):
    instance = node(5, "potter", [100, 50], [("clay", CLAY, 1)], [CLAY])
    links = [[1, 1, 0, 5, 0, CLAY]]
    graph = formats.read(document(DIG, instance, links=links, definitions={"subgraphs": [potter]}), registry)
    made = formats.to_saved(graph.with_inputs("5:2", seed=101, note="m"), registry)
    assert made["nodes"][1]["widgets_values"] == [101, 50]
    assert made["definitions"]["subgraphs"][0]["nodes"][0]["widgets_values"] == [7, "randomize", 20, "m"]


def test_instances_that_no_definition_can_hold_are_written_flat(potter, registry, meaning):
    both = [node(id_, "potter", [100, 50], [("clay", CLAY, None)], [CLAY]) for id_ in (5, 6)]
    graph = formats.read(document(*both, definitions={"subgraphs": [potter]}), registry)
    changed = graph.with_inputs("5:2", note="only here")
    made = formats.to_saved(changed, registry)
    assert "definitions" not in made
    assert meaning(formats.read(made, registry)) == meaning(changed)


# --- what is wrong is said, all of it at once ---


def test_every_problem_of_a_document_is_reported_together(potter, registry):
    potter["nodes"].append(node(9, "potter"))
    loop = [node(20, "Reroute", None, [("", "*", 21)], ["*"]), node(21, "Reroute", None, [("", "*", 20)], ["*"])]
    broken = document(
        DIG,
        DIG,
        node(5, "potter"),
        node(6, "GlidewireTrun", [1, 2], title="mine"),
        show(7, 21),
        *loop,
        {"type": "no id"},
        links=[[20, 20, 0, 21, 0, "*"], [21, 21, 0, 20, 0, "*"], "no link"],
        definitions={"subgraphs": [potter]},
    )
    with pytest.raises(GraphProblems) as raised:
        formats.read(broken, registry)
    lines = [str(problem) for problem in raised.value.problems]
    assert lines == [
        "node 1 (GlidewireDig): two nodes have the id 1",
        "workflow: a node cannot be read; expected {\"id\": ..., \"type\": ...}; got {'type': 'no id'}",
        "workflow: a link cannot be read; expected [id, origin node, origin slot, target node, target slot, type]; "
        "got 'no link'",
        "node 5:9 (potter): the subgraph contains itself",
        "node 6 (mine): no node is called GlidewireTrun; expected a node that is installed here; got GlidewireTrun. "
        "Did you mean GlidewireTurn or GlidewireDig or GlidewireEither? Its widget values stand there without names "
        "and cannot be told apart.",
        "node 7 (GlidewireShow), input clay: its wire runs in a circle",
    ]


def test_a_group_node_of_an_older_editor_says_what_to_do(registry):
    with pytest.raises(GraphProblems, match="convert it to a subgraph there, and save again"):
        formats.read(document(node(1, "workflow>mine")), registry)


def test_an_unknown_node_keeps_its_wires_and_named_values_for_the_check(registry):
    unknown = node(2, "Elsewhere", {"strength": 2}, [("clay", CLAY, 1)])
    reading = formats.examine(document(DIG, unknown, links=[[1, 1, 0, 2, 0, CLAY]]), registry)
    assert reading.graph.calls["2"].inputs == {"strength": 2, "clay": Wire("1", 0)}
    assert [problem.kind for problem in reading.problems] == ["unknown_node"]


def test_a_subgraph_that_doubles_itself_forever_is_stopped(monkeypatch, registry):
    monkeypatch.setattr(flatten, "MAX_NODES", 1000)
    levels = [
        subgraph(f"s{depth}", [node(i, f"s{depth + 1}" if depth < 40 else "GlidewireShow") for i in (1, 2)], [])
        for depth in range(41)
    ]
    with pytest.raises(GraphProblems, match="the subgraphs expand to more than 1000 nodes"):
        formats.read(document(node(1, "s0"), definitions={"subgraphs": levels}), registry)
