"""Dims over wires."""

from __future__ import annotations

from check_nodes import (
    REGISTRY,
    Latent,
    Picture,
    graph,
    problems,
)
from glidewire.graph_runtime.check import check
from glidewire.graph_runtime.declaration import node
from glidewire.graph_runtime.folders import Folders
from glidewire.graph_runtime.registry import Registry
from glidewire.graph_runtime.sockets import Socket


def test_widths_of_two_checkpoints_that_do_not_belong_together(checked):
    report = checked(
        n1=("load_encoder", {"checkpoint": "vit-h.json"}, "CLIP"),
        n2=("load_prior", {"checkpoint": "prior.json"}, "Prior"),
        n3=("use_prior", {"prior": "n2.0", "embedding": "n1.0"}),
        k1=("keep", {"value": "n3.0"}),
    )
    assert problems(report) == [
        "node n3 (use_prior), input embedding: output embedding of node n1 (CLIP) does not fit: "
        "axis 2 (width) is 1024 there and 768 here; "
        'expected "1 768 @clip=ViT-H", where node n2 (Prior) states width 768 (prior.json); '
        'got "1 1024 @clip=ViT-H", where node n1 (CLIP) states width 1024 (vit-h.json). '
        "Nodes that fit between: Project."
    ]
    assert report.problems[0].others == ("n1",)


def test_sizes_that_come_from_far_away(checked):
    report = checked(
        n1=("empty", {"height": 64}),
        n2=("empty", {"height": 128}, "Tall"),
        n3=("blend", {"first": "n1.0", "second": "n1.0"}),
        n4=("blend", {"first": "n2.0", "second": "n2.0"}),
        n5=("blend", {"first": "n3.0", "second": "n4.0"}),
        k1=("keep", {"value": "n5.0"}),
    )
    assert problems(report) == [
        "node n5 (blend), input second: output check_latent of node n4 (blend) does not fit: "
        'axis 3 (h) is 16 there and 8 here; expected "1 4 8 8", where input height of node n1 (empty) is 64; '
        'got "1 4 16 8", where input height of node n2 (Tall) is 128. '
        "No node turns one into the other: wire parts that belong together."
    ]


def test_tags_that_differ(checked):
    report = checked(
        n1=("load_prior", {}),
        n2=("encode", {"picture": "p1.0"}),
        n3=("decode", {"latent": "n2.0", "space": "large"}),
        p1=("paint", {"red": 1}),
        k1=("keep", {"value": "n3.0"}),
        k2=("keep", {"value": "n1.0"}),
    )
    assert problems(report) == [
        "node n3 (decode), input latent: output check_latent of node n2 (encode) does not fit: "
        '@space is small there and large here; expected "1 4 h w @space=large", where input space of node n3 (decode) '
        'is large; got "1 4 height/8 width/8 @space=small", where node n2 (encode) states space small. '
        "No node turns one into the other: wire parts that belong together."
    ]


def test_numbers_of_axes_that_differ():
    @node(category="check")
    def flat() -> Socket[Latent, "batch channels"]:
        """Make something flat."""

    report = check(
        graph(n1=("flat", {}), n2=("blend", {"first": "n1.0", "second": "n1.0"}), k1=("keep", {"value": "n2.0"})),
        Registry([*REGISTRY, flat.declaration]),
        Folders(),
    )
    assert [problem.message for problem in report.problems] == [
        "output check_latent of node n1 (flat) does not fit: it has 2 axes there and 4 here"
    ] * 2
    assert [problem.input for problem in report.problems] == ["first", "second"]


def test_a_size_that_would_leave_a_fraction_behind():
    @node(category="check")
    def odd() -> Socket[Picture, "1 30 32 3"]:
        """Make an odd picture."""

    report = check(
        graph(n1=("odd", {}), n2=("encode", {"picture": "n1.0"}), k1=("keep", {"value": "n2.0"})),
        Registry([*REGISTRY, odd.declaration]),
        Folders(),
    )
    assert [problem.message for problem in report.problems] == ["height cannot be 30: height/8 would be 3.75"]
    assert report.problems[0].node == "n2"


def test_sizes_are_solved_against_the_wires(checked):
    """A demand far down settles what a name far up must be: here through 8 * h = height."""
    report = checked(
        n1=("paint", {"red": 1}),
        n2=("encode", {"picture": "n1.0"}),
        n3=("empty", {"height": 128, "width": 256}),
        n4=("blend", {"first": "n2.0", "second": "n3.0"}),
        n5=("decode", {"latent": "n4.0"}),
        k1=("save", {"picture": "n5.0"}),
    )
    assert problems(report) == []
    assert report.dims["n1", 0] == "1 128 256 3"
    assert report.dims["n5", 0] == "1 128 256 3"
