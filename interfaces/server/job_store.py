"""The job store: every job in order in a small sqlite database, which outlives the server."""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ...errors import GlidewireError
from .jobs import Job, Outcome, Status, now, summary_of

MOST_FINISHED: Final = 5_000
"""So many finished jobs are remembered; the oldest go first."""
_ATTEMPTS: Final = 2

_SCHEMA: Final = 1
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, serial INTEGER NOT NULL, number REAL NOT NULL, status TEXT NOT NULL, client TEXT,
  workflow TEXT, created INTEGER NOT NULL, started INTEGER, ended INTEGER, attempts INTEGER NOT NULL DEFAULT 0,
  request BLOB NOT NULL, outcome BLOB, summary TEXT
);
CREATE INDEX IF NOT EXISTS by_status ON jobs (status, number, serial);
CREATE UNIQUE INDEX IF NOT EXISTS by_serial ON jobs (serial);
"""
_SELECT: Final = (
    "SELECT id, serial, number, status, client, workflow, created, started, ended, attempts, summary FROM jobs"
)


class JobStore:
    """The jobs, in order and on disk; any thread may use it.

    Args:
        path: The database; None keeps the jobs in memory only.

    Raises:
        GlidewireError: it cannot be opened, another version wrote it, or another server uses it.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(
                ":memory:" if path is None else path, check_same_thread=False, isolation_level=None, timeout=1
            )
            version = self._one("PRAGMA user_version")[0]
            if version not in (0, _SCHEMA):
                raise GlidewireError(
                    f"the job store {path} was written by another version",
                    expected=f"schema {_SCHEMA}",
                    got=f"schema {version}",
                    hint="Move it away, or update glidewire.",
                )
            # One server to a store: a second one would run the first one's jobs again.
            self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.executescript(_TABLE)
            self._base.execute(f"PRAGMA user_version = {_SCHEMA}")
            self._recover()
        except (OSError, sqlite3.Error) as problem:
            busy = "locked" in str(problem)
            raise GlidewireError(
                f"the job store {path} cannot be opened",
                expected="a folder that may be written to, and no other server that uses it",
                got="another server uses it" if busy else str(problem),
                hint="Start this one with another --cache." if busy else "Start with another --cache, or --no-cache.",
            ) from problem

    def _recover(self) -> None:
        """Jobs that ran when the server went away are tried once more, then given up."""
        summary = json.dumps({"error": {"exception_message": "the server stopped twice while this job ran"}})
        with self._writing():
            self._base.execute(
                "UPDATE jobs SET status = 'failed', ended = ?, summary = ?"
                " WHERE status = 'in_progress' AND attempts >= ?",
                (now(), summary, _ATTEMPTS),
            )
            self._base.execute("UPDATE jobs SET status = 'pending', started = NULL WHERE status = 'in_progress'")

    # Writing

    def add(self, job: Job, request: Mapping[str, Any], *, front: bool = False, number: float | None = None) -> Job:
        """Queue a job; without a number it runs after those that came before it, or with `front` before them.

        Raises:
            KeyError: there is a job with this id.
            sqlite3.Error: the disk takes it not.
        """
        with self._lock:
            serial = (self._one("SELECT max(serial) FROM jobs")[0] or 0) + 1
            placed = number if number is not None else float(-serial if front else serial)
            made = replace(job, serial=serial, number=placed, created=now(), status="pending")
            try:
                with self._writing():
                    self._base.execute(
                        "INSERT INTO jobs (id, serial, number, status, client, workflow, created, request, summary)"
                        " VALUES (?, ?, ?, 'pending', ?, ?, ?, ?, '{}')",
                        (made.id, serial, placed, made.client, made.workflow, made.created, _pack(request)),
                    )
            except sqlite3.IntegrityError:
                raise KeyError(job.id) from None
        return made

    def take(self) -> Job | None:
        """The next job, now in progress."""
        with self._lock:
            row = self._one(f"{_SELECT} WHERE status = 'pending' ORDER BY number, serial LIMIT 1")
            if row is None:
                return None
            job = _job(row)
            job = replace(job, status="in_progress", started=now(), attempts=job.attempts + 1)
            with self._writing():
                self._base.execute(
                    "UPDATE jobs SET status = 'in_progress', started = ?, attempts = attempts + 1 WHERE id = ?",
                    (job.started, job.id),
                )
            return job

    def finish(self, job: Job, status: Status, outcome: Outcome) -> Job:
        """Keep what came of a job."""
        ended = replace(job, status=status, ended=now(), summary=summary_of(outcome))
        with self._lock, self._writing():
            self._base.execute(
                "UPDATE jobs SET status = ?, ended = ?, outcome = ?, summary = ? WHERE id = ?",
                (status, ended.ended, _pack(vars(outcome)), json.dumps(ended.summary), job.id),
            )
            self._base.execute(
                "DELETE FROM jobs WHERE status NOT IN ('pending', 'in_progress') AND serial <= ("
                " SELECT serial FROM jobs WHERE status NOT IN ('pending', 'in_progress')"
                " ORDER BY serial DESC LIMIT 1 OFFSET ?)",
                (MOST_FINISHED,),
            )
        return ended

    def put_back(self, job: Job) -> None:
        """Let a job that was interrupted by the end of the server run again at the next start."""
        with self._lock, self._writing():
            self._base.execute(
                "UPDATE jobs SET status = 'pending', started = NULL, attempts = attempts - 1 WHERE id = ?", (job.id,)
            )

    def cancel(self, ids: Iterable[str] | None = None) -> list[str]:
        """Take pending jobs (all of them if None) out of the queue; they stay listed as cancelled."""
        with self._lock:
            found = [job.id for job in self.listed(("pending",))] if ids is None else list(ids)
            gone: list[str] = []
            with self._writing():
                for name in found:
                    changed = self._base.execute(
                        "UPDATE jobs SET status = 'cancelled', ended = ? WHERE id = ? AND status = 'pending'",
                        (now(), name),
                    )
                    gone += [name] * changed.rowcount
            return gone

    def forget(self, ids: Iterable[str] | None = None) -> None:
        """Remove finished jobs (all of them if None) from the history."""
        with self._lock, self._writing():
            if ids is None:
                self._base.execute("DELETE FROM jobs WHERE status NOT IN ('pending', 'in_progress')")
            else:
                self._base.executemany(
                    "DELETE FROM jobs WHERE id = ? AND status NOT IN ('pending', 'in_progress')",
                    [(id_,) for id_ in ids],
                )

    # Reading

    def get(self, id_: str) -> Job | None:
        """One job."""
        with self._lock:
            row = self._one(f"{_SELECT} WHERE id = ?", id_)
        return None if row is None else _job(row)

    def request(self, id_: str) -> dict[str, Any]:
        """What was asked for."""
        with self._lock:
            row = self._one("SELECT request FROM jobs WHERE id = ?", id_)
        return _unpack(row and row[0])

    def outcome(self, id_: str) -> Outcome:
        """What came of it; empty while nothing has."""
        with self._lock:
            row = self._one("SELECT outcome FROM jobs WHERE id = ?", id_)
        return Outcome(**_unpack(row and row[0]))

    def count(self, statuses: Sequence[str], workflow: str | None = None) -> int:
        """How many jobs have one of the statuses."""
        where, values = _where(statuses, workflow)
        with self._lock:
            return int(self._one(f"SELECT count(*) FROM jobs WHERE {where}", *values)[0])  # noqa: S608 - no word of a client's

    def listed(
        self,
        statuses: Sequence[str],
        *,
        newest_first: bool = False,
        offset: int = 0,
        limit: int = -1,
        workflow: str | None = None,
    ) -> list[Job]:
        """Jobs that have one of the statuses: in the order in which they run, or the newest first."""
        where, values = _where(statuses, workflow)
        order = "serial DESC" if newest_first else "number, serial"
        with self._lock:
            rows = self._base.execute(
                f"{_SELECT} WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",
                (*values, limit, offset),
            ).fetchall()
        return [_job(row) for row in rows]

    def ended_since(self, client: str, moment: int, most: int = 20) -> list[Job]:
        """The last jobs of a client that ended after a moment (milliseconds since 1970), in that order."""
        with self._lock:
            rows = self._base.execute(
                f"{_SELECT} WHERE client = ? AND ended >= ? AND started IS NOT NULL ORDER BY ended DESC, serial DESC"
                " LIMIT ?",
                (client, moment, most),
            ).fetchall()
        return [_job(row) for row in reversed(rows)]

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._base.close()

    def _one(self, statement: str, *values: Any) -> Any:
        return self._base.execute(statement, values).fetchone()

    def _writing(self) -> _Writing:
        return _Writing(self._base)


class _Writing:
    """A transaction: all of it or nothing."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base

    def __enter__(self) -> None:
        self._base.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._base.execute("COMMIT")
        elif self._base.in_transaction:  # a full disk ends it by itself
            self._base.execute("ROLLBACK")


def _where(statuses: Sequence[str], workflow: str | None) -> tuple[str, tuple[str, ...]]:
    where = f"status IN ({', '.join('?' for _ in statuses)})"
    return (where, tuple(statuses)) if workflow is None else (f"{where} AND workflow = ?", (*statuses, workflow))


def _job(row: Sequence[Any]) -> Job:
    id_, serial, number, status, client, workflow, created, started, ended, attempts, summary = row
    return Job(
        id_, number, status, client, workflow or "", created, started, ended, attempts, serial, json.loads(summary)
    )


def _pack(value: Mapping[str, Any]) -> bytes:
    return zlib.compress(json.dumps(dict(value), separators=(",", ":")).encode(), 1)


def _unpack(blob: bytes | None) -> dict[str, Any]:
    return json.loads(zlib.decompress(blob)) if blob else {}
