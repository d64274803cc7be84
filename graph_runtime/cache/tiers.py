"""The cache: results by key in memory (device, host) and on disk, and what else a run leaves for the next."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Literal

from .. import codec
from .files import FileDigests
from .memory import MemoryTier
from .store import Store

Tier = Literal["memory", "disk"]

GIB: Final = 2**30
WRITE_SECONDS: Final = 0.005
WRITE_BYTES_PER_SECOND: Final = 400e6
"""What storing an entry costs, roughly: what can be made again faster than that is not worth a file."""


class Cache:
    """Results by key: the device's memory, then the host's, then the disk.

    A value is the tuple of a node's outputs. It is handed out as it is: whoever gets it must not change it.
    Any thread may use it.

    Args:
        memory: Budget of host memory in bytes.
        device: Budget of device memory in bytes.
        store: The disk tier, or None.
        write_seconds: Results that took less than this (and the time to write them) are not put on disk.

    Attributes:
        files: The digests of input and model files.
        store: The disk tier, or None.
    """

    def __init__(
        self,
        *,
        memory: int = 4 * GIB,
        device: int = 2 * GIB,
        store: Store | None = None,
        write_seconds: float = WRITE_SECONDS,
    ) -> None:
        self.store = store
        self.files = FileDigests(store)
        self._memory = MemoryTier(memory, device)
        self._write_seconds = write_seconds
        self._digests: dict[str, tuple[str | None, ...]] = {}
        self._pins: dict[str, int] = {}
        self._records: dict[str, Mapping[str, Any]] = {}
        self._lock = threading.RLock()

    def lookup(self, key: str) -> Tier | None:
        """Where the result of a key is, without reading it."""
        with self._lock:
            if key in self._memory:
                return "memory"
        return "disk" if self.store is not None and key in self.store else None

    def get(self, key: str) -> tuple[Any, ...] | None:
        """The result of a key, read and verified if it is on disk, or None."""
        with self._lock:
            if key in self._memory:
                return self._memory.get(key)
        found = self.store.read(key) if self.store is not None else None
        if found is None:
            return None
        with self._lock:
            self._memory.put(key, found.value, found.seconds, self._pins)
        return found.value

    def put(
        self,
        key: str,
        value: tuple[Any, ...],
        seconds: float,
        *,
        digests: tuple[str | None, ...] | None = None,
        keep: bool = False,
        storable: bool = True,
    ) -> None:
        """Keep a result.

        Args:
            key: Its key.
            value: One value per output.
            seconds: What it cost to make.
            digests: Of each output, where consumers are keyed by value.
            keep: Put it on disk however cheap it was.
            storable: False for handles: memory only.
        """
        with self._lock:
            self._memory.put(key, value, seconds, self._pins)
            if digests is not None:
                self._digests[key] = digests
        if self.store is None or not storable:
            return
        cheap = seconds <= self._write_seconds + codec.nbytes(value) / WRITE_BYTES_PER_SECOND
        if (keep or digests is not None or not cheap) and key not in self.store:
            self.store.write(key, value, seconds, digests, self._pins)

    def digests(self, key: str) -> tuple[str | None, ...] | None:
        """The digest of each output of a by-value node's result, known even where the result itself is gone."""
        known = self._digests.get(key)
        if known is None and self.store is not None:
            known = self.store.digests(key)
        return known

    def cost(self, key: str) -> tuple[float, int] | None:
        """Seconds that the result under a key took to make, and its bytes; None if it is in no tier."""
        with self._lock:
            if key in self._memory:
                return self._memory.seconds(key), self._memory.nbytes(key)
        return self.store.cost(key) if self.store is not None else None

    @contextmanager
    def pinned(self, keys: Collection[str]) -> Iterator[None]:
        """Keep these entries in memory meanwhile, budgets or not."""
        with self._lock:
            for key in keys:
                self._pins[key] = self._pins.get(key, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                for key in keys:
                    self._pins[key] -= 1
                    if not self._pins[key]:
                        del self._pins[key]

    def last_run(self, workflow: str) -> Mapping[str, Any] | None:
        """What was recorded of the last run of a workflow; see `history`."""
        known = self._records.get(workflow)
        return self.store.last_run(workflow) if known is None and self.store is not None else known

    def record_run(self, workflow: str, record: Mapping[str, Any]) -> None:
        """Record a run for the next `plan` to compare with, and let the store write what it still holds back."""
        self._records[workflow] = record
        if self.store is not None:
            self.store.record_run(workflow, record)
            self.store.flush()

    def take_warnings(self) -> list[str]:
        """What went wrong with the store since the last call, for the user."""
        return self.store.take_warnings() if self.store is not None else []

    def clear_memory(self) -> None:
        """Forget what is in memory; the disk stays."""
        with self._lock:
            self._memory.clear()
            self._digests.clear()

    def stats(self) -> dict[str, int]:
        """Entries and bytes in memory."""
        with self._lock:
            host, device = self._memory.used
            return {"entries": len(self._memory), "host_bytes": host, "device_bytes": device}
