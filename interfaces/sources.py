"""Whether the pack's files are still those that this process was started with: modules are imported when first needed,
so that an update under a running process would mix old ones with new ones."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, NamedTuple

from .surroundings import ROOT

_FRESH_SECONDS: Final = 2.0
_State = dict[str, tuple[int, int]]


class _Started(NamedTuple):
    """What was started, and the files then."""

    name: str
    root: Path
    files: _State


_started: _Started | None = None
_looked: tuple[float, str | None] = (float("-inf"), None)


def remember(name: str, root: Path = ROOT) -> None:
    """Note the files as they are, for a process that runs for long; `name` is what the user has to start again.

    The first call counts, for modules were imported since.
    """
    global _started
    _started = _started or _Started(name, root, _state(root))


def restart_advice() -> str | None:
    """What to do if files have changed since the start, in a sentence that names one of them; None if none has.

    Looks every two seconds at most: 500 files take about 5 ms.
    """
    global _looked
    if _started is None:
        return None
    now = time.monotonic()
    if now - _looked[0] > _FRESH_SECONDS:
        _looked = now, _advice(_started)
    return _looked[1]


def forget() -> None:
    """As before `remember`."""
    global _started, _looked
    _started, _looked = None, (float("-inf"), None)


def _advice(started: _Started) -> str | None:
    files = _state(started.root)
    changed = sorted(name for name in files.keys() | started.files if files.get(name) != started.files.get(name))
    if not changed:
        return None
    named = changed[0] + (f" and {len(changed) - 1} more" if len(changed) > 1 else "")
    return f"Files of glidewire have changed since {started.name} was started ({named}): restart {started.name}."


def _state(root: Path) -> _State:
    """Size and time of change of every module, by its path in the package; tests and hidden folders are none."""
    found: _State = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if (Path(folder) / name / "__init__.py").is_file()]
        for name in files:
            if name.endswith(".py"):
                path = Path(folder) / name
                facts = path.stat()
                found[path.relative_to(root).as_posix()] = facts.st_size, facts.st_mtime_ns
    return found
