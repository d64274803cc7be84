"""The index of a store: one sqlite file in WAL mode, which several processes may read and write at once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ...errors import GlidewireError

SCHEMA: Final = 1
BUSY_SECONDS: Final = 10.0

_TABLES = """
CREATE TABLE IF NOT EXISTS actions (
    key TEXT PRIMARY KEY,          -- of the node call
    digest TEXT NOT NULL,          -- SHA-256 of the object; empty where there is none
    outputs TEXT,                  -- the structure of small results without tensors; NULL: it is in the object
    value_digests TEXT,            -- JSON: the digest of each output, of by-value nodes
    cost REAL NOT NULL,            -- seconds to make it again
    nbytes INTEGER NOT NULL,
    hits INTEGER NOT NULL DEFAULT 1,
    worth REAL NOT NULL,           -- age when last used + hits * cost / nbytes: the least is evicted first
    last_used REAL NOT NULL,       -- seconds since 1970
    seal TEXT NOT NULL             -- SHA-256 of key, digest, outputs, value_digests: sqlite notices little damage
);
CREATE INDEX IF NOT EXISTS actions_by_worth ON actions (worth);
CREATE INDEX IF NOT EXISTS actions_by_digest ON actions (digest);
CREATE TABLE IF NOT EXISTS files (identity TEXT PRIMARY KEY, digest TEXT NOT NULL, seal TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS runs (workflow TEXT PRIMARY KEY, record BLOB NOT NULL, finished REAL NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value REAL NOT NULL);
"""


class Index:
    """The tables of a store behind one connection; any thread may use it.

    Args:
        path: The sqlite file.
        read_only: Do not write, not even beside the file.

    Raises:
        sqlite3.Error: it cannot be opened, or is damaged.
        GlidewireError: another version of glidewire wrote it.
    """

    def __init__(self, path: Path, read_only: bool) -> None:
        self.lock = threading.RLock()
        with _readable():
            self._connection = _connect(path, read_only)
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA):
            raise GlidewireError(
                f"the cache in {path.parent} was written by another version",
                expected=f"schema {SCHEMA}",
                got=f"schema {version}",
                hint="Give another cache folder, or remove this one.",
            )
        if version == 0 and not read_only:
            with self.writing():
                for statement in _TABLES.split(";\n"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {SCHEMA}")
        self._refuse_other_columns()
        if not read_only:
            with self.writing():  # finds out now whether the file can be written
                self._connection.execute("INSERT OR IGNORE INTO facts VALUES ('age', 0)")

    def _refuse_other_columns(self) -> None:
        """Tables that something else made under the same version are as good as damaged."""
        wanted = sqlite3.connect(":memory:")
        wanted.executescript(_TABLES)
        for table in ("actions", "files", "runs", "facts"):
            question = f"SELECT name FROM pragma_table_info('{table}')"  # noqa: S608
            if self.all(question) != wanted.execute(question).fetchall():
                self._connection.close()
                raise sqlite3.DatabaseError(f"its table {table} has other columns")
        wanted.close()

    def one(self, statement: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""
        with self.lock, _readable():
            return self._connection.execute(statement, values).fetchone()

    def all(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self.lock, _readable():
            return self._connection.execute(statement, values).fetchall()

    def execute(self, statement: str, *values: Any) -> None:
        """Run a statement; inside `writing` it becomes part of that transaction."""
        with self.lock, _readable():
            self._connection.execute(statement, values)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction that no other process writes beside; undone on an exception."""
        with self.lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection; the last one to close folds the log into the file."""
        with self.lock:
            self._connection.close()


@contextmanager
def _readable() -> Iterator[None]:
    """A damaged file may even spoil sqlite's own error texts: then the error is that it is damaged."""
    try:
        yield
    except UnicodeDecodeError as problem:
        raise sqlite3.DatabaseError("the file is malformed") from problem


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    if not read_only:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection
    # A folder that cannot be written has no room for the log's shared memory: then the file is taken as it stands.
    for mode in ("mode=ro", "immutable=1"):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("SELECT count(*) FROM actions")
            return connection
        except sqlite3.OperationalError as problem:
            connection.close()
            last = problem
    raise last
