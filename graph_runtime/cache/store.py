"""The disk tier: safetensors objects and an sqlite index; damaged entries are made again, never handed out."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import zlib
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch

from ...errors import GlidewireError
from .. import codec
from .gdsf import worth
from .index import SCHEMA, Index
from .objects import Objects

INLINE_BYTES: Final = 4096
_PENDING: Final = 256
_RUNS_KEPT: Final = 500
_ADOPTED_SECONDS: Final = 1.0  # what an entry is taken to have cost whose row was lost


@dataclass(frozen=True)
class Found:
    """A result read from disk, and what it cost to make in seconds."""

    value: tuple[Any, ...]
    seconds: float


@dataclass(frozen=True)
class _Row:
    digest: str
    outputs: str | None
    value_digests: str | None
    cost: float
    nbytes: int


class Store:
    """Results on disk under their keys, within a budget of bytes; several processes may share one.

    Nothing here raises for what happens to a disk: a full or read-only disk or a damaged file makes the store
    forget or refuse entries, and says so once in `take_warnings`.

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
        self._refuses = False
        self._pending: dict[str, _Row] = {}
        self._touched: dict[str, int] = {}
        self._bad: set[str] = set()
        self._index = self._open()
        self._used = self._total()

    # Reading

    def __contains__(self, key: str) -> bool:
        row = self._row(key)
        return row is not None and (row.outputs is not None or row.digest in self._objects)

    def read(self, key: str) -> Found | None:
        """The result under a key, verified byte for byte, or None; what is damaged is removed and reported."""
        row = self._row(key)
        if row is None:
            return None
        try:
            found = Found(self._value(row), row.cost)
        except (codec.NotStorable, safetensors.SafetensorError, ValueError, KeyError) as problem:
            self._warn(f"a stored result was damaged and is made again ({problem})")
            self._forget(key, row.digest)
            return None
        self._touched[key] = self._touched.get(key, 0) + 1
        return found

    def digests(self, key: str) -> tuple[str | None, ...] | None:
        """The digests of each output of a by-value node's result."""
        row = self._row(key)
        return tuple(json.loads(row.value_digests)) if row is not None and row.value_digests else None

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
        """Store a result, unless it holds a handle; entries under `pinned` keys are not removed to make room."""
        if self.read_only or self._refuses:
            return
        try:
            tensors, structure = codec.encode(value)
        except codec.NotStorable:
            return
        outputs = codec.canonical(structure)
        named = None if digests is None else json.dumps(digests)
        if not tensors and len(outputs) <= INLINE_BYTES:
            digest = hashlib.sha256(outputs.encode()).hexdigest()
            self._pending[key] = _Row(digest, outputs, named, seconds, len(outputs))
            if len(self._pending) >= _PENDING:
                self.flush()
            return
        metadata = {"format": f"glidewire {SCHEMA}", "key": key, "outputs": outputs, "digests": named or ""}
        data = safetensors.torch.save(tensors, metadata=metadata)
        self._attempt(lambda: self._insert_object(key, data, named, seconds))
        if self._used > self.budget and not self._refuses:
            self.prune(int(self.budget * 0.9), pinned)

    def flush(self) -> None:
        """Write what is held back: small results, and which entries were used; a full disk is tried again after."""
        pending, self._pending = self._pending, {}
        touched, self._touched = self._touched, {}
        if not self.read_only and not self._refuses and (pending or touched):
            self._attempt(lambda: self._write_rows(pending, touched))
        self._refuses = False

    def file_digest(self, identity: str) -> str | None:
        """The remembered digest of a file in exactly this state."""
        row = self._ask("SELECT digest FROM files WHERE identity = ?", identity)
        return None if row is None else row[0]

    def remember_file(self, identity: str, digest: str) -> None:
        """Remember the digest of a file."""
        if not self.read_only:
            self._attempt(lambda: self._index.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", identity, digest))

    def last_run(self, workflow: str) -> Mapping[str, Any] | None:
        """What was recorded of a workflow's last run."""
        row = self._ask("SELECT record FROM runs WHERE workflow = ?", workflow)
        try:
            return None if row is None else json.loads(zlib.decompress(row[0]))
        except (zlib.error, ValueError):
            return None

    def record_run(self, workflow: str, record: Mapping[str, Any]) -> None:
        """Record a workflow's last run in one row."""
        if self.read_only:
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
        """Entries, bytes, budget, hits, and where it is."""
        self.flush()
        entries, size, hits = self._ask(
            "SELECT count(*), coalesce(sum(nbytes), 0), coalesce(sum(hits), 0) FROM actions"
        ) or (0, 0, 0)
        return {
            "folder": str(self.folder),
            "entries": entries,
            "bytes": size,
            "budget": self.budget,
            "hits": hits - entries,
        }

    def verify(self) -> dict[str, int]:
        """Read every entry; remove the damaged, take back good objects whose row was lost, sweep what kills left.

        Returns: How many entries were "good", "damaged" and "adopted", and how many temporary files "swept".
        """
        self.flush()
        self._ensure_writable()
        good = damaged = 0
        for (key,) in self._index.all("SELECT key FROM actions"):
            if self.read(key) is None:
                damaged += 1
            else:
                good += 1
        self._touched.clear()
        adopted = self._adopt(verify=True)
        self._used = self._total()
        return {"good": good, "damaged": damaged, "adopted": adopted, "swept": self._objects.sweep()}

    def prune(self, budget: int, pinned: Collection[str] = ()) -> int:
        """Remove the entries worth least until `budget` bytes are enough; returns how many were removed."""
        self._ensure_writable()
        removed: list[int] = [0]

        def work() -> None:
            with self._index.writing():
                used = self._total()
                for key, digest, nbytes, value in self._index.all(
                    "SELECT key, digest, nbytes, worth FROM actions ORDER BY worth"
                ):
                    if used <= budget:
                        break
                    if key in pinned:
                        continue
                    self._delete(key, digest)
                    self._index.execute("INSERT OR REPLACE INTO facts VALUES ('age', ?)", value)
                    used -= nbytes
                    removed[0] += 1
                self._used = used

        self._attempt(work)
        return removed[0]

    def clear(self) -> int:
        """Remove every entry and forget every run; returns how many entries were removed."""
        self._pending.clear()
        count = self.prune(-1)
        for digest in self._objects:
            self._objects.remove(digest)
        self._attempt(lambda: self._index.execute("DELETE FROM runs"))
        self._refuses = False
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

    def _open(self) -> Index:
        if not self.read_only:
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
        path = self.folder / "index.sqlite"
        try:
            index = Index(path, self.read_only)
            if not self.read_only:
                with index.writing():
                    index.execute("INSERT OR IGNORE INTO facts VALUES ('age', 0)")
            return index
        except sqlite3.OperationalError as problem:
            return self._open_read_only(path, problem)
        except sqlite3.DatabaseError as problem:
            return self._open_anew(path, problem)

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
        if not self.read_only:
            self._warn(f"the cache in {self.folder} can be read but not written ({problem})")
        self.read_only = True
        return index

    def _open_anew(self, path: Path, problem: sqlite3.Error) -> Index:
        """The index is damaged: put it aside, and make another from what the objects say of themselves."""
        if self.read_only:
            return self._open_read_only(path, problem)
        for end in ("", "-wal", "-shm"):
            damaged = path.with_name(path.name + end)
            if damaged.exists():
                damaged.replace(path.with_name(f"damaged-{time.time_ns()}-{damaged.name}"))
        self._index = Index(path, read_only=False)
        count = self._adopt(verify=False)
        self._warn(f"the cache's index was damaged ({problem}); it was made again from {count} stored results")
        return self._index

    def _row(self, key: str) -> _Row | None:
        if key in self._bad:
            return None
        pending = self._pending.get(key)
        if pending is not None:
            return pending
        row = self._ask("SELECT digest, outputs, value_digests, cost, nbytes FROM actions WHERE key = ?", key)
        return None if row is None else _Row(*row)

    def _value(self, row: _Row) -> tuple[Any, ...]:
        """Decode an entry, or raise what `read` takes for damage."""
        if row.outputs is not None:
            if hashlib.sha256(row.outputs.encode()).hexdigest() != row.digest:
                raise ValueError("its digest differs")
            return codec.decode({}, json.loads(row.outputs))
        data = self._objects.read(row.digest)
        if data is None:
            raise ValueError("its file is missing or its digest differs")
        return codec.decode(safetensors.torch.load(data), json.loads(_metadata(data)["outputs"]))

    def _insert_object(self, key: str, data: bytes, named: str | None, seconds: float) -> None:
        digest = self._objects.write(data)
        with self._index.writing():
            known = self._index.one("SELECT digest FROM actions WHERE key = ?", key)
            if known is not None and known[0] in self._objects:
                if known[0] != digest:
                    self._remove_unused(digest)
                return
            if digest not in self._objects:  # removed by another process since; it cannot be now
                self._objects.write(data)
            self._insert(key, _Row(digest, None, named, seconds, len(data)))
        self._bad.discard(key)
        self._used += len(data)

    def _insert(self, key: str, row: _Row, hits: int = 1) -> None:
        value = self._age() + worth(hits, row.cost, row.nbytes)
        self._index.execute(
            "INSERT OR REPLACE INTO actions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(key, row.digest, row.outputs, row.value_digests, row.cost, row.nbytes, hits, value, time.time()),
        )

    def _write_rows(self, pending: Mapping[str, _Row], touched: Mapping[str, int]) -> None:
        with self._index.writing():
            age = self._age()
            for key, row in pending.items():
                self._insert(key, row)
            for key, count in touched.items():
                self._index.execute(
                    "UPDATE actions SET hits = hits + ?1, last_used = ?2, "
                    "worth = ?3 + (hits + ?1) * max(cost, 1e-6) / max(nbytes, 1) WHERE key = ?4",
                    *(count, time.time(), age, key),
                )
        self._used += sum(row.nbytes for row in pending.values())

    def _forget(self, key: str, digest: str) -> None:
        self._pending.pop(key, None)
        self._bad.add(key)
        if not self.read_only:

            def work() -> None:
                with self._index.writing():
                    self._delete(key, digest)
                self._bad.discard(key)

            self._attempt(work)

    def _delete(self, key: str, digest: str) -> None:
        self._index.execute("DELETE FROM actions WHERE key = ? AND digest = ?", key, digest)
        self._remove_unused(digest)

    def _remove_unused(self, digest: str) -> None:
        """Inside a transaction, so that no other process can begin to use the object meanwhile."""
        if self._index.one("SELECT 1 FROM actions WHERE digest = ?", digest) is None:
            self._objects.remove(digest)

    def _adopt(self, verify: bool) -> int:
        """Make rows for objects that have none: a writer was killed in between, or the index was lost."""
        count = 0
        for digest in list(self._objects):
            with self._index.writing():
                if self._index.one("SELECT 1 FROM actions WHERE digest = ?", digest) is not None:
                    continue
                try:
                    data = self._objects.read(digest) if verify else self._objects.path(digest).read_bytes()
                    facts = _metadata(data or b"")
                    key, named = facts["key"], facts["digests"] or None
                except (OSError, KeyError, ValueError):
                    self._objects.remove(digest)
                    continue
                if self._index.one("SELECT 1 FROM actions WHERE key = ?", key) is None:
                    self._insert(key, _Row(digest, None, named, _ADOPTED_SECONDS, len(data or b"")))
                    count += 1
                else:
                    self._objects.remove(digest)
        return count

    def _age(self) -> float:
        row = self._index.one("SELECT value FROM facts WHERE name = 'age'")
        return 0.0 if row is None else row[0]

    def _total(self) -> int:
        row = self._ask("SELECT coalesce(sum(nbytes), 0) FROM actions")
        return 0 if row is None else row[0]

    def _ask(self, statement: str, *values: Any) -> tuple[Any, ...] | None:
        try:
            return self._index.one(statement, *values)
        except sqlite3.Error as problem:
            self._warn(f"the cache's index cannot be read ({problem}); the run goes on without it")
            return None

    def _attempt(self, work: Callable[[], None]) -> None:
        """Do what writes; where the disk refuses, say so once and write no more in this run."""
        try:
            work()
        except (OSError, sqlite3.Error) as problem:
            reason = getattr(problem, "strerror", None) or str(problem)
            if "locked" in reason or "busy" in reason:
                self._warn("another process kept the cache busy; a result was not stored")
                return
            self._refuses = True
            self._warn(f"the cache on disk takes no more results ({reason}); the run goes on without it")

    def _ensure_writable(self) -> None:
        if self.read_only:
            raise GlidewireError(
                f"the cache in {self.folder} is read-only",
                expected="a cache that can be written",
                hint="Check who owns the folder.",
            )

    def _warn(self, message: str) -> None:
        if message not in self._warnings:
            self._warnings.append(message)


def _metadata(data: bytes) -> Mapping[str, str]:
    """The texts in a safetensors file's header.

    Raises:
        ValueError: it is no safetensors file, or holds no texts.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        return json.loads(data[8 : 8 + length])["__metadata__"]
    except (KeyError, TypeError, RecursionError, ValueError) as problem:
        raise ValueError("it is no stored result") from problem
