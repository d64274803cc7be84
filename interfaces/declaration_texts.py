"""Inputs and outputs of a declaration in words, the same in tables and on help pages."""

from __future__ import annotations

from ..graph_runtime.declaration import REQUIRED, InputDeclaration, OutputDeclaration
from ..graph_runtime.widgets import Choice, File, Number, Seed


def type_text(entry: InputDeclaration | OutputDeclaration) -> str:
    """The type of a socket or literal as it is read: "IMAGE", "list of INT", "IMAGE or MASK"."""
    text = " or ".join(entry.type_ids)
    return f"list of {text}" if entry.is_list else text


def dims_text(entry: InputDeclaration | OutputDeclaration) -> str:
    """The dims of a socket, or nothing where any fit."""
    return "" if entry.dims == "..." else entry.dims


def default_text(entry: InputDeclaration) -> str:
    """An input's default as it is read."""
    if entry.default is REQUIRED:
        return "required"
    return "none" if entry.default is None else repr(entry.default)


def admits(entry: InputDeclaration) -> str:
    """Which values a literal input admits."""
    match entry.widget:
        case Number(min=low, max=high) if low is not None or high is not None:
            return f"{_number(low, 'any')} to {_number(high, 'any')}"
        case Seed(min=low, max=high):
            return f"{low} to {high}"
        case Choice() as choice:
            return ", ".join(str(option) for option in choice.current())
        case File(folder=folder, suffixes=suffixes):
            return f"a file in {folder}{': ' + ', '.join(suffixes) if suffixes else ''}"
    return ""


def _number(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:g}"
