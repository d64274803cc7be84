"""List semantics: a node that receives lists where it takes single values runs once for each item."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any


def per_item(values: Mapping[str, Any], listed: Collection[str]) -> Iterator[dict[str, Any]]:
    """The inputs of each call: the lists named in `listed` item by item, everything else as it is.

    A shorter list repeats its last item; an empty list means no call at all.
    """
    lengths = [len(values[name]) for name in listed if name in values and values[name] is not None]
    count = 0 if 0 in lengths else max(lengths, default=1)
    for index in range(count):
        yield {
            name: value[min(index, len(value) - 1)] if name in listed and value is not None else value
            for name, value in values.items()
        }
