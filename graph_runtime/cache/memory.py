"""The memory tiers: results on the device, and in host memory once the device's budget is spent."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch

from .. import codec
from .gdsf import Gdsf


@dataclass(slots=True)
class _Entry:
    value: Any
    seconds: float
    nbytes: int
    device: torch.device | None  # where its tensors belong, if that is not the host
    on_device: bool


class MemoryTier:
    """Results by key within a budget of bytes, of which those on an accelerator have a budget of their own.

    Values that leave the device go to host memory and come back when they are asked for; what holds handles
    (networks) cannot be moved and is dropped instead.

    Args:
        budget: Bytes of host memory.
        device_budget: Bytes on the device.
    """

    def __init__(self, budget: int, device_budget: int) -> None:
        self.budget, self.device_budget = budget, device_budget
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._entries: dict[str, _Entry] = {}
        self._used = {False: 0, True: 0}
        self._order = {False: Gdsf(), True: Gdsf()}

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def used(self) -> tuple[int, int]:
        """Bytes held in host memory and on the device."""
        return self._used[False], self._used[True]

    def seconds(self, key: str) -> float:
        """What the result cost to make."""
        return self._entries[key].seconds

    def nbytes(self, key: str) -> int:
        """The size of the result."""
        return self._entries[key].nbytes

    def get(self, key: str) -> Any:
        """The value under a key that is here, on its device; counts as a use."""
        entry = self._entries[key]
        self._order[entry.on_device].hit(key)
        if entry.device is not None and not entry.on_device:
            device = entry.device
            return codec.map_tensors(entry.value, lambda tensor: tensor.to(device))
        return entry.value

    def put(self, key: str, value: Any, seconds: float, pinned: Collection[str]) -> bool:
        """Keep a value if it fits, at the cost of those worth least; False if it does not fit."""
        self.drop(key)
        size, device = codec.nbytes(value), _device_of(value)
        on_device = device is not None
        if size > (self.device_budget if on_device else self.budget):
            return False
        self._admit(key, _Entry(value, seconds, size, device, on_device))
        while self._used[True] > self.device_budget and self._demote(pinned):
            pass
        while self._used[False] > self.budget and self._evict(pinned):
            pass
        return key in self._entries

    def drop(self, key: str) -> None:
        """Forget a key."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._used[entry.on_device] -= entry.nbytes
            self._order[entry.on_device].remove(key)

    def _admit(self, key: str, entry: _Entry) -> None:
        self._entries[key] = entry
        self._used[entry.on_device] += entry.nbytes
        self._order[entry.on_device].add(key, entry.seconds, entry.nbytes)

    def _demote(self, pinned: Collection[str]) -> bool:
        """Move the device's entry worth least to the host."""
        key = self._order[True].evict(pinned)
        if key is None:
            return False
        entry = self._entries.pop(key)
        self._used[True] -= entry.nbytes
        moved = codec.map_tensors(entry.value, lambda tensor: tensor.cpu())
        if _device_of(moved) is None and entry.nbytes <= self.budget:
            self._admit(key, _Entry(moved, entry.seconds, codec.nbytes(moved), entry.device, False))
        return True

    def _evict(self, pinned: Collection[str]) -> bool:
        key = self._order[False].evict(pinned)
        if key is None:
            return False
        self._used[False] -= self._entries.pop(key).nbytes
        return True


def _device_of(value: Any) -> torch.device | None:
    """The accelerator that a value's tensors (or a handle's `device`) are on, or None for the host."""
    found: list[torch.device] = []

    def look(item: Any) -> None:
        place = getattr(item, "device", None)
        if isinstance(place, torch.device) and place.type not in ("cpu", "meta"):
            found.append(place)

    def walk(tensor: torch.Tensor) -> torch.Tensor:
        look(tensor)
        return tensor

    codec.map_tensors(value, walk)
    for item in value if isinstance(value, (list, tuple)) else (value,):
        look(item)
    return found[0] if found else None
