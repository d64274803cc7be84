"""How people write emphasis into a prompt, "a (red:1.3) cat": two readings of the same brackets, and escapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

NESTING_WEIGHT = 1.1
"""What one pair of round brackets without a number multiplies by."""


class Emphasis(NamedTuple):
    """A stretch of a prompt, without its brackets and escapes, and the weight of its tokens."""

    text: str
    weight: float


# --- ComfyUI ----------------------------------------------------------------------------------------------------------

_COMFY_PIECE = re.compile(r"\\[()]|.", re.DOTALL)


def parse_comfy(prompt: str) -> tuple[Emphasis, ...]:
    r"""Emphasis as ComfyUI reads it: (x) is x1.1 and nests, (x:1.3) replaces what the brackets around it gave.

    The number stands behind the last colon of its bracket, in any spelling of a float; a bracket whose text starts
    with its only colon has none. \( and \) are literal brackets; a bracket that does not close is text; [x] means
    nothing. A closing bracket too many is text, and takes the next opening one as its partner.

    Args:
        prompt: Any text.

    Returns:
        Non-empty stretches in their order; weights may be 0, negative or not finite, as they were written.

    Source: the behaviour of ComfyUI 0.3.64.
    """
    found: list[Emphasis] = []
    waiting = [(_COMFY_PIECE.findall(prompt), 1.0, False)]
    # A stack of our own: people paste prompts that nest deeper than Python recurses.
    while waiting:
        pieces, weight, plain = waiting.pop()
        if plain:
            found.append(Emphasis("".join(piece[-1] for piece in pieces), weight))
            continue
        groups = []
        for group in _top_level_groups(pieces):
            bracketed = len(group) > 1 and group[0] == "(" and group[-1] == ")"
            inner = _comfy_bracket(group[1:-1], weight) if bracketed else (group, weight)
            groups.append((*inner, not bracketed))
        waiting.extend(reversed(groups))
    return tuple(found)


def _top_level_groups(pieces: list[str]) -> list[list[str]]:
    """Cut in front of every bracket that opens at depth 0 and behind every one that closes to it."""
    cuts, depth = [0], 0
    for index, piece in enumerate(pieces):
        if piece == "(":
            cuts += [index] if depth == 0 else []
            depth += 1
        elif piece == ")":
            depth -= 1
            cuts += [index + 1] if depth == 0 else []
    cuts.append(len(pieces))
    return [pieces[start:end] for start, end in pairwise(cuts) if start < end]


def _comfy_bracket(inner: list[str], outer_weight: float) -> tuple[list[str], float]:
    """The text and the weight of what stands between two brackets."""
    colon = next((index for index in range(len(inner) - 1, 0, -1) if inner[index] == ":"), 0)
    if colon:
        try:
            return inner[:colon], float("".join(inner[colon + 1 :]))
        except ValueError:
            pass  # "(a:b)" is a text with a colon
    return inner, outer_weight * NESTING_WEIGHT


def escape_comfy(text: str) -> str:
    """The prompt that `parse_comfy` reads as this text with weight 1."""
    return re.sub(r"[()]", r"\\\g<0>", text)


# --- AUTOMATIC1111 ----------------------------------------------------------------------------------------------------

_A1111_PIECE = re.compile(
    r"\\(?P<escaped>[()\[\]\\]?)"
    r"|:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))\)"
    r"|(?P<bracket>[()\[\]])"
    r"|(?P<text>[^\\()\[\]:]+|:)"
)


def parse_a1111(prompt: str) -> tuple[Emphasis, ...]:
    r"""Emphasis as AUTOMATIC1111 reads it: (x) is x1.1, [x] is /1.1, (x:1.3) is x1.3; all of them multiply.

    Brackets that do not close reach to the end. A backslash makes the bracket or the backslash behind it text, and
    vanishes in front of anything else. Neighbours of equal weight are joined. A number is decimal, without blanks.

    Args:
        prompt: Any text. BREAK is a word like others.

    Returns:
        Stretches in their order; an empty prompt is one empty stretch.

    Source: the behaviour of AUTOMATIC1111's stable-diffusion-webui.
    """
    texts: list[str] = []
    weights: list[float] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def close(bracket: str, factor: float) -> None:
        start = opened[bracket].pop()
        weights[start:] = [weight * factor for weight in weights[start:]]

    for match in _A1111_PIECE.finditer(prompt):
        escaped, number, bracket = match["escaped"], match["number"], match["bracket"]
        if bracket in opened:
            opened[bracket].append(len(texts))
        elif number is not None and opened["("]:
            close("(", float(number))
        elif bracket == ")" and opened["("]:
            close("(", NESTING_WEIGHT)
        elif bracket == "]" and opened["["]:
            close("[", 1 / NESTING_WEIGHT)
        else:
            texts.append(match[0] if escaped is None else escaped)
            weights.append(1.0)
    for bracket, factor in (("(", NESTING_WEIGHT), ("[", 1 / NESTING_WEIGHT)):
        while opened[bracket]:
            close(bracket, factor)
    return _joined([Emphasis(*pair) for pair in zip(texts, weights, strict=True)]) or (Emphasis("", 1.0),)


def _joined(stretches: list[Emphasis]) -> tuple[Emphasis, ...]:
    """Neighbours of equal weight as one."""
    runs: list[tuple[list[str], float]] = []
    for text, weight in stretches:
        if runs and runs[-1][1] == weight:
            runs[-1][0].append(text)
        else:
            runs.append(([text], weight))
    return tuple(Emphasis("".join(texts), weight) for texts, weight in runs)


def escape_a1111(text: str) -> str:
    """The prompt that `parse_a1111` reads as this text with weight 1."""
    return re.sub(r"[()\[\]\\]", r"\\\g<0>", text)


# --- by name ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Syntax:
    """A way to read and to escape emphasis."""

    parse: Callable[[str], tuple[Emphasis, ...]]
    escape: Callable[[str], str]


SYNTAXES: Mapping[str, Syntax] = MappingProxyType(
    {"comfy": Syntax(parse_comfy, escape_comfy), "a1111": Syntax(parse_a1111, escape_a1111)}
)
"""The readings by the name of the program that people know them from."""


def without_silenced(stretches: tuple[Emphasis, ...]) -> tuple[Emphasis, ...]:
    """Leave out what has weight 0, so that the text encoder never sees it.

    A weight of 0 on embeddings or attention does not delete a word: the words behind it have attended to it.
    """
    return tuple(stretch for stretch in stretches if stretch.weight != 0)
