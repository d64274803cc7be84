"""The API form: {id: {"class_type", "inputs", "_meta"}}, where a wire is [node id, output number]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..graph import Graph, NodeCall, Wire
from ..problems import Problem
from ..registry import Registry
from .json_text import RepeatedKeys

VALUE = "__value__"
"""The key under which a literal that could be mistaken for a wire is wrapped."""


class Reading(NamedTuple):
    """What could be made of a document: the graph as far as it could be read, and everything wrong with the rest."""

    graph: Graph
    problems: tuple[Problem, ...]


def is_api(document: Mapping[str, Any]) -> bool:
    """Whether a document looks like the API form: some entry has a class_type."""
    return any(isinstance(entry, Mapping) and "class_type" in entry for entry in document.values())


def from_api(document: Mapping[str, Any], registry: Registry | None = None) -> Reading:
    """Read the API form.

    Args:
        document: Node id -> {"class_type": text, "inputs": {name: literal or [node id, output number]}}.
        registry: If given, a title that only repeats the node's own is read as none.

    Returns:
        The graph of every entry that could be read, and the problems of the others.
    """
    twice = document.repeated if isinstance(document, RepeatedKeys) else ()
    problems = [Problem("duplicate_id", f"two nodes are called {id_}", node=id_) for id_ in twice]
    calls: list[NodeCall] = []
    for id_, entry in document.items():
        call = _call(id_, entry, registry, problems)
        if call is not None:
            calls.append(call)
    return Reading(Graph(calls), tuple(problems))


def to_api(graph: Graph) -> dict[str, Any]:
    """Write a graph in the API form; titles go to `_meta`, lists are wrapped so that they are no wires."""
    document: dict[str, Any] = {}
    for call in graph.calls.values():
        entry: dict[str, Any] = {
            "class_type": call.type,
            "inputs": {name: literal_to_json(value) for name, value in call.inputs.items()},
        }
        if call.title:
            entry["_meta"] = {"title": call.title}
        document[call.id] = entry
    return document


def literal_to_json(value: Any) -> Any:
    """An input's value as the API form writes it."""
    if isinstance(value, Wire):
        return [value.node, value.output]
    if isinstance(value, list | tuple) or (isinstance(value, Mapping) and VALUE in value):
        return {VALUE: value}
    return value


def with_missing_nodes(problems: Iterable[Problem], graph: Graph) -> tuple[Problem, ...]:
    """The problems, and one more for each wire from a node that the document does not have."""
    return (
        *problems,
        *(
            Problem(
                "missing_node",
                f"is wired to node {wire.node}, which is not in the workflow",
                node=call.id,
                title=call.shown_title,
                input=name,
                others=(wire.node,),
            )
            for call in graph.calls.values()
            for name, wire in call.wires
            if wire.node not in graph.calls
        ),
    )


def _call(id_: str, entry: Any, registry: Registry | None, problems: list[Problem]) -> NodeCall | None:
    """One entry of the document as a node call; None where it is not even that."""
    if not isinstance(entry, Mapping):
        expected = '{"class_type": ..., "inputs": {...}}'
        problems.append(Problem("malformed", "is no node", id_, expected=expected, got=_kind(entry)))
        return None
    type_ = entry.get("class_type")
    if not isinstance(type_, str) or not type_:
        message = "does not say which node it is"
        problems.append(Problem("malformed", message, id_, expected="class_type: text", got=_kind(type_)))
        return None
    title = _title(entry, type_, registry)
    shown = title or type_
    inputs = entry.get("inputs", {})
    if not isinstance(inputs, Mapping):
        message = "has inputs that are no object"
        problems.append(Problem("malformed", message, id_, shown, expected="{name: value}", got=_kind(inputs)))
        inputs = {}
    for level in (entry, inputs):
        for key in level.repeated if isinstance(level, RepeatedKeys) else ():
            name = key if level is inputs else None
            problems.append(Problem("malformed", f"{key} stands there twice", id_, shown, name))
    return NodeCall(id_, type_, _inputs(id_, shown, inputs, problems), title)


def _title(entry: Mapping[str, Any], type_: str, registry: Registry | None) -> str:
    """The title that the user gave; the type's own is none."""
    meta = entry.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else None
    declaration = registry.get(type_) if registry else None
    return title if isinstance(title, str) and not (declaration and title == declaration.title) else ""


def _inputs(id_: str, shown: str, inputs: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, value in inputs.items():
        try:
            read[name] = literal_from_json(value)
        except ValueError:
            problems.append(
                Problem(
                    "malformed",
                    "is no wire",
                    node=id_,
                    title=shown,
                    input=name,
                    expected="[node id, output number from 0]",
                    got=repr(value)[:80],
                    hint=f'A list of two that is a value is written {{"{VALUE}": [...]}}.',
                )
            )
    return read


def literal_from_json(value: Any) -> Any:
    """An input's value as the API form writes it, read: a wire, or a literal (a wrapped one unwrapped).

    Raises:
        ValueError: a list of two that is no wire.
    """
    if isinstance(value, Mapping) and set(value) == {VALUE}:
        return value[VALUE]
    if isinstance(value, list | tuple) and len(value) == 2:
        node, output = value
        if not isinstance(node, str | int) or isinstance(node, bool):
            raise ValueError("node id")
        if not isinstance(output, int) or isinstance(output, bool) or output < 0:
            raise ValueError("output number")
        return Wire(str(node), output)
    return value


def _kind(value: Any) -> str:
    """How an error calls a JSON value."""
    names = {type(None): "nothing", bool: "true or false", int: "a number", float: "a number", str: "a text"}
    kind = names.get(type(value)) or ("an object" if isinstance(value, Mapping) else "a list")
    return f"{kind} ({value!r})"[:80] if isinstance(value, str | int | float) else kind
