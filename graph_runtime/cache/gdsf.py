"""Greedy-Dual-Size-Frequency: which entry is worth least, weighing recompute cost and hits against size."""

from __future__ import annotations

import heapq
from collections.abc import Collection


class Gdsf:
    """Keys in order of worth L + hits * cost / size, where L ages: it is the worth of the last one evicted.

    Source: Cherkasova 1998, "Improving WWW proxies performance with Greedy-Dual-Size-Frequency caching policy".
    """

    def __init__(self) -> None:
        self._age = 0.0
        self._hits: dict[str, int] = {}
        self._worth: dict[str, float] = {}
        self._gain: dict[str, float] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._count = 0

    def __contains__(self, key: str) -> bool:
        return key in self._worth

    def __len__(self) -> int:
        return len(self._worth)

    def add(self, key: str, cost: float, size: int) -> None:
        """Take a key in, once used, with its recompute cost (seconds) and its size (bytes)."""
        self._gain[key] = worth(1, cost, size)
        self._hits[key] = 0
        self.hit(key)

    def hit(self, key: str) -> None:
        """Count one more use."""
        self._hits[key] += 1
        self._count += 1
        self._worth[key] = self._age + self._hits[key] * self._gain[key]
        heapq.heappush(self._heap, (self._worth[key], self._count, key))
        if len(self._heap) > 4 * len(self._worth) + 64:
            self._heap = [(value, index, name) for index, (name, value) in enumerate(self._worth.items())]
            self._count = len(self._heap)
            heapq.heapify(self._heap)

    def remove(self, key: str) -> None:
        """Forget a key (its entries in the heap go stale and are passed over)."""
        for table in (self._hits, self._worth, self._gain):
            table.pop(key, None)

    def evict(self, keep: Collection[str] = ()) -> str | None:
        """Remove and return the key worth least that is not in `keep`, or None if there is none."""
        held: list[tuple[float, int, str]] = []
        victim = None
        while self._heap and victim is None:
            entry = heapq.heappop(self._heap)
            value, _, key = entry
            if self._worth.get(key) != value:
                continue
            if key in keep:
                held.append(entry)
            else:
                self._age, victim = value, key
        for entry in held:
            heapq.heappush(self._heap, entry)
        if victim is not None:
            self.remove(victim)
        return victim


def worth(hits: int, cost: float, size: int) -> float:
    """hits * cost / size, seconds a byte; a cost or size of nothing counts as very little."""
    return hits * max(cost, 1e-6) / max(size, 1)
