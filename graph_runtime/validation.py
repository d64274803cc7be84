"""What nodes say of their own values before anything runs, through the functions that they declare as `validate`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ..errors import GlidewireError
from .declaration import NodeDeclaration
from .folders import Folders
from .graph import NodeCall
from .problems import Problem

UNKNOWN: Final = object()
"""A value that only the run will show."""


def refusals(
    call: NodeCall, declaration: NodeDeclaration, known: Callable[[str], Any], folders: Folders
) -> Iterator[Problem]:
    """What a node's own validations refuse; those that ask for something unknown stay silent.

    Args:
        call, declaration: The node.
        known: The value of an input, or the number or text behind a name in its dims; UNKNOWN where it is not known.
        folders: Handed to validations that ask for `folders`.
    """
    for function in declaration.validate:
        asked = _parameters(function)
        given = {name: folders if name == "folders" else known(name) for name in asked}
        optional = {name for name, parameter in asked.items() if parameter.default is not parameter.empty}
        given = {name: value for name, value in given.items() if not (value is UNKNOWN and name in optional)}
        if any(value is UNKNOWN for value in given.values()):
            continue
        try:
            function(**given)
        except GlidewireError as error:
            yield refused(call, error, [name for name in asked if name in declaration.by_input])
        except Exception as problem:
            # What a validation trips over, the node will trip over in the run.
            error = GlidewireError(f"{type(problem).__name__}: {problem}")
            yield refused(call, error, [name for name in asked if name in declaration.by_input])


def refused(call: NodeCall, error: GlidewireError, inputs: list[str]) -> Problem:
    """An error about values of a node as a problem of the graph; it names the input where that is a single one."""
    return Problem(
        "bad_value",
        error.message,
        call.id,
        call.shown_title,
        inputs[0] if len(inputs) == 1 else None,
        expected=None if error.expected is None else str(error.expected),
        got=None if error.got is None else str(error.got),
        hint=error.hint,
    )


@functools.lru_cache(maxsize=1024)
def _parameters(function: Callable[..., None]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters
