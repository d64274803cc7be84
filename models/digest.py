"""Content digests of files, computed once per state of a file."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

from ..errors import GlidewireError

_known: dict[tuple[str, int, int, int], str] = {}
_lock = threading.Lock()


def file_digest(path: str | Path) -> str:
    """sha256 of a file's content, as hexadecimal text.

    Remembered in this process by path, size, modification time in nanoseconds and inode: a file that changed
    in any of them is read again.

    Raises:
        GlidewireError: The file cannot be read.
    """
    path = Path(path)
    try:
        status = path.stat()
        key = (str(path.absolute()), status.st_size, status.st_mtime_ns, status.st_ino)
        with _lock:
            known = _known.get(key)
        if known is None:
            with path.open("rb") as file:
                known = hashlib.file_digest(file, "sha256").hexdigest()
            with _lock:
                _known[key] = known
    except OSError as error:
        raise GlidewireError(f"{path.name} cannot be read", got=f"{path}: {error.strerror}") from error
    return known
