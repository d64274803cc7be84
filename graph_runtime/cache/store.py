"""The disk tier: safetensors objects and an sqlite index; damaged entries are made again, never handed out."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from ...errors import GlidewireError
from .. import codec
from .entries import Damaged, Entries, Foreign, Row, seal
from .index import SCHEMA, Index
from .objects import Objects

T = TypeVar("T")

INLINE_BYTES: Final = 4096
"""Results without tensors up to this size live in the index alone."""
_PENDING: Final = 256
_RUNS_KEPT: Final = 500


@dataclass(frozen=True)
class Found:
    """A result read from disk, and what it cost to make in seconds."""

    value: tuple[Any, ...]
    seconds: float


class Store:
    """Results on disk under their keys, within a budget of bytes; several processes may share one.

    Nothing raises for what happens to a disk in the middle of a run: where it is full or read-only or a file is
    damaged, the store forgets or refuses entries, and says so once in `take_warnings`.

    Args:
        folder: Where it is; made if need be.
        budget: Bytes; beyond it the entries worth least are removed.
        read_only: Never write. A folder that cannot be written is treated so by itself.
        durable: Survive power loss, not only kills: wait for the disk at each write.

    Raises:
        GlidewireError: the folder cannot be made or is no folder, or another version wrote it.
    """

    def __init__(
        self, folder: Path, *, budget: int = 20 * 2**30, read_only: bool = False, durable: bool = False
    ) -> None:
        self.folder, self.budget, self.read_only = folder / f"v{SCHEMA}", budget, read_only
        self._objects = Objects(self.folder / "objects", durable)
        self._warnings: deque[str] = deque()
        self._warned: set[str] = set()
        self._refuses = False
        self._pending: dict[str, Row] = {}
        self._touched: dict[str, int] = {}
        self._bad: set[str] = set()
        self._lock = threading.Lock()
        self._index, damage = self._open()
        self._entries = Entries(self._index, self._objects)
        if damage is not None:
            count = self._attempt(lambda: self._entries.adopt(verify=False)) or 0
            self._warn(f"the cache's index was damaged ({damage}); it was made again from {count} stored results")
        self._used = self._totals()[1]

    # Reading

    def __contains__(self, key: str) -> bool:
        row = self._row(key)
        return row is not None and self._entries.present(row)

    def read(self, key: str) -> Found | None:
        """The result under a key, verified byte for byte, or None; what is damaged is removed and reported.

        A sound entry of a kind that only another version knows is left where it is, and is None as well.
        """
        try:
            found = self._sound(key, lambda row: Found(self._entries.value(row), row.cost))
        except Foreign as problem:
            self._warn(f"a stored result is of another version and is made again ({problem})")
            self._bad.add(key)
            return None
        if found is not None:
            with self._lock:
                self._touched[key] = self._touched.get(key, 0) + 1
        return found

    def _sound(self, key: str, look: Callable[[Row], T]) -> T | None:
        """What `look` says of the row of a key; None where there is no entry, or a damaged one, which is removed."""
        row = self._row(key)
        while row is not None:
            try:
                return look(row)
            except Damaged as problem:
                if not self._was_removed(key, row):
                    self._forget(key, row.digest, problem)
                    return None
                row = self._row(key)
        return None

    def digests(self, key: str) -> tuple[str | None, ...] | None:
        """The digest of each output of a by-value node's result."""
        row = self._row(key)
        try:
            return tuple(json.loads(row.value_digests)) if row is not None and row.value_digests else None
        except (ValueError, TypeError):
            return None

    def cost(self, key: str) -> tuple[float, int] | None:
        """Seconds and bytes of an entry."""
        row = self._row(key)
        return None if row is None else (row.cost, row.nbytes)

    # Writing

    def write(
        self,
        key: str,
        value: tuple[Any, ...],
        seconds: float,
        digests: tuple[str | None, ...] | None = None,
        pinned: Collection[str] = (),
    ) -> None:
        """Store a result, unless it holds a handle.

        Args:
            key: Its key.
            value: One value per output.
            seconds: What it cost to make.
            digests: Of each output, where consumers are keyed by value.
            pinned: Keys of entries that are not removed to make room.
        """
        if self.read_only or self._refuses:
            return
        try:
            tensors, structure = codec.encode(value)
        except codec.NotStorable:
            return
        outputs = codec.canonical(structure)
        named = None if digests is None else json.dumps(digests)
        self._bad.discard(key)
        if not tensors and len(outputs) <= INLINE_BYTES:
            with self._lock:
                self._pending[key] = Row("", outputs, named, float(seconds), len(outputs))
            self._used += len(outputs)
            if len(self._pending) >= _PENDING:
                self._write_pending()
        else:
            self._used += self._attempt(lambda: self._entries.put_object(key, tensors, outputs, named, seconds)) or 0
        if self._used > self.budget and not self._refuses:
            self._write_pending()
            self._prune(int(self.budget * 0.9), pinned)

    def flush(self) -> None:
        """Write what is held back: small results, and which entries were used; a full disk is tried again after."""
        self._write_pending()
        with self._lock:
            touched, self._touched = self._touched, {}
        if touched and not self.read_only and not self._refuses:
            self._attempt(lambda: self._entries.touch(touched))
        self._refuses = False
        self._warned.clear()

    def file_digest(self, identity: str) -> str | None:
        """The remembered digest of a file in exactly this state."""
        row = self._ask(lambda: self._index.one("SELECT digest, seal FROM files WHERE identity = ?", identity))
        return row[0] if row is not None and row[1] == seal(identity, row[0]) else None

    def remember_file(self, identity: str, digest: str) -> None:
        """Remember the digest of a file."""
        if not self.read_only and not self._refuses:
            statement = "INSERT OR REPLACE INTO files VALUES (?, ?, ?)"
            self._attempt(lambda: self._index.execute(statement, identity, digest, seal(identity, digest)))

    def last_run(self, workflow: str) -> Mapping[str, Any] | None:
        """What was recorded of a workflow's last run."""
        row = self._ask(lambda: self._index.one("SELECT record FROM runs WHERE workflow = ?", workflow))
        try:
            return None if row is None else json.loads(zlib.decompress(row[0]))
        except (zlib.error, ValueError):
            return None

    def record_run(self, workflow: str, record: Mapping[str, Any]) -> None:
        """Record a workflow's last run in one row."""
        if self.read_only or self._refuses:
            return
        blob = zlib.compress(json.dumps(record, separators=(",", ":")).encode(), 1)

        def work() -> None:
            with self._index.writing():
                self._index.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", workflow, blob, time.time())
                self._index.execute(
                    "DELETE FROM runs WHERE workflow NOT IN (SELECT workflow FROM runs ORDER BY finished DESC LIMIT ?)",
                    _RUNS_KEPT,
                )

        self._attempt(work)

    # Keeping house

    def stats(self) -> dict[str, int | str]:
        """Where it is, entries, bytes, budget, and how often entries were found."""
        self.flush()
        entries, size, hits = self._totals()
        return {"folder": str(self.folder), "entries": entries, "bytes": size, "budget": self.budget, "hits": hits}

    def verify(self) -> dict[str, int]:
        """Read every entry; remove the damaged, take back good objects whose row was lost, sweep what kills left.

        Returns: How many entries were "good", "damaged" and "adopted", and how many temporary files "swept".

        Raises:
            GlidewireError: the store is read-only.
        """
        self._refuse_read_only()
        self.flush()

        def whole(row: Row) -> bool:
            self._entries.verify(row)
            return True

        found = [self._sound(key, whole) is not None for key in self._ask(self._entries.keys) or []]
        adopted = self._attempt(lambda: self._entries.adopt(verify=True)) or 0
        self._used = self._totals()[1]
        good = sum(found)
        return {"good": good, "damaged": len(found) - good, "adopted": adopted, "swept": self._objects.sweep()}

    def prune(self, budget: int) -> int:
        """Remove the entries worth least until `budget` bytes are enough; returns how many were removed.

        Raises:
            GlidewireError: the store is read-only.
        """
        self._refuse_read_only()
        self.flush()
        return self._prune(budget, ())

    def clear(self) -> int:
        """Remove every entry and forget every run; returns how many entries were removed.

        Raises:
            GlidewireError: the store is read-only.
        """
        count = self.prune(-1)
        for digest in list(self._objects):
            self._objects.remove(digest)
        self._attempt(lambda: self._index.execute("DELETE FROM runs"))
        return count

    def take_warnings(self) -> list[str]:
        """What went wrong since the last call, for the user."""
        taken = list(self._warnings)
        self._warnings.clear()
        return taken

    def close(self) -> None:
        """Write what is held back and close the index."""
        self.flush()
        self._index.close()

    # Inside

    def _open(self) -> tuple[Index, sqlite3.Error | None]:
        """The index, and what was wrong with the one before if that had to be put aside."""
        if not self.read_only:
            self._make_folder()
        path = self.folder / "index.sqlite"
        try:
            return Index(path, self.read_only), None
        except sqlite3.OperationalError as problem:
            return self._open_read_only(path, problem), None
        except sqlite3.DatabaseError as problem:
            if self.read_only:
                return self._open_read_only(path, problem), None
            for end in ("", "-wal", "-shm"):
                damaged = path.with_name(path.name + end)
                if damaged.exists():
                    damaged.replace(path.with_name(f"damaged-{time.time_ns()}-{damaged.name}"))
            return Index(path, read_only=False), problem

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            if not self.folder.is_dir():
                raise GlidewireError(
                    f"cannot make the cache folder {self.folder}",
                    expected="a folder that can be written",
                    got=problem.strerror or str(problem),
                    hint="Give another cache folder, or run without one.",
                ) from problem

    def _open_read_only(self, path: Path, problem: sqlite3.Error) -> Index:
        try:
            index = Index(path, read_only=True)
        except sqlite3.Error:
            raise GlidewireError(
                f"cannot open the cache in {self.folder}",
                expected="a folder that can be written, or a cache that can be read",
                got=str(problem),
                hint="Give another cache folder, or run without one.",
            ) from problem
        self._warn(f"the cache in {self.folder} can be read but not written ({problem})")
        self.read_only = True
        return index

    def _row(self, key: str) -> Row | None:
        if key in self._bad:
            return None
        try:
            return self._pending.get(key) or self._ask(lambda: self._entries.row(key))
        except Damaged as problem:
            self._forget(key, None, problem)
            return None

    def _write_pending(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, {}

        def work() -> None:
            with self._index.writing():
                for key, row in pending.items():
                    self._entries.put(key, row)

        if pending and not self.read_only and not self._refuses:
            self._attempt(work)

    def _prune(self, budget: int, pinned: Collection[str]) -> int:
        removed = self._attempt(lambda: self._entries.prune(budget, pinned)) or 0
        self._used = self._totals()[1]
        return removed

    def _was_removed(self, key: str, row: Row) -> bool:
        """Whether another process removed or replaced an entry while it was being read: that is no damage."""
        if self.read_only:
            return self._row(key) != row
        return self._attempt(lambda: self._entries.differs(key, row)) is True

    def _forget(self, key: str, digest: str | None, damage: Damaged) -> None:
        self._warn(f"a stored result was damaged and is made again ({damage})")
        self._pending.pop(key, None)
        self._bad.add(key)
        if not self.read_only:
            self._attempt(lambda: self._entries.remove(key, digest))

    def _totals(self) -> tuple[int, int, int]:
        return self._ask(self._entries.totals) or (0, 0, 0)

    def _ask(self, question: Callable[[], T]) -> T | None:
        """Read the index; what cannot be read is as good as not there."""
        try:
            return question()
        except sqlite3.Error as problem:
            self._warn(f"the cache's index cannot be read ({problem}); the run goes on without it")
            return None

    def _attempt(self, work: Callable[[], T]) -> T | None:
        """Do what writes; where the disk refuses, say so once and write no more in this run."""
        try:
            return work()
        except (OSError, sqlite3.Error) as problem:
            reason = getattr(problem, "strerror", None) or str(problem)
            if "locked" in reason or "busy" in reason:
                self._warn("another process kept the cache busy; a result was not stored")
            else:
                self._refuses = True
                self._warn(f"the cache on disk takes no more results ({reason}); the run goes on without it")
            return None

    def _refuse_read_only(self) -> None:
        if self.read_only:
            raise GlidewireError(
                f"the cache in {self.folder} is read-only",
                expected="a cache that can be written",
                hint="Check who owns the folder.",
            )

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self._warnings.append(message)
