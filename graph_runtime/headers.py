"""What a node's dims are before any graph is looked at: its patterns, and the numbers that its files' headers hold."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..errors import GlidewireError
from .declaration import REQUIRED, InputDeclaration, NodeDeclaration
from .dims import Pattern, parse
from .folders import Folders
from .registry import Registry
from .widgets import File


@dataclass(frozen=True)
class Layout:
    """The sockets of a declaration, parsed.

    Args:
        declaration: Whose.
        inputs, outputs: The patterns.
        named: The literals that are names in them: `height` in "height/8".
        asked: The literals that `static_dims` asks for by name; it is not asked where one of them is wired or wrong.
        any_literal: Whether it takes whatever other literals there are.
        has_variables: Whether any socket is a type variable.
    """

    declaration: NodeDeclaration
    inputs: Mapping[str, Pattern]
    outputs: tuple[Pattern, ...]
    named: tuple[InputDeclaration, ...]
    asked: frozenset[str]
    any_literal: bool
    has_variables: bool

    @classmethod
    def of(cls, declaration: NodeDeclaration) -> Layout:
        """Parse the sockets of a declaration."""
        inputs = {given.id: parse(given.dims) for given in declaration.inputs}
        outputs = tuple(parse(output.dims) for output in declaration.outputs)
        patterns = (*inputs.values(), *outputs)
        names = {axis.name for pattern in patterns for axis in (*pattern.head, *pattern.tail)}
        tags = {tag for pattern in patterns for tag in pattern.tags}
        named = tuple(
            given
            for given in declaration.inputs
            if given.is_literal and not given.is_list and not isinstance(given.widget, File)
            if given.id in (names if given.type_ids == ("INT",) else tags)
        )
        asked, any_literal = _parameters(declaration)
        has_variables = any(socket.variable for socket in (*declaration.inputs, *declaration.outputs))
        return cls(declaration, inputs, outputs, named, asked, any_literal, has_variables)


def _parameters(declaration: NodeDeclaration) -> tuple[frozenset[str], bool]:
    function = declaration.static_dims
    given = inspect.signature(function).parameters.values() if function else ()
    named = [entry for entry in given if entry.kind in (entry.POSITIONAL_OR_KEYWORD, entry.KEYWORD_ONLY)]
    asked = {entry.name for entry in named if entry.default is entry.empty or entry.name in declaration.by_input}
    return frozenset(asked), any(entry.kind is entry.VAR_KEYWORD for entry in given)


class Headers:
    """Asks `static_dims` functions, each once for the same literals."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._known: dict[object, Mapping[str, int | str] | GlidewireError] = {}

    def read(self, layout: Layout, values: Mapping[str, Any]) -> Mapping[str, int | str]:
        """What `static_dims` says of names and tags; nothing where a literal that it needs is wired or wrong.

        Raises:
            GlidewireError: a file's header cannot be read.
        """
        function = layout.declaration.static_dims
        if function is None or not layout.asked <= values.keys():
            return {}
        asked = {
            name: value
            for name, value in values.items()
            if name in layout.asked or (layout.any_literal and layout.declaration.by_input[name].is_literal)
        }
        key = (id(function), repr(sorted(asked.items(), key=lambda item: item[0])))
        if key not in self._known:
            self._known[key] = self._ask(function, layout.declaration, asked)
        known = self._known[key]
        if isinstance(known, GlidewireError):
            raise known
        return known

    @staticmethod
    def files(layout: Layout, values: Mapping[str, Any]) -> list[str]:
        """The names of the files whose headers `read` looks at."""
        names = [values.get(given) for given, _ in _files(layout.declaration) if given in layout.asked]
        return [name for name in names if isinstance(name, str)]

    def takers(self, registry: Registry, declaration: NodeDeclaration, values: Mapping[str, Any]) -> list[str]:
        """The titles of other nodes whose headers can be read from the one file that a node could not read."""
        files = _files(declaration)
        name = values.get(files[0][0]) if len(files) == 1 else None
        if not isinstance(name, str):
            return []
        others = (entry for entry in registry if entry.id != declaration.id)
        return [entry.title for entry in others if self._takes(entry, files[0][1], name)]

    def _takes(self, declaration: NodeDeclaration, folder: str, name: str) -> bool:
        files = [given for given, place in _files(declaration) if place == folder]
        if not files or declaration.static_dims is None:
            return False
        layout = Layout.of(declaration)
        literals = {given.id: given.default for given in declaration.inputs if given.default is not REQUIRED}
        with suppress(GlidewireError):
            self.read(layout, {**literals, files[0]: name})
            return files[0] in layout.asked
        return False

    def _ask(
        self, function: Callable[..., Any], declaration: NodeDeclaration, asked: dict[str, Any]
    ) -> Mapping[str, int | str] | GlidewireError:
        try:
            for name, value in asked.items():
                widget = declaration.by_input[name].widget
                if isinstance(widget, File) and isinstance(value, str):
                    asked[name] = self._folders.find(widget.folder, value)
            return dict(function(**asked))
        except GlidewireError as error:
            return error
        except Exception as error:
            # A header is foreign input: whatever a reader trips over is the file's fault until shown otherwise.
            files = ", ".join(str(value) for value in asked.values() if value is not None)
            return GlidewireError(
                f"the header cannot be read: {type(error).__name__}: {error}",
                expected="a file whose header states its sizes",
                got=files or "nothing",
            )


def _files(declaration: NodeDeclaration) -> list[tuple[str, str]]:
    """The inputs that name files, and the folder of each."""
    return [(given.id, given.widget.folder) for given in declaration.inputs if isinstance(given.widget, File)]
