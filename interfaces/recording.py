"""How a node call is written down: its arguments bound to inputs, and each value as a wire or a literal."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from ..errors import GlidewireError
from ..graph_runtime.declaration import InputDeclaration, NodeDeclaration
from ..graph_runtime.folders import near
from ..graph_runtime.widgets import File
from .placeholders import Output


def bind(declaration: NodeDeclaration, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by input id, as Python would bind them."""
    parameters = inspect.signature(declaration.function).parameters
    signature = inspect.Signature([entry for name, entry in parameters.items() if name != "context"])
    try:
        return dict(signature.bind(*args, **kwargs).arguments)
    except TypeError as problem:
        unknown = [name for name in kwargs if name not in signature.parameters]
        raise GlidewireError(
            f"{declaration.name}: {problem}",
            expected=f"{declaration.name}({', '.join(signature.parameters)})",
            hint=near(unknown[0], signature.parameters) if unknown else None,
        ) from None


def written(value: Any, entry: InputDeclaration, node: str, workflow: object) -> tuple[Any, frozenset[Path]]:
    """A value as it stands in a graph: a wire, or a literal that JSON can carry; and the file that it names, if any.

    Args:
        value: What the call was given: a placeholder, a number, a text, a list of those, or a Path.
        entry: The input.
        node: The node's Python name.
        workflow: The workflow that the call is written into.

    Raises:
        GlidewireError: a placeholder of another workflow, or a value that no workflow file can hold.
    """
    place = f"{node}, input {entry.id}"
    if isinstance(value, Output):
        if value.workflow is not workflow:
            raise foreign(value, place)
        return value.wire, frozenset()
    if isinstance(value, Path) or (isinstance(value, str) and isinstance(entry.widget, File)):
        path = Path(value).expanduser()
        return str(path), frozenset({path.resolve()} if path.is_absolute() else ())
    if isinstance(value, (list, tuple)) and not any(isinstance(item, (Output, list, tuple)) for item in value):
        return [written(item, entry, node, workflow)[0] for item in value], frozenset()
    if type(value) in (bool, int, float, str):
        return value, frozenset()
    raise _not_written(value, place)


def foreign(output: Output, place: str = "") -> GlidewireError:
    """The error of an output that belongs to another workflow."""
    owner = getattr(output.workflow, "name", "another")
    return GlidewireError(
        f"{place}: {output.text} belongs to another workflow"
        if place
        else f"{output.text} belongs to another workflow",
        expected="an output of this workflow",
        got=f"one of {owner!r}",
        hint="Fetch its value from there, or write both in one workflow.",
    )


def _not_written(value: Any, place: str) -> GlidewireError:
    items = value if isinstance(value, (list, tuple)) else ()
    if hasattr(value, "_fields") and any(isinstance(item, Output) for item in items):
        choices = ", ".join(f".{name}" for name in value._fields)
        return GlidewireError(f"{place}: that node has several outputs", expected=f"one of them: {choices}")
    if any(isinstance(item, Output) for item in items):
        return GlidewireError(
            f"{place}: a Python list of outputs cannot be wired",
            expected="one output",
            hint="Join them with a node that makes a list, and wire that.",
        )
    if value is None:
        return GlidewireError(
            f"{place}: got nothing", expected="a value, or an output of a node that has one", got="None"
        )
    return GlidewireError(
        f"{place}: this value cannot be written into a workflow",
        expected="an output of a node, a number, a text or a list of those",
        got=type(value).__name__,
        hint="Let a node make it, so that the saved workflow can make it again.",
    )
