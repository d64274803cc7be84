"""Views: how values of a socket type look to whoever inspects them: pictures, plots and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Picture:
    """A picture to look at.

    Args:
        title: What it shows, in a few words.
        pixels: uint8 "height width 3".
    """

    title: str
    pixels: Tensor


@dataclass(frozen=True)
class Plot:
    """Lines over a common axis.

    Args:
        title: What it shows.
        x: What the horizontal axis is.
        lines: By name, the points of a line: its x values and its y values.
    """

    title: str
    x: str
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]


@dataclass(frozen=True)
class Table:
    """Rows of texts and numbers under a head."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float]]


View = Picture | Plot | Table
Viewer = Callable[[Any], Iterable[View]]
"""What the values of a type look like; a pure function."""

_VIEWERS: dict[str, Viewer] = {}


def viewer(*types: str) -> Callable[[Viewer], Viewer]:
    """Register a function as what shows the values of socket types, named by their ids ("IMAGE")."""

    def register(function: Viewer) -> Viewer:
        for kind in types:
            _VIEWERS[kind] = function
        return function

    return register


def views_of(kinds: Iterable[str], value: Any) -> list[View]:
    """The views of a value, by the first of its socket types' ids that has a viewer; none if there is none."""
    found = next((_VIEWERS[kind] for kind in kinds if kind in _VIEWERS), None)
    return list(found(value)) if found else []
