"""Changing a workflow's inputs by name: `3.seed=7`, `Base sampler.seed=7`, or `prompt=...` where that is unique."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import GlidewireError
from ..graph_runtime.declaration import InputDeclaration
from ..graph_runtime.folders import Folders, near
from ..graph_runtime.graph import Graph, NodeCall, Wire
from ..graph_runtime.registry import Registry
from ..graph_runtime.widgets import Choice, File, Seed

_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class Place:
    """One literal input of one node of a graph."""

    call: NodeCall
    input: InputDeclaration

    @property
    def name(self) -> str:
        """How the user may write it: `node.input`, the node by id."""
        return f"{self.call.id}.{self.input.id}"

    def __str__(self) -> str:
        return f"{self.name} ({self.call.shown_title})"


def places(graph: Graph, registry: Registry) -> list[Place]:
    """Every literal input of every node that the registry knows, in the order of the document."""
    return [
        Place(call, entry)
        for call in graph.calls.values()
        if (declaration := registry.get(call.type))
        for entry in declaration.inputs
        if entry.is_literal
    ]


def find_place(graph: Graph, registry: Registry, name: str) -> Place:
    """The literal input that `name` means: `node.input` (node by id, title or type), or an input's name alone.

    Raises:
        GlidewireError: nothing has that name, or more than one thing has; the candidates are listed.
    """
    known = places(graph, registry)
    node, dot, wanted = name.rpartition(".")
    found = [place for place in known if place.input.id == wanted]
    if dot:
        found = _of_node(found, known, node, name)
    else:
        # An input that a wire already feeds is not what a bare name means, unless there is no other.
        found = [place for place in found if not isinstance(place.call.inputs.get(wanted), Wire)] or found
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(str(place) for place in found)
        raise GlidewireError(f"{name} is ambiguous", expected="one input", got=listed, hint="Write it as node.input.")
    _refuse_socket(graph, registry, node, wanted, name)
    names = [*(place.name for place in known), *(place.input.id for place in known)]
    raise GlidewireError(
        f"the workflow has no input {name}",
        expected=_listed(f"{place.name} ({place.call.shown_title})" for place in known) or "a workflow with inputs",
        hint=near(name, names),
    )


def find_node(graph: Graph, name: str) -> NodeCall:
    """The node that `name` means: by id if one has it, else by title, else by type.

    Raises:
        GlidewireError: no node has that name, or several have.
    """
    for says in _NAMINGS:
        found = [call for call in graph.calls.values() if says(call, name)]
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(f"{call.id} ({call.shown_title})" for call in found)
            raise GlidewireError(f"{name} is ambiguous", expected="one node", got=listed, hint="Name it by its id.")
    every = [f"{call.id} ({call.shown_title})" for call in graph.calls.values()]
    names = [text for call in graph.calls.values() for text in (call.id, call.shown_title)]
    raise GlidewireError(
        f"the workflow has no node {name}", expected=_listed(every) or "a workflow with nodes", hint=near(name, names)
    )


def _of_node(found: list[Place], known: list[Place], node: str, name: str) -> list[Place]:
    """Those of `found` whose node is called `node`: by id if one has that id, else by title, else by type."""
    for says in _NAMINGS:
        if any(says(place.call, node) for place in known):
            return [place for place in found if says(place.call, node)]
    titles = [text for place in known for text in (place.call.id, place.call.shown_title)]
    raise GlidewireError(
        f"{name}: the workflow has no node {node} with an input to set",
        expected=_listed(dict.fromkeys(f"{place.call.id} ({place.call.shown_title})" for place in known)) or "a node",
        hint=near(node, titles),
    )


_NAMINGS: tuple[Callable[[NodeCall, str], bool], ...] = (
    lambda call, name: call.id == name,
    lambda call, name: call.title == name,
    lambda call, name: call.title.casefold() == name.casefold() != "",
    lambda call, name: call.type.casefold() in (name.casefold(), "glidewire" + name.replace("_", "").casefold()),
)


def _refuse_socket(graph: Graph, registry: Registry, node: str, wanted: str, name: str) -> None:
    for call in graph.calls.values():
        declaration = registry.get(call.type)
        if declaration and wanted in declaration.by_input and (not node or any(say(call, node) for say in _NAMINGS)):
            kinds = " or ".join(declaration.by_input[wanted].type_ids)
            raise GlidewireError(
                f"{name} is a socket of node {call.id} ({call.shown_title}): it takes a wire, not a value",
                expected=f"a wire that carries {kinds}",
                hint="Set an input of the node that feeds it instead.",
            )


def _listed(names: Iterable[str], limit: int = 20) -> str:
    every = list(names)
    more = [f"and {len(every) - limit} more"] if len(every) > limit else []
    return ", ".join([*every[:limit], *more])


def parse_value(text: str, place: Place) -> Any:
    """What `text` says as a value of the input's own type.

    Raises:
        GlidewireError: the text is no such value.
    """
    widget, kinds = place.input.widget, place.input.type_ids
    if isinstance(widget, Choice):
        return next((option for option in widget.current() if str(option) == text), text)
    if "BOOLEAN" in kinds:
        if text.casefold() not in _YES + _NO:
            raise _no_value(place, text, "yes or no")
        return text.casefold() in _YES
    for kind, read, expected in (("INT", int, "a whole number"), ("FLOAT", float, "a number")):
        if kind in kinds:
            try:
                return read(text)
            except ValueError:
                raise _no_value(place, text, expected) from None
    return text


def _no_value(place: Place, text: str, expected: str) -> GlidewireError:
    return GlidewireError(f"{place} cannot be set so", expected=expected, got=repr(text))


def assign(graph: Graph, registry: Registry, changes: Mapping[str, Any]) -> tuple[Graph, frozenset[Path]]:
    """A graph in which inputs are changed by name, and the files that the changes name.

    Args:
        changes: Name -> value. A str is read by the input's own type; any other value is taken as it is, and
            a file may be a Path.

    Returns:
        The changed graph, and the files outside the user's folders that were named so and are thereby allowed.

    Raises:
        GlidewireError: a name means no input or several, or a text is no value of that input.
    """
    files: set[Path] = set()
    for name, value in changes.items():
        place = find_place(graph, registry, name)
        if isinstance(value, Path) or (isinstance(value, str) and isinstance(place.input.widget, File)):
            value = str(value)
            with suppress(OSError, RuntimeError, ValueError):  # no path at all: the check says so
                path = Path(value).expanduser()
                if path.is_file():
                    value = str(path.resolve())
                    files.add(path.resolve())
        elif isinstance(value, str):
            value = parse_value(value, place)
        graph = graph.with_inputs(place.call.id, **{place.input.id: value})
    return graph, frozenset(files)


def relative_names(graph: Graph, registry: Registry, folders: Folders) -> Graph:
    """A graph in which absolute file names inside the user's folders are written relative to them.

    So a saved workflow means the same on another machine, and a picture tells nobody where its maker keeps files.
    """
    for place in places(graph, registry):
        value = place.call.inputs.get(place.input.id)
        if isinstance(place.input.widget, File) and isinstance(value, str) and Path(value).is_absolute():
            for root in folders.roots(place.input.widget.folder):
                if Path(value).is_relative_to(root.resolve()):
                    name = Path(value).relative_to(root.resolve()).as_posix()
                    graph = graph.with_inputs(place.call.id, **{place.input.id: name})
                    break
    return graph


def assign_seed(graph: Graph, registry: Registry, seed: int) -> Graph:
    """A graph in which every seed that is written down (not wired) is `seed`.

    Raises:
        GlidewireError: no node has a seed.
    """
    found = [
        place
        for place in places(graph, registry)
        if isinstance(place.input.widget, Seed) and not isinstance(place.call.inputs.get(place.input.id), Wire)
    ]
    if not found:
        raise GlidewireError("no node of the workflow has a seed to set", hint="Leave --seed out.")
    for place in found:
        graph = graph.with_inputs(place.call.id, **{place.input.id: seed})
    return graph
