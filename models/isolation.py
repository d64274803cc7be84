"""A process that locks itself in before it opens a file it does not trust."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

# Beginnings of the names of Python's audit events (PEP 578).
_NEVER = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.startfile",
    "pickle.", "ctypes.", "shutil.", "os.rmdir", "os.chown", "os.link", "os.symlink", "os.kill", "urllib.", "http.",
    "ftplib.", "smtplib.", "webbrowser.",
)  # fmt: skip
# Those whose paths must lie in the one folder.
_CHANGES = ("os.chmod", "os.remove", "os.rename", "os.mkdir", "os.truncate")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SECONDS = 600
_SPARE = 2 * 2**30  # bytes that the libraries may still ask for


def confine(writable: Path, *, largest: int) -> None:
    """Lock this process in; there is no way back.

    From here on it opens no connection, starts no program, unpickles nothing, writes nowhere but in one folder,
    and is stopped where it takes too much time, memory or room.

    Args:
        writable: The folder that it may write in.
        largest: Bytes of the largest file that it may write.
    """
    inside = str(writable.resolve()) + os.sep

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_NEVER):
            raise PermissionError(f"{event} is not allowed here")
        if event in _CHANGES:
            paths = arguments[: 2 if event == "os.rename" else 1]
        elif event == "open" and _writes(arguments):
            paths = arguments[:1]
        else:
            return
        if not all(os.path.realpath(os.fsdecode(path)).startswith(inside) for path in paths):
            raise PermissionError(f"{event} of {str(paths[-1])[:200]} is not allowed here")

    _limit(largest)
    sys.addaudithook(refuse)


def _writes(arguments: tuple[Any, ...]) -> bool:
    path, mode, flags = arguments
    if isinstance(path, int):  # opened already
        return False
    return bool(mode and set(mode) & set("wax+")) or bool(isinstance(flags, int) and flags & _WRITES)


def _limit(largest: int) -> None:
    """Limits of the operating system, where it knows them."""
    try:
        import resource
    except ImportError:
        return
    now = 0
    with suppress(OSError, ValueError, IndexError):
        now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    limits = {resource.RLIMIT_CPU: _SECONDS, resource.RLIMIT_FSIZE: largest, resource.RLIMIT_CORE: 0}
    if now:
        limits[resource.RLIMIT_AS] = now + 4 * largest + _SPARE
    for kind, most in limits.items():
        with suppress(OSError, ValueError):
            hard = resource.getrlimit(kind)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))
