from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise

import pytest
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.dims import bindings, parse, shape_fits
from glidewire.graph_runtime.unify import MOST_AXES, Axes, Unifier
from hypothesis import given, settings
from hypothesis import strategies as st


def test_the_grammar_is_read():
    pattern = parse("batch 4 height/8 ...space width*2 c+1 d-1 _ @clip")
    assert [(axis.name, axis.scale, axis.offset) for axis in pattern.head] == [
        ("batch", 1, 0),
        (None, 1, 4),
        ("height", Fraction(1, 8), 0),
    ]
    assert [(axis.name, axis.scale, axis.offset) for axis in pattern.tail] == [
        ("width", 2, 0),
        ("c", 1, 1),
        ("d", 1, -1),
        ("_", 1, 0),
    ]
    assert (pattern.run, pattern.tags, pattern.is_free) == ("space", ("clip",), False)
    assert parse("...").is_free
    assert parse("") == parse(" ").__class__("", (), None, (), ())


@pytest.mark.parametrize(
    "word", ["2*n", "n*0", "n/0", "_*2", "n*", "@", "@3", "...3", "-1", "é", "n**2", "a,b", "n*2+1"]
)
def test_a_word_outside_the_grammar_is_named(word):
    text = f"batch {word}"
    with pytest.raises(GlidewireError) as raised:
        parse(text)
    assert str(raised.value) == (
        f"dims {text!r} cannot be read; expected a number, a name, name*2, name/8, name+1, name-1, _, ..., "
        f"...name or @name; got {word!r}"
    )


def test_two_runs_are_refused():
    with pytest.raises(GlidewireError) as raised:
        parse("... c ...space")
    assert str(raised.value) == "dims '... c ...space' have two runs of axes; expected at most one ... or ...name"


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_in_our_words(text):
    try:
        pattern = parse(text)
    except GlidewireError as error:
        assert "cannot be read" in str(error) or "two runs" in str(error)
    else:
        words = [axis.text for axis in (*pattern.head, *pattern.tail)]
        assert len(words) + len(pattern.tags) + (pattern.run is not None) == len(text.split())


@pytest.mark.parametrize(
    ("dims", "shape", "found"),
    [
        ("batch height width 3", (2, 8, 9, 3), {"batch": 2, "height": 8, "width": 9}),
        ("batch height width 3", (2, 8, 9, 4), None),
        ("batch height width 3", (2, 8, 3), None),
        ("b h/8 w/8", (1, 4, 5), {"b": 1, "h": 32, "w": 40}),
        ("h h/8", (32, 4), {"h": 32}),
        ("h h/8", (33, 4), None),
        ("h/8 h", (12, 100), None),
        ("n*2", (7,), None),
        ("n+1", (0,), None),
        ("n-1 n", (3, 4), {"n": 4}),
        ("n n", (3, 4), None),
        ("_ _", (3, 4), {}),
        ("b ...s c", (1, 2, 3, 4), {"b": 1, "...s": (2, 3), "c": 4}),
        ("b ...s c", (1, 4), {"b": 1, "...s": (), "c": 4}),
        ("b ...s c", (1,), None),
        ("... c", (1, 2, 3), {"c": 3}),
        ("...", (), {}),
        ("", (), {}),
        ("", (1,), None),
        ("c @clip", (5,), {"c": 5}),
    ],
)
def test_shapes_are_matched(dims, shape, found):
    assert bindings(dims, shape) == found
    assert shape_fits(dims, shape) is (found is not None)


def test_known_names_bind():
    assert bindings("b c", (2, 3), {"b": 2, "d": 9}) == {"b": 2, "c": 3, "d": 9}
    assert not shape_fits("b c", (2, 3), {"b": 4})
    assert not shape_fits("h/8", (12,), {"h": 100})


def axes_of(unifier: Unifier, text: str, scope: dict[str, int]) -> Axes:
    axes, clashes = unifier.instantiate(parse(text), scope)
    assert not clashes
    return axes


def test_relations_are_solved_backwards_through_several_nodes():
    unifier, first, second = Unifier(), {}, {}
    assert not unifier.match(axes_of(unifier, "h/8", first), axes_of(unifier, "x*2", second))
    assert not unifier.match(axes_of(unifier, "x+1", second), unifier.constants([5]))
    assert unifier.value(first["h"]) == 64


def test_two_relations_between_the_same_names_settle_both():
    unifier, one, other = Unifier(), {}, {}
    assert not unifier.match(axes_of(unifier, "n*2 n+3", one), axes_of(unifier, "m m", other))
    assert (unifier.value(one["n"]), unifier.value(other["m"])) == (3, 6)


def test_relations_that_nothing_solves_clash_and_change_nothing():
    unifier, one, other = Unifier(), {}, {}
    (clash,) = unifier.match(axes_of(unifier, "n n+1", one), axes_of(unifier, "m m", other))
    assert (clash.axis, clash.what, clash.left, clash.right) == (2, "m", "n+1", "m")
    assert not unifier.match(axes_of(unifier, "n", one), unifier.constants([4]))
    assert unifier.value(other["m"]) == 4


def test_a_value_that_makes_a_derived_axis_a_fraction_clashes():
    unifier, scope = Unifier(), {}
    axes = axes_of(unifier, "h h/8 h-8", scope)
    (clash,) = unifier.match(unifier.constants([100], "there"), Axes(axes.head[:1]))
    assert (clash.left, clash.because, clash.left_source) == ("100", "h/8 would be 12.5", "there")
    (clash,) = unifier.match(unifier.constants([0]), Axes(axes.head[:1]))
    assert clash.because == "h-8 would be -8"
    assert unifier.value(scope["h"]) is None


def test_what_is_derived_is_still_watched_after_its_name_is_joined_to_others():
    unifier, small, large = Unifier(), {}, {}
    axes_of(unifier, "h h/8", small)
    axes_of(unifier, "y y*2 y+1 y-1", large)
    assert unifier.equate(small["h"], large["y"]) is None
    clash = unifier.settle(large["y"], 100)
    assert clash is not None
    assert clash.because == "h/8 would be 12.5"
    assert unifier.settle(large["y"], 96) is None
    assert unifier.value(small["h/8"]) == 12


def test_an_axis_derived_from_a_known_number_clashes_at_once():
    unifier = Unifier()
    scope = {"height": unifier.variable("height", 100, "a literal")}
    _, (clash,) = unifier.instantiate(parse("4 height/8"), scope)
    assert (clash.what, clash.left, clash.because, clash.left_source) == (
        "height",
        "100",
        "height/8 would be 12.5",
        "a literal",
    )


def test_every_axis_that_clashes_is_reported_with_who_said_it():
    unifier = Unifier()
    left, right = unifier.constants([1, 2, 3, 4], "left"), unifier.constants([1, 5, 3, 6], "right")
    clashes = unifier.match(left, right)
    assert [(clash.axis, clash.left, clash.right) for clash in clashes] == [(2, "2", "5"), (4, "4", "6")]
    assert {(clash.left_source, clash.right_source) for clash in clashes} == {("left", "right")}


def test_a_run_flows_through_and_is_filled_from_either_end():
    unifier, one, other = Unifier(), {}, {}
    assert not unifier.match(axes_of(unifier, "b ...s", one), axes_of(unifier, "...t c", other))
    assert not unifier.match(axes_of(unifier, "...s", one), unifier.constants([7, 8, 9]))
    # b ...s = ...t c with ...s = 7 8 9: waits until the run is known, then c is its last axis.
    assert unifier.value(other["c"]) == 9
    assert unifier.show(Axes((), other["...t"])) == "b 7 8"


def test_a_run_longer_than_itself_is_refused():
    unifier, scope = Unifier(), {}
    (clash,) = unifier.match(axes_of(unifier, "1 ...s", scope), axes_of(unifier, "...s", scope))
    assert (clash.what, clash.left, clash.right) == ("number of axes", "at least 1", "at least 0")


def test_more_axes_than_a_tensor_may_have_are_refused():
    unifier = Unifier()
    many = unifier.constants([1] * (MOST_AXES + 1))
    assert [clash.what for clash in unifier.match(many, many)] == ["number of axes"]


def test_long_chains_of_names_and_runs_need_no_recursion():
    unifier = Unifier()
    scopes: list[dict[str, int]] = [{} for _ in range(5_000)]
    for before, after in pairwise(scopes):
        assert not unifier.match(axes_of(unifier, "b ...s c", before), axes_of(unifier, "b ...s c", after))
    assert not unifier.match(axes_of(unifier, "...", {}), axes_of(unifier, "b ...s c", scopes[0]))
    assert not unifier.match(unifier.constants([2, 3, 4]), axes_of(unifier, "b ...s c", scopes[0]))
    assert unifier.show(axes_of(unifier, "b ...s c", scopes[-1])) == "2 3 4"


# Properties: equations that some truth satisfies, said in any order


NAMES = {"a": 2, "b": 3, "c": 4, "d": 8, "e": 2}
RUNS = {"r": (3,), "s": (4, 2), "t": ()}
WORDS = {
    **NAMES,
    **{f"{name}*2": size * 2 for name, size in NAMES.items()},
    **{f"{name}+1": size + 1 for name, size in NAMES.items()},
    **{f"{name}-1": size - 1 for name, size in NAMES.items()},
    **{f"{name}/2": size // 2 for name, size in NAMES.items() if size % 2 == 0},
}


@st.composite
def true_sockets(draw, shape: tuple[int, ...] | None = None) -> str:
    """Dims that are right for a shape, in which names have the sizes in NAMES and runs those in RUNS."""
    if shape is None:
        shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4, 8]), max_size=4)))
    places = [
        (start, start + len(sizes), f"...{name}")
        for name, sizes in RUNS.items()
        for start in range(len(shape) + 1)
        if shape[start : start + len(sizes)] == sizes
    ]
    places += [(start, end, "...") for start in range(len(shape) + 1) for end in range(start, len(shape) + 1)]
    start, end, run = draw(st.sampled_from([*places, (0, 0, "")]))
    words = [
        draw(st.sampled_from(["_", str(size), *(word for word, known in WORDS.items() if known == size)]))
        for size in shape
    ]
    return " ".join([*words[:start], run, *words[end:]])


@st.composite
def true_equations(draw) -> tuple[str, str]:
    left = draw(st.lists(st.sampled_from([1, 2, 3, 4, 8]), max_size=4).map(tuple))
    return draw(true_sockets(left)), draw(true_sockets(left))


def said(equations: list[tuple[str, str]]) -> tuple[bool, dict[str, str]]:
    """Whether something clashed, and what is known afterwards."""
    unifier, scope = Unifier(), {}
    clashed = False
    for pair in equations:
        sides = [unifier.instantiate(parse(text), scope) for text in pair]
        clashed |= any(clashes for _, clashes in sides) or bool(unifier.match(sides[0][0], sides[1][0]))
    known = {name: unifier.value(scope[name]) for name in NAMES if name in scope}
    return clashed, known


@settings(max_examples=150, deadline=None)
@given(st.lists(true_equations(), max_size=6), st.randoms(use_true_random=False))
def test_true_equations_never_clash_and_give_the_same_numbers_in_any_order(equations, random):
    shuffled = [pair if random.random() < 0.5 else (pair[1], pair[0]) for pair in equations]
    random.shuffle(shuffled)
    clashed, known = said(equations)
    clashed_shuffled, known_shuffled = said(shuffled)
    assert not clashed
    assert not clashed_shuffled
    assert known_shuffled == known
    assert all(value in (None, NAMES[name]) for name, value in known.items())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(WORDS)), st.sampled_from([*sorted(WORDS), "1", "2", "5", "7"])), max_size=7
    ),
    st.randoms(use_true_random=False),
)
def test_whether_equations_clash_does_not_depend_on_their_order(equations, random):
    shuffled = list(equations)
    random.shuffle(shuffled)
    assert said(shuffled)[0] == said(equations)[0]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(sorted(WORDS)), min_size=1, max_size=4), st.data())
def test_bindings_solve_expressions(words, data):
    sizes = [WORDS[word] for word in words]
    found = bindings(" ".join(words), sizes)
    assert found == {name: NAMES[name] for name in {re.match("[a-z]", word)[0] for word in words}}
    position = data.draw(st.integers(0, len(words) - 1))
    names = [re.match("[a-z]", word)[0] for word in words]
    if names.count(names[position]) > 1:
        sizes[position] += 2
        assert not shape_fits(" ".join(words), sizes)
