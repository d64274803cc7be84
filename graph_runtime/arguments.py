"""Literals as nodes receive them, defaults filled in and whole numbers made real, and as cache keys name them."""

from __future__ import annotations

import json
from typing import Any

from .declaration import REQUIRED, InputDeclaration
from .graph import NodeCall, Wire


def wants_real(entry: InputDeclaration) -> bool:
    """Whether the input takes real numbers only, so that 3 written in a file means 3.0."""
    kinds = entry.type_ids
    return "FLOAT" in kinds and "INT" not in kinds and "*" not in kinds


def coerce(entry: InputDeclaration, value: Any) -> Any:
    """The value as the node's function receives it: the editor's JavaScript writes 3.0 as 3."""
    if type(value) is int and wants_real(entry):
        try:
            return float(value)
        except OverflowError:
            return value
    if entry.is_list and isinstance(value, list):
        return [float(item) if type(item) is int and wants_real(entry) else item for item in value]
    return value


def literal(entry: InputDeclaration, call: NodeCall) -> Any:
    """What an input that is not wired holds: what was set, else the default, else None; a list input gets a list."""
    value = call.inputs.get(entry.id, entry.default)
    if value is REQUIRED or isinstance(value, Wire):
        value = None
    value = coerce(entry, value)
    return [value] if entry.is_list and value is not None and not isinstance(value, list) else value


def text_of(value: Any) -> str:
    """A literal as one line in which True, 1, 1.0 and "1" differ, and 0.0 and -0.0: `float 1.0`.

    Raises:
        TypeError: the value is not plain JSON.
    """
    if value is None or type(value) in (bool, int, float, str):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, (list, tuple)):
        return f"list [{', '.join(text_of(item) for item in value)}]"
    if isinstance(value, dict):
        items = ", ".join(f"{json.dumps(key)}: {text_of(item)}" for key, item in value.items())
        return f"dict {{{items}}}"
    raise TypeError(f"a literal must be plain JSON, not {type(value).__name__}")
