"""Widgets: how a literal input is shown and what values it admits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Widget:
    """What every widget has.

    Args:
        cosmetic: The value changes no result (a title, a file name to save under): it stays out of cache keys.
        label: The name shown, where the input's own name reads badly.
    """

    cosmetic: bool = False
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class Number(Widget):
    """A number in [min, max], moving by `step`."""

    min: float | None = None
    max: float | None = None
    step: float | None = None


@dataclass(frozen=True, kw_only=True)
class Slider(Number):
    """A number shown as a slider."""


@dataclass(frozen=True, kw_only=True)
class Seed(Widget):
    """A seed in [0, 2^53 - 1] (exact in the editor's JavaScript), with the editor's control_after_generate."""

    min: int = 0
    max: int = 2**53 - 1


@dataclass(frozen=True, kw_only=True)
class Text(Widget):
    """A text, on one line or several."""

    multiline: bool = False


@dataclass(frozen=True, kw_only=True)
class Toggle(Widget):
    """True or false."""

    on: str = "yes"
    off: str = "no"


@dataclass(frozen=True, kw_only=True)
class Choice(Widget):
    """One of `options`, fixed or asked for when needed (the files of a folder, say)."""

    options: Sequence[str] | Callable[[], Sequence[str]] = ()

    def current(self) -> Sequence[str]:
        """The options as they are now."""
        return self.options() if callable(self.options) else self.options


@dataclass(frozen=True, kw_only=True)
class File(Widget):
    """A file inside one of the user's folders; its content digest, not its name, enters cache keys.

    Args:
        folder: Which of the user's folders it is looked up in: "models" or "input".
        suffixes: The endings that are offered, with the dot.
        upload: The editor may upload into this folder.
    """

    folder: str = "input"
    suffixes: tuple[str, ...] = ()
    upload: bool = False


@dataclass(frozen=True, kw_only=True)
class Wired(Widget):
    """No widget: the input is always a socket, although its type (INT, FLOAT, STRING ...) could have a widget."""
