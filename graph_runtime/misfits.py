"""Clashes of dims put into words: which wire, which axis, which two numbers, and which nodes said them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import GlidewireError
from .affine import Clash
from .declaration import NodeDeclaration
from .graph import Graph, NodeCall
from .problems import Problem
from .widgets import File


class Said(NamedTuple):
    """Who said a number: a node, which part of it ("input height"; "" where it is its header), and in what words."""

    node: str
    part: str
    words: str = ""


def misfit(
    graph: Graph,
    target: tuple[NodeCall, str],
    source: tuple[NodeCall, str],
    dims: tuple[str, str],
    clashes: Sequence[Clash],
    hint: str | None,
) -> Problem:
    """The problem of a wire whose two ends differ.

    Args:
        graph: The graph.
        target, source: The node and the input that the wire leads to; the node and the output that it comes from.
        dims: What flows, and what is needed, as text.
        clashes: In what they differ; left is what flows.
        hint: Nodes that would fit between, or None.
    """
    (call, given), (producer, output) = target, source
    ends = (Said(call.id, f"input {given}"), Said(producer.id, f"output {output}"))
    needed = [(clash.right_source, clash.right) for clash in clashes]
    flowing = [(clash.left_source, clash.left) for clash in clashes]
    return Problem(
        "wrong_dims",
        f"output {output} of node {producer.id} ({producer.shown_title}) does not fit: "
        + "; ".join(_difference(clash) for clash in clashes),
        call.id,
        call.shown_title,
        given,
        expected=f'"{dims[1]}"' + _told(graph, needed, ends),
        got=f'"{dims[0]}"' + _told(graph, flowing, ends),
        hint=hint or "No node turns one into the other: wire parts that belong together.",
        others=(producer.id,),
    )


def _difference(clash: Clash) -> str:
    if clash.what == "number of axes":
        return f"it has {clash.left} axes there and {clash.right} here"
    named = "" if clash.what == "_" else clash.what
    if clash.axis:
        place = (
            f"axis {clash.axis}" if clash.axis > 0 else "the last axis" if clash.axis == -1 else f"axis {clash.axis}"
        )
        named = f"{place} ({named})" if named else place
    if clash.because:
        return f"{named} cannot be {clash.left}: {clash.because}"
    return f"{named} is {clash.left} there and {clash.right} here"


def _told(graph: Graph, numbers: Iterable[tuple[object, str]], ends: Iterable[Said]) -> str:
    """`, where node 2 (Load prior) states width 768`, for numbers that come from further away than the wire's ends."""
    told: dict[str, None] = {}
    for said, number in numbers:
        if isinstance(said, Said) and said not in ends:
            part = f"{said.part} of " if said.part else ""
            words = said.words or f"is {number}"
            told[f"{part}node {said.node} ({graph.calls[said.node].shown_title}) {words}"] = None
    return f", where {' and '.join(told)}" if told else ""


def no_size(call: NodeCall, clash: Clash) -> Problem:
    """The problem of a node one of whose derived axes would be no size: height/8 where height is 100."""
    said = clash.left_source
    own = isinstance(said, Said) and said.node == call.id and said.part.startswith("input ")
    return Problem(
        "wrong_dims",
        f"{clash.what} cannot be {clash.left}: {clash.because}",
        call.id,
        call.shown_title,
        said.part.removeprefix("input ") if isinstance(said, Said) and own else None,
        expected=f"a size for which {clash.right} is a whole number",
        got=clash.left,
    )


def unreadable(
    call: NodeCall, declaration: NodeDeclaration, error: GlidewireError, takers: Sequence[str] = ()
) -> Problem:
    """The problem of a node whose file's header cannot be read; `takers` are the titles of nodes that can read it."""
    hints = [error.hint, f"It can be loaded with: {', '.join(takers)}." if takers else None]
    files = [given.id for given in declaration.inputs if isinstance(given.widget, File)]
    return Problem(
        "bad_file",
        error.message,
        call.id,
        call.shown_title,
        files[0] if len(files) == 1 else None,
        expected=None if error.expected is None else str(error.expected),
        got=None if error.got is None else str(error.got),
        hint=" ".join(hint for hint in hints if hint) or None,
    )
