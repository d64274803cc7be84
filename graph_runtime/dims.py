"""The grammar of dims, the shapes that sockets state: `"batch 4 height/8 width/8 @autoencoder"`."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..errors import GlidewireError
from .unify import Axes, Unifier

_NUMBER = re.compile(r"[0-9]{1,18}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXPRESSION = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<operator>[*/+-])(?P<number>[0-9]{1,18}))?")
_GRAMMAR = "a number, a name, name*2, name/8, name+1, name-1, _, ..., ...name or @name"


@dataclass(frozen=True)
class Axis:
    """One axis: `name * scale + offset`; without a name the number `offset`; the name "_" is any number."""

    text: str
    name: str | None
    scale: int | Fraction = 1
    offset: int = 0


@dataclass(frozen=True)
class Pattern:
    """Parsed dims.

    Args:
        text: What was parsed.
        head, tail: The axes before and after the run of axes; without a run all axes are in `head`.
        run: None: there is no run of axes; "": an unnamed one, `...`; else the name in `...name`.
        tags: The names of the tags, in order.
    """

    text: str
    head: tuple[Axis, ...]
    run: str | None
    tail: tuple[Axis, ...]
    tags: tuple[str, ...]

    @property
    def is_free(self) -> bool:
        """Whether it says nothing: `...` and no tag."""
        return self.run == "" and not (self.head or self.tail or self.tags)


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Pattern:
    """Read dims: words separated by whitespace, in the order of the axes.

    `3` is a number; `name` any number, the same wherever the node says `name`; `name*2`, `name/8` (exact), `name+1`
    and `name-1` are numbers derived from it; `_` is any number; `...` any run of axes, `...name` a run that is the
    same wherever the node says it; `@name` is a tag, no axis: a text (which autoencoder, which CLIP) unified like a
    number. Tags of two sockets are compared in their order.

    Raises:
        GlidewireError: a word is none of these, or there are two runs.
    """
    axes: list[Axis] = []
    tags: list[str] = []
    run: str | None = None
    cut = 0
    for word in text.split():
        if word.startswith("..."):
            if run is not None:
                raise GlidewireError(f"dims {text!r} have two runs of axes", expected="at most one ... or ...name")
            run, cut = word[3:], len(axes)
            if run and not _NAME.fullmatch(run):
                raise _bad_word(text, word)
        elif word.startswith("@"):
            if not _NAME.fullmatch(word[1:]):
                raise _bad_word(text, word)
            tags.append(word[1:])
        else:
            axes.append(_axis(text, word))
    if run is None:
        cut = len(axes)
    return Pattern(text, tuple(axes[:cut]), run, tuple(axes[cut:]), tuple(tags))


def _axis(text: str, word: str) -> Axis:
    if _NUMBER.fullmatch(word):
        return Axis(word, None, offset=int(word))
    found = _EXPRESSION.fullmatch(word)
    if not found or (word != "_" and found["name"] == "_"):
        raise _bad_word(text, word)
    number = int(found["number"] or 0)
    match found["operator"]:
        case "*" | "/" if number == 0:
            raise _bad_word(text, word)
        case "*":
            return Axis(word, found["name"], scale=number)
        case "/":
            return Axis(word, found["name"], scale=Fraction(1, number))
        case "+":
            return Axis(word, found["name"], offset=number)
        case "-":
            return Axis(word, found["name"], offset=-number)
    return Axis(word, found["name"])


def _bad_word(text: str, word: str) -> GlidewireError:
    return GlidewireError(f"dims {text!r} cannot be read", expected=_GRAMMAR, got=repr(word))


def bindings(
    dims: str, shape: Sequence[int], known: Mapping[str, int] | None = None
) -> dict[str, int | tuple[int, ...]] | None:
    """What the names in `dims` are in a tensor of that shape, or None where the shape does not fit.

    Args:
        dims: As `parse` reads them; tags are not looked at.
        shape: The size of each axis.
        known: Names whose numbers are already settled (by another tensor of the same node, say).

    Returns:
        Each name's number, with `known` among them; each named run's numbers under "...name". A name that stands
        in no axis of its own (`height/8`) is solved for.

    Raises:
        GlidewireError: the dims cannot be read.
    """
    unifier = Unifier()
    scope = {name: unifier.variable(name, number) for name, number in (known or {}).items()}
    stated, clashes = unifier.instantiate(parse(dims), scope)
    if clashes or unifier.match(stated, unifier.constants(shape)):
        return None
    found: dict[str, int | tuple[int, ...]] = {}
    for name, variable in scope.items():
        if name.startswith("..."):
            found[name] = tuple(int(size) for size in unifier.values(Axes((), variable)) if size is not None)
        elif _NAME.fullmatch(name) and (size := unifier.value(variable)) is not None:
            found[name] = int(size)
    return found


def shape_fits(dims: str, shape: Sequence[int], known: Mapping[str, int] | None = None) -> bool:
    """Whether a tensor of that shape fits the dims; see `bindings`."""
    return bindings(dims, shape, known) is not None
