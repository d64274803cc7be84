"""Numbers written as text: lists with commas, and items of a batch with ranges."""

from __future__ import annotations

import math
import re

from ..errors import GlidewireError

_ITEM = re.compile(r"(?P<first>-?\d{1,6})(?:\s*-\s*(?P<last>\d{1,6}))?")


def items_of(text: str) -> list[int]:
    """The items that "0, 2-4, -1" names, as they are written.

    Raises:
        GlidewireError: A part that cannot be read, or no item.
    """
    found: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _ITEM.fullmatch(part)
        if match is None:
            raise GlidewireError(
                f"{part[:80]!r} names no items of a batch", expected='such as "0, 2-4, -1"', got=text[:80]
            )
        first = int(match["first"])
        found += range(first, int(match["last"]) + 1) if match["last"] else [first]
    if not found:
        raise GlidewireError(
            "no item of the batch is named", expected='such as "0, 2-4, -1"', got=text[:80] or "nothing"
        )
    return found


def indices_of(text: str, count: int) -> list[int]:
    """The items that a text names of a batch of `count`, counted from 0.

    Raises:
        GlidewireError: As `items_of`, or an item that is not there.
    """
    found = items_of(text)
    outside = [index for index in found if not -count <= index < count]
    if outside:
        raise GlidewireError(
            f"the batch has no item {outside[0]}", expected=f"0 to {count - 1}, or -{count} to -1", got=text[:80]
        )
    return [index % count for index in found]


def numbers_of(text: str) -> list[float]:
    """The numbers of a text, with commas, semicolons or white space between.

    Raises:
        GlidewireError: Something is no finite number, or there is none.
    """
    words = re.split(r"[,;\s]+", text.strip())
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise GlidewireError("the list holds something else than numbers", expected='"1, 2.5, 4"', got=repr(text[:80]))
    return numbers


def whole_numbers_of(text: str) -> list[int]:
    """The whole numbers of a text; raises GlidewireError as `numbers_of`, and for numbers that are not whole."""
    found = numbers_of(text)
    if any(number != int(number) for number in found):
        raise GlidewireError("the list holds numbers that are not whole", expected='"4, 8, 12"', got=repr(text[:80]))
    return [int(number) for number in found]
