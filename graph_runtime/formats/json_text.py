"""JSON as strangers write it: read within limits, with repeated keys noticed, and nothing but our own errors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import GlidewireError

MAX_BYTES = 64 * 2**20
"""The longest document that is read: a workflow of 10,000 nodes has about 5 MB."""

MAX_DEPTH = 100
"""The deepest nesting that is read; workflows need about ten levels."""


class RepeatedKeys(dict[str, Any]):
    """A JSON object in which a key stood more than once; the last one won."""

    repeated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Json:
    """A JSON value, and the keys that stood twice in one of its objects."""

    value: Any
    repeated: tuple[str, ...] = ()


def parse(text: str | bytes, name: str = "the document") -> Json:
    """Read one JSON value.

    NaN and infinities (which some programs write) become null, as the editor reads them.

    Args:
        text: The document; bytes are UTF-8, with or without a byte order mark.
        name: What to call it in errors.

    Raises:
        GlidewireError: not UTF-8, not JSON, empty, too long, nested too deeply, a number too long, broken characters.
    """
    if len(text) > MAX_BYTES:
        raise GlidewireError(f"{name} is too long", expected=f"at most {MAX_BYTES} bytes of JSON", got=len(text))
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            raise GlidewireError(
                f"{name} is neither text nor a picture", expected="JSON in UTF-8, PNG or WebP", got=str(problem)
            ) from None
    if not text.strip():
        raise GlidewireError(f"{name} is empty", expected="a workflow in JSON", got="nothing")
    repeated: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        marked = RepeatedKeys(made)
        seen: set[str] = set()
        marked.repeated = tuple(key for key, _ in pairs if key in seen or seen.add(key))
        repeated.extend(marked.repeated)
        return marked

    try:
        value = json.loads(text, object_pairs_hook=collect, parse_constant=lambda _: None, parse_float=_finite)
    except json.JSONDecodeError as problem:
        raise GlidewireError(
            f"{name} is not JSON", expected="a workflow in JSON, a PNG or a WebP", got=f"{problem}"
        ) from None
    except RecursionError:
        raise _too_deep(name) from None
    except ValueError as problem:  # a whole number longer than Python converts
        raise GlidewireError(f"{name} holds a number that is too long", got=str(problem)) from None
    vet(value, name)
    return Json(value, tuple(repeated))


def vet(value: Any, name: str = "the document") -> None:
    """Refuse what later stages could stumble over: deep nesting, halves of characters, keys that are no text.

    Raises:
        GlidewireError: one of these was found.
    """
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        current, depth = waiting.pop()
        if isinstance(current, str):
            _whole(current, name)
            continue
        if not isinstance(current, Mapping | list | tuple):
            continue
        if depth >= MAX_DEPTH:
            raise _too_deep(name)
        if isinstance(current, Mapping):
            for key in current:
                if not isinstance(key, str):
                    raise GlidewireError(f"{name} has a key that is no text", expected="text keys", got=repr(key)[:80])
                _whole(key, name)
            waiting.extend((child, depth + 1) for child in current.values())
        else:
            waiting.extend((child, depth + 1) for child in current)


def dump(value: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """Write a value as JSON.

    Raises:
        GlidewireError: it holds something that JSON cannot express.
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as problem:
        raise GlidewireError(
            "the workflow holds a value that a file cannot carry",
            expected="texts, finite numbers, true, false, null, lists and objects of these",
            got=str(problem),
        ) from None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _whole(text: str, name: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise GlidewireError(
            f"{name} holds half of a character (an unpaired surrogate)", got=ascii(text[:40])
        ) from None


def _too_deep(name: str) -> GlidewireError:
    return GlidewireError(f"{name} is nested too deeply", expected=f"at most {MAX_DEPTH} levels")
