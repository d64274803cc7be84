"""The automatic layout: no two nodes overlap, wires run to the right, and few of them cross."""

from __future__ import annotations

from itertools import combinations

from glidewire.graph_runtime import formats
from glidewire.graph_runtime.formats.layout import TITLE_HEIGHT, Box, Edge, place
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = [str(number) for number in range(12)]
BOXES = st.dictionaries(st.sampled_from(NAMES), st.builds(Box, st.floats(1, 500), st.floats(1, 900)))
EDGES = st.lists(
    st.builds(Edge, st.sampled_from(NAMES), st.sampled_from(NAMES), st.floats(0, 99), st.floats(0, 99)), max_size=30
)


@given(BOXES, EDGES, st.sampled_from([float("inf"), 1.0, 700.0, 1500.0]))
@settings(max_examples=150, deadline=None)
def test_nothing_overlaps(boxes, edges, most_width):
    places = place(boxes, edges, most_width)
    assert list(places) == list(boxes)
    for one, other in combinations(boxes, 2):
        (x, y), (u, v) = places[one], places[other]
        apart = (
            x + boxes[one].width <= u or u + boxes[other].width <= x,
            y + boxes[one].height <= v - TITLE_HEIGHT or v + boxes[other].height <= y - TITLE_HEIGHT,
        )
        assert any(apart)


@given(BOXES, EDGES)
@settings(max_examples=60, deadline=None)
def test_wires_of_a_graph_without_circles_run_to_the_right(boxes, edges):
    forward = [edge for edge in edges if int(edge.origin) < int(edge.target)]
    places = place(boxes, forward)
    for edge in forward:
        if edge.origin in boxes and edge.target in boxes:
            assert places[edge.origin][0] + boxes[edge.origin].width < places[edge.target][0]


def test_the_same_graph_is_laid_out_the_same():
    boxes = {name: Box(100, 50) for name in NAMES}
    edges = [Edge(NAMES[i], NAMES[(i * 5) % 12]) for i in range(12)]
    assert place(boxes, edges) == place(boxes, list(reversed(edges)))


def test_crossings_are_untangled():
    left, right = NAMES[:4], NAMES[4:8]
    edges = [Edge(one, other) for one, other in zip(left, reversed(right), strict=True)]
    places = place({name: Box(100, 50) for name in left + right}, edges)
    heights = [(places[edge.origin][1], places[edge.target][1]) for edge in edges]
    assert all((a < c) == (b < d) for (a, b), (c, d) in combinations(heights, 2))


def test_a_chain_runs_level():
    edges = [Edge(NAMES[i], NAMES[i + 1], 10, 10) for i in range(11)]
    places = place({name: Box(100, 50) for name in NAMES}, edges)
    assert len({y for _, y in places.values()}) == 1


def test_columns_that_would_stand_too_far_right_begin_a_row_below():
    edges = [Edge(NAMES[i], NAMES[i + 1]) for i in range(4)]
    places = place({name: Box(100, 50) for name in NAMES[:5]}, edges, most_width=300)
    assert [x for x, _ in places.values()] == [0, 170, 0, 170, 0]
    first, second, third = (places[name][1] for name in ("0", "2", "4"))
    assert places["1"][1] == first and second - first == third - second > 50 + TITLE_HEIGHT


@given(BOXES, EDGES)
@settings(max_examples=60, deadline=None)
def test_only_a_single_column_may_be_wider_than_asked(boxes, edges):
    places = place(boxes, edges, most_width=800)
    for name, (x, _) in places.items():
        assert x + boxes[name].width <= 800.5


def test_a_loader_stands_before_what_it_feeds():
    edges = [Edge("0", "1"), Edge("1", "2"), Edge("2", "3"), Edge("4", "3")]
    places = place({name: Box(100, 50) for name in NAMES[:5]}, edges)
    assert places["4"][0] == places["2"][0]


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_saved_workflows_have_the_schemas_shape(data, any_graph, registry):
    document = formats.to_saved(data.draw(any_graph), registry)
    assert document["version"] == 0.4
    ids = [node["id"] for node in document["nodes"]]
    assert len(set(ids)) == len(ids)
    assert document["last_node_id"] >= max([id_ for id_ in ids if isinstance(id_, int)], default=0)
    assert sorted(node["order"] for node in document["nodes"]) == list(range(len(ids)))
    by_id = {node["id"]: node for node in document["nodes"]}
    assert document["last_link_id"] == len(document["links"])
    for link, origin, slot, target, target_slot, kind in document["links"]:
        assert by_id[target]["inputs"][target_slot]["link"] == link
        assert link in by_id[origin]["outputs"][slot]["links"]
        assert isinstance(kind, str)
