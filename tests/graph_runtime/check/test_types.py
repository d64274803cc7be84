"""Type variables, unions, optional, list and lazy inputs."""

from __future__ import annotations

from check_nodes import (
    problems,
)
from glidewire.graph_runtime.graph import Wire


def test_a_type_variable_passes_type_and_dims_on(checked):
    wire_fits = checked(
        n1=("empty", {}),
        n2=("either", {"second": "n1.0"}),
        n3=("decode", {"latent": "n2.0"}),
        k=("save", {"picture": "n3.0"}),
    )
    assert wire_fits.ok
    assert wire_fits.dims["n2", 0] == "1 4 8 8 @space=small"
    wrong = checked(n1=("empty", {}), n2=("either", {"first": "n1.0"}), k=("save", {"picture": "n2.0"}))
    assert problems(wrong) == [
        "node k (save), input picture: output value of node n2 (either) does not fit; expected CHECK_PICTURE; "
        "got CHECK_LATENT. Nodes that fit between: Decode."
    ]
    literal = checked(n1=("keep", {"value": 3}), n2=("either", {"first": True}), n3=("text", {"value": "n2.0"}))
    assert [problem.got for problem in literal.problems] == ["BOOLEAN"]


def test_a_type_variable_that_two_wires_share_passes_no_dims_on(checked):
    report = checked(
        n1=("empty", {"height": 64}),
        n2=("empty", {"height": 128}),
        n3=("either", {"first": "n1.0", "second": "n2.0"}),
        k=("keep", {"value": "n3.0"}),
    )
    assert report.ok
    assert set(report.dims) == {("n1", 0), ("n2", 0)}


def test_a_type_variable_of_which_nothing_is_known_fits(checked):
    assert checked(n1=("either", {}), k=("save", {"picture": "n1.0"})).ok


def test_numbers_widen_and_texts_are_texts(checked):
    right = checked(
        n1=("whole", {}),
        n2=("real", {"value": "n1.0"}),
        n3=("either", {"first": "n1.0", "second": "n2.0"}),
        n4=("real", {"value": "n3.0"}),
        n5=("text", {}),
        n6=("decode", {"latent": "n7.0", "space": "n5.0"}),
        n7=("empty", {}),
        k1=("keep", {"value": "n4.0"}),
        k2=("keep", {"value": "n6.0"}),
    )
    assert problems(right) == []
    wrong = checked(n1=("real", {}), n2=("whole", {"value": "n1.0"}), k=("keep", {"value": "n2.0"}))
    assert [(problem.expected, problem.got) for problem in wrong.problems] == [("INT", "FLOAT")]


def test_a_union_fits_where_one_of_its_types_does(checked):
    assert checked(n1=("paint", {"red": 0}), k=("save", {"picture": "n1.0"})).ok
    wrong = checked(n1=("paint", {"red": 0}), k=("show", {"value": "n1.0"}))
    assert wrong.problems[0].got == "CHECK_PICTURE or CHECK_LATENT"


def test_lists_go_into_lists_and_into_single_inputs(checked):
    report = checked(
        n1=("texts", {}), n2=("text", {"value": "n1.0"}), n3=("empty", {}), n4=("decode", {"latent": "n3.0"}),
        n5=("stack", {"pictures": "n4.0", "weights": [1, 2.0]}), n6=("stack", {"pictures": "n4.0", "weights": 1}),
        k1=("keep", {"value": "n2.0"}), k2=("keep", {"value": "n5.0"}), k3=("keep", {"value": "n6.0"}),
    )  # fmt: skip
    assert problems(report) == []
    assert report.dims["n5", 0] == "_ 64 64 3"


def test_optional_inputs_may_be_left_out_or_nothing(checked):
    assert checked(n1=("text", {}), k=("show", {"value": "n1.0", "latent": None})).ok


def test_only_the_lazy_input_that_is_asked_for_carries_dims(checked):
    small_and_large = {
        "n1": ("empty", {"height": 64}),
        "n2": ("empty", {"height": 128}),
        "t": ("either", {"first": True}),
    }
    for condition, height in ((True, "8"), (False, "16")):
        report = checked(
            **small_and_large,
            n3=("switch", {"condition": condition, "yes": "n1.0", "no": "n2.0"}),
            k=("keep", {"value": "n3.0"}),
        )
        assert report.ok
        assert report.dims["n3", 0] == f"1 4 {height} 8 @space"
    unknown = checked(
        **small_and_large,
        n3=("switch", {"condition": Wire("t", 0), "yes": "n1.0", "no": "n2.0"}),
        k=("keep", {"value": "n3.0"}),
    )
    assert ("n3", 0) not in unknown.dims
