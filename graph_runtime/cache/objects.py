"""Objects: files named by the digest of their bytes, written so that a half-written one is never seen."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

_SUFFIX = ".safetensors"
_STALE = 3600.0  # seconds after which a temporary file has no writer any more


class Objects:
    """A folder of objects: `ab/cdef….safetensors` holds the bytes whose SHA-256 is abcdef….

    Args:
        folder: Where they are.
        durable: Wait until the disk has the bytes before an object counts as written.
    """

    def __init__(self, folder: Path, durable: bool = False) -> None:
        self.folder, self._durable = folder, durable

    def path(self, digest: str) -> Path:
        """Where the object with this digest is, or would be."""
        return self.folder / digest[:2] / f"{digest[2:]}{_SUFFIX}"

    def __contains__(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def write(self, data: bytes) -> str:
        """Write an object under a temporary name, then move it to its own; returns its digest.

        Raises:
            OSError: the disk is full or cannot be written; nothing is left behind.
        """
        digest = hashlib.sha256(data).hexdigest()
        target = self.path(digest)
        if target.is_file() and target.stat().st_size == len(data):
            return digest
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{secrets.token_hex(8)}.part"
        try:
            with temporary.open("xb") as file:
                file.write(data)
                if self._durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        return digest

    def read(self, digest: str) -> bytes | None:
        """The bytes of an object, or None if they are not there or not those that the digest was made from."""
        data = self.read_unverified(digest)
        return data if data is not None and hashlib.sha256(data).hexdigest() == digest else None

    def read_unverified(self, digest: str) -> bytes | None:
        """The bytes of an object as they are, or None if they cannot be read."""
        try:
            return self.path(digest).read_bytes()
        except OSError:
            return None

    def remove(self, digest: str) -> None:
        """Remove an object if it is there."""
        with contextlib.suppress(OSError):
            self.path(digest).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[str]:
        """The digests of all objects, in order."""
        for path in sorted(self.folder.glob(f"??/*{_SUFFIX}")):
            yield path.parent.name + path.name.removesuffix(_SUFFIX)

    def sweep(self) -> int:
        """Remove what writers that were killed left behind; returns how many files."""
        count = 0
        for path in self.folder.glob("??/.*.part"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE:
                    path.unlink()
                    count += 1
        return count
