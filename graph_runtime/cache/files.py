"""Content digests of files, remembered as long as nothing about the file has changed."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Protocol

from ...digests import file_digest
from ...errors import GlidewireError

_SETTLED = 2.0  # seconds: a file written more recently could change again without its time stamp moving


class DigestMemory(Protocol):
    """Where digests outlive the process."""

    def file_digest(self, identity: str) -> str | None:
        """The digest remembered for a file in exactly this state."""

    def remember_file(self, identity: str, digest: str) -> None:
        """Remember a digest."""


class FileDigests:
    """SHA-256 of files, remembered by path, size, time stamps and inode, here and in the store if there is one."""

    def __init__(self, store: DigestMemory | None = None) -> None:
        self._store = store
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def state(self, path: Path) -> str:
        """What tells a file from what it was or will be, without reading it: path, size, time stamps, inode.

        Raises:
            GlidewireError: the file is gone.
        """
        return _identity(path)

    def digest(self, path: Path) -> str:
        """SHA-256 of the file's bytes, 64 hexadecimal digits.

        Raises:
            GlidewireError: the file cannot be read.
        """
        before = _identity(path)
        with self._lock:
            known = self._known.get(before) or (self._store.file_digest(before) if self._store else None)
        if known is None:
            known = file_digest(path)
            if _identity(path) != before or time.time() - path.stat().st_mtime < _SETTLED:
                return known
            if self._store:
                self._store.remember_file(before, known)
        self._known[before] = known
        return known


def _identity(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError as problem:
        raise GlidewireError(
            f"cannot read {path.name}", expected="a readable file", got=problem.strerror or str(problem)
        ) from problem
    return f"{path.resolve()}\n{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {facts.st_ino}"
