"""Why the pack cannot be loaded, in a sentence for the host's log, which shows the text of the exception."""

from __future__ import annotations

import traceback
from pathlib import Path

_PACKAGE = __name__.rpartition(".interfaces.")[0]
_ROOT = Path(__file__).parents[2]  # as the host named it: links stay, and nothing of ours is imported here


def sentence(problem: BaseException) -> str:
    """What is wrong and what to do, for an exception that an import of ours ended with."""
    if isinstance(problem, ModuleNotFoundError) and problem.name and not problem.name.startswith(_PACKAGE):
        return (
            f"glidewire: the package {problem.name} is not installed; "
            f"run the host's own python -m pip install -r {_ROOT / 'requirements.txt'} and restart"
        )
    if isinstance(problem, SyntaxError):
        place, what = f"{_inside(problem.filename)} line {problem.lineno}", problem.msg
    else:
        frames = traceback.extract_tb(problem.__traceback__)
        ours = [frame for frame in frames if _inside(frame.filename) != frame.filename] or frames
        place = f"{_inside(ours[-1].filename)} line {ours[-1].lineno}" if ours else "a file of the pack"
        what = f"{type(problem).__name__}: {problem}"
    return (
        f"glidewire: {place} cannot be loaded ({what}), so none of its nodes are there; if the file was half saved or "
        f"edited, put it back (git status in {_ROOT} shows it) and restart, otherwise please report this"
    )


def _inside(file: str | None) -> str:
    """A file's name relative to the pack, where it is one of the pack's."""
    path = Path(file or "?")
    return path.relative_to(_ROOT).as_posix() if path.is_relative_to(_ROOT) else str(path)
