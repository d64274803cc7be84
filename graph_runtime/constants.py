"""Values that are known before anything runs: literals, and what nodes of plain values make of nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import GlidewireError
from .arguments import coerce
from .declaration import NodeDeclaration
from .graph import NodeCall, Wire
from .widgets import File

_PLAIN = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})


@dataclass(frozen=True)
class Constant:
    """A value on a wire; `listed` if it is a list whose items are handed on one by one."""

    value: Any
    listed: bool = False


class Constants:
    """The constants of a graph, gathered node by node in topological order."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Constant] = {}

    def over(self, wire: Wire) -> Constant | None:
        """What comes over a wire, or None where that is known only when it runs."""
        return self._known.get((wire.node, wire.output))

    def make(self, call: NodeCall, declaration: NodeDeclaration, values: Mapping[str, Any]) -> None:
        """Run a by-value node of plain inputs and outputs whose inputs are all known: a number, a text, a list of them.

        Raises:
            GlidewireError: the node refuses its inputs, as it would in the run.
        """
        if not is_plain(declaration) or any(entry.id not in values for entry in declaration.inputs):
            return
        arguments = {entry.id: coerce(entry, values[entry.id]) for entry in declaration.inputs}
        try:
            made = declaration.results(declaration.function(**arguments))
        except GlidewireError:
            raise
        except Exception as problem:
            raise GlidewireError(f"{type(problem).__name__}: {problem}") from problem
        for index, (output, value) in enumerate(zip(declaration.outputs, made, strict=True)):
            self._known[call.id, index] = Constant(value, output.is_list)


def is_plain(declaration: NodeDeclaration) -> bool:
    """Whether a node makes plain values of plain values, at no cost worth mentioning: `by_value` says so."""
    sockets = (*declaration.inputs, *declaration.outputs)
    return (
        declaration.by_value
        and not (declaration.takes_context or declaration.effect or declaration.lazy_inputs)
        and not any(isinstance(entry.widget, File) for entry in declaration.inputs)
        and all(_PLAIN.issuperset(socket.type_ids) and not socket.variable for socket in sockets)
    )
