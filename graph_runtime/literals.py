"""Literals: whether a value written into an input is one that its type and its widget admit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import GlidewireError
from .declaration import InputDeclaration
from .folders import Folders, near
from .widgets import Choice, File, Number, Seed

_KINDS = {
    bool: "a boolean",
    int: "a whole number",
    float: "a real number",
    str: "a text",
    list: "a list",
    dict: "an object",
}
_WANTED = {"BOOLEAN": "true or false", "INT": "a whole number", "FLOAT": "a number", "STRING": "a text"}
_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class Refusal:
    """Why a value is not admitted; the fields are those of `problems.Problem`."""

    kind: str
    message: str
    expected: str
    got: str
    hint: str | None = None


def shown(value: Any) -> str:
    """A value as it stands in JSON, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _with_kind(value: Any) -> str:
    """`"7" (a text)`: what was written, and what that is."""
    kind = _KINDS.get(type(value))
    return f"{shown(value)} ({kind})" if kind else shown(value)


def wire_of(types: Iterable[str]) -> str:
    """`a wire of type IMAGE or MASK`."""
    every = list(types)
    return "a wire of any type" if "*" in every else f"a wire of type {' or '.join(every)}"


def refusal(entry: InputDeclaration, value: Any, folders: Folders) -> Refusal | None:
    """Why `value` cannot be written into the input, or None where it can.

    A boolean is no number, a whole number is a real one too, and the text "7" is no number.

    Args:
        entry: The input.
        value: What JSON can write: None, bool, int, float, str, list or dict.
        folders: Where the files of File inputs are looked up.
    """
    if value is None and entry.optional:
        return None
    if not entry.is_list:
        return _refuse_one(entry, value, folders)
    for position, item in enumerate(value if isinstance(value, list) else [value]):
        found = _refuse_one(entry, item, folders)
        if found:
            place = f"item {position} of the list: " if isinstance(value, list) else ""
            return Refusal(found.kind, place + found.message, found.expected, found.got, found.hint)
    return None


def _refuse_one(entry: InputDeclaration, value: Any, folders: Folders) -> Refusal | None:
    if "*" in entry.type_ids and entry.widget is None:
        return None if isinstance(value, bool | int | float | str) else _no_wire(entry, value)
    if not entry.is_literal:
        return _no_wire(entry, value)
    if isinstance(entry.widget, Choice):
        return _refuse_option(entry.widget, value)
    if not any(_is_of(kind, value) for kind in entry.type_ids):
        wanted = " or ".join(_WANTED.get(kind, kind) for kind in entry.type_ids)
        return Refusal("wrong_type", "the value is of the wrong type", wanted, _with_kind(value))
    if isinstance(value, str):
        return _refuse_text(entry, value, folders)
    return None if isinstance(value, bool) else _refuse_number(entry.widget, value)


def _no_wire(entry: InputDeclaration, value: Any) -> Refusal:
    message = "a value stands where a wire is needed"
    return Refusal("wrong_type", message, wire_of(entry.type_ids), _with_kind(value))


def _is_of(kind: str, value: Any) -> bool:
    match kind:
        case "BOOLEAN":
            return type(value) is bool
        case "INT":
            return type(value) is int
        case "FLOAT":
            return type(value) in (int, float)
        case _:
            return type(value) is str


def _refuse_number(widget: Any, value: float) -> Refusal | None:
    lowest, highest = (widget.min, widget.max) if isinstance(widget, Number | Seed) else (None, None)
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if finite and (lowest is None or value >= lowest) and (highest is None or value <= highest):
        return None
    if lowest is not None and highest is not None:
        wanted = f"a number from {lowest} to {highest}"
    elif lowest is not None:
        wanted = f"a number of at least {lowest}"
    elif highest is not None:
        wanted = f"a number of at most {highest}"
    else:
        wanted = "a finite number"
    return Refusal("out_of_range", "the number is out of range", wanted, shown(value))


def _refuse_text(entry: InputDeclaration, value: str, folders: Folders) -> Refusal | None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return Refusal("wrong_type", "the text holds half of a surrogate pair", "Unicode text", ascii(value)[:60])
    if isinstance(entry.widget, File):
        try:
            folders.find(entry.widget.folder, value)
        except GlidewireError as error:
            return Refusal("missing_file", error.message, str(error.expected), shown(value), error.hint)
        except (OSError, RuntimeError, ValueError) as error:
            return Refusal("missing_file", f"the file cannot be looked up: {error}", "the name of a file", shown(value))
    return None


def _refuse_option(widget: Choice, value: Any) -> Refusal | None:
    try:
        options = widget.current()
    except GlidewireError as error:
        return Refusal("not_an_option", error.message, str(error.expected), shown(value), error.hint)
    if any(type(option) is type(value) and option == value for option in options):
        return None
    hint = near(value, map(str, options)) if isinstance(value, str) else None
    return Refusal("not_an_option", "the value is not one of the options", listed(options), shown(value), hint)


def listed(names: Iterable[object], most: int = 12) -> str:
    """`a, b, c`, shortened to `most` names and how many more there are."""
    every = [str(name) for name in names]
    text = ", ".join(every[:most]) or "nothing: there is none"
    return text if len(every) <= most else f"{text} and {len(every) - most} more"
