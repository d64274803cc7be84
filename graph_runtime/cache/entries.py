"""Entries: the rows of the index and the objects they point at, kept in step with one another."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import safetensors
import safetensors.torch
import torch

from .. import codec
from .gdsf import worth
from .index import SCHEMA, Index
from .objects import Objects

_ADOPTED_SECONDS: Final = 1.0  # what an entry is taken to have cost whose row was lost


class Damaged(Exception):
    """An entry is not what was written."""


class Foreign(Exception):
    """An entry is what was written, but holds a kind of value that this process does not know."""


@dataclass(frozen=True)
class Row:
    """What the index says of a result.

    Args:
        digest: Of its object; "" where it has none.
        outputs: The whole result where it is small and holds no tensor, else None.
        value_digests: JSON, of by-value nodes.
        cost: Seconds to make it again.
        nbytes: Its size.
    """

    digest: str
    outputs: str | None
    value_digests: str | None
    cost: float
    nbytes: int


class Entries:
    """Results under their keys. What happens to the disk is raised (OSError, sqlite3.Error): the store decides.

    A row is written after its object and removed before it, both inside a transaction, so that a row never
    points at an object that another process is about to remove; a kill leaves at most an object without a row.
    """

    def __init__(self, index: Index, objects: Objects) -> None:
        self._index, self._objects = index, objects

    def row(self, key: str) -> Row | None:
        """What the index says of a key.

        Raises:
            Damaged: the row is not what was written for this key.
        """
        columns = "digest, outputs, value_digests, cost, nbytes, seal"
        found = self._index.one(f"SELECT {columns} FROM actions WHERE key = ?", key)  # noqa: S608
        if found is None:
            return None
        *facts, sealed = found
        row = Row(*facts)
        if sealed != seal(key, row.digest, row.outputs, row.value_digests) or not _counts(row):
            raise Damaged("its row in the index is not what was written")
        return row

    def present(self, row: Row) -> bool:
        """Whether the result is there, as far as can be told without reading it."""
        return row.outputs is not None or row.digest in self._objects

    def value(self, row: Row) -> tuple[Any, ...]:
        """The result behind a row, verified.

        Raises:
            Damaged: it is missing, or not byte for byte what was written.
            Foreign: it holds a kind of value that is not registered here: another version wrote it.
        """
        tensors, structure = self._verified(row)
        try:
            return codec.decode(tensors, structure)
        except codec.NotStorable as problem:
            raise Foreign(str(problem)) from problem

    def verify(self, row: Row) -> None:
        """Read the result behind a row byte for byte, whatever kind of value it is.

        Raises:
            Damaged: as `value`.
        """
        self._verified(row)

    def _verified(self, row: Row) -> tuple[Mapping[str, torch.Tensor], Any]:
        try:
            if row.outputs is not None:
                return {}, json.loads(row.outputs)
            data = self._objects.read(row.digest)
            if data is None:
                raise Damaged("its file is missing or its digest differs")
            return safetensors.torch.load(data), json.loads(_metadata(data)["outputs"])
        except (safetensors.SafetensorError, ValueError, KeyError) as problem:
            raise Damaged(str(problem)) from problem

    def differs(self, key: str, row: Row) -> bool:
        """Whether the row of a key is another one by now, asked while no other process can be changing it."""
        with self._index.writing():
            try:
                return self.row(key) != row
            except Damaged:
                return False

    def put(self, key: str, row: Row) -> None:
        """Write a small result's row."""
        with self._index.writing():
            self._insert(key, row)

    def put_object(
        self, key: str, tensors: Mapping[str, torch.Tensor], outputs: str, named: str | None, seconds: float
    ) -> int:
        """Write a result with tensors; returns its bytes, 0 if another process wrote the key meanwhile."""
        metadata = {"format": f"glidewire {SCHEMA}", "key": key, "outputs": outputs, "digests": named or ""}
        data = safetensors.torch.save(dict(tensors), metadata=metadata)
        digest = self._objects.write(data)
        with self._index.writing():
            if self._has(key):
                self._remove_unused(digest)
                return 0
            if digest not in self._objects:  # removed by another process since; now it cannot be
                self._objects.write(data)
            self._insert(key, Row(digest, None, named, seconds, len(data)))
        return len(data)

    def touch(self, touched: Mapping[str, int]) -> None:
        """Count uses of entries."""
        with self._index.writing():
            age = self._age()
            for key, count in touched.items():
                self._index.execute(
                    "UPDATE actions SET hits = hits + ?1, last_used = ?2, "
                    "worth = ?3 + (hits + ?1) * max(cost, 1e-6) / max(nbytes, 1) WHERE key = ?4",
                    *(count, time.time(), age, key),
                )

    def remove(self, key: str, digest: str | None) -> None:
        """Remove an entry (with a digest: only if it still is that one), and its object if no other uses it."""
        with self._index.writing():
            if digest is None:
                self._index.execute("DELETE FROM actions WHERE key = ?", key)
            else:
                self._index.execute("DELETE FROM actions WHERE key = ? AND digest = ?", key, digest)
                self._remove_unused(digest)

    def keys(self) -> list[str]:
        """Every key."""
        return [key for (key,) in self._index.all("SELECT key FROM actions")]

    def totals(self) -> tuple[int, int, int]:
        """How many entries there are, their bytes, and how often they were found."""
        sums = "SELECT count(*), coalesce(sum(nbytes), 0), coalesce(sum(hits - 1), 0) FROM actions"
        return self._index.one(sums) or (0, 0, 0)

    def prune(self, budget: int, pinned: Collection[str]) -> int:
        """Remove the entries worth least until `budget` bytes are enough; returns how many."""
        removed = 0
        with self._index.writing():
            used = self.totals()[1]
            rows = self._index.all("SELECT key, digest, nbytes, worth FROM actions ORDER BY worth")
            for key, digest, nbytes, value in rows:
                if used <= budget:
                    break
                if key not in pinned:
                    self.remove(key, digest)
                    self._index.execute("INSERT OR REPLACE INTO facts VALUES ('age', ?)", value)
                    used -= nbytes
                    removed += 1
        return removed

    def adopt(self, *, verify: bool) -> int:
        """Make rows for objects that have none: a writer was killed in between, or the index was lost.

        Args:
            verify: Read each object whole, rather than leave that to whoever asks for it.

        Returns: How many were taken in; those that are no results are removed.
        """
        count = 0
        for digest in list(self._objects):
            with self._index.writing():
                if self._index.one("SELECT 1 FROM actions WHERE digest = ?", digest) is not None:
                    continue
                data = self._objects.read(digest) if verify else self._objects.read_unverified(digest)
                try:
                    facts = _metadata(data or b"")
                    key, named = facts["key"], facts["digests"] or None
                except (KeyError, ValueError):
                    self._objects.remove(digest)
                    continue
                if not self._has(key):
                    self._insert(key, Row(digest, None, named, _ADOPTED_SECONDS, len(data or b"")))
                    count += 1
                else:
                    self._objects.remove(digest)
        return count

    def _insert(self, key: str, row: Row) -> None:
        value = self._age() + worth(1, row.cost, row.nbytes)
        self._index.execute(
            "INSERT OR REPLACE INTO actions VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
            *(key, row.digest, row.outputs, row.value_digests, row.cost, row.nbytes, value, time.time()),
            seal(key, row.digest, row.outputs, row.value_digests),
        )

    def _has(self, key: str) -> bool:
        try:
            row = self.row(key)
        except Damaged:
            return False
        return row is not None and self.present(row)

    def _remove_unused(self, digest: str) -> None:
        """Inside a transaction, so that no other process can begin to use the object meanwhile."""
        if digest and self._index.one("SELECT 1 FROM actions WHERE digest = ?", digest) is None:
            self._objects.remove(digest)

    def _age(self) -> float:
        row = self._index.one("SELECT value FROM facts WHERE name = 'age'")
        return 0.0 if row is None else row[0]


def seal(*facts: object) -> str:
    """SHA-256 over texts, by which a row is known to be what was written."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _counts(row: Row) -> bool:
    return isinstance(row.cost, float) and isinstance(row.nbytes, int)


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
