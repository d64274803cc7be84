"""The folders that the user gave; nothing outside them is read or written."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..errors import GlidewireError

_LONGEST_SHOWN = 80
_MOST_ENTRIES = 50_000


@dataclass(frozen=True)
class Folders:
    """Where models and inputs are looked up (in order), and where results are written.

    Args:
        models, input: Folders searched in turn.
        output: The folder that results are written into.
        files: Single files that the user named himself (on the command line, say), allowed beside the folders.
    """

    models: tuple[Path, ...] = ()
    input: tuple[Path, ...] = ()
    output: Path = field(default_factory=lambda: Path("output"))
    files: frozenset[Path] = frozenset()

    def roots(self, folder: str) -> tuple[Path, ...]:
        """The folders behind the name "models", "input" or "output"."""
        return {"models": self.models, "input": self.input, "output": (self.output,)}[folder]

    def find(self, folder: str, name: str) -> Path:
        """The file `name` inside one of the folders called `folder`, links resolved.

        Raises:
            GlidewireError: no such file, or it lies outside every folder.
        """
        if not name or "\0" in name:
            raise GlidewireError("a file name is empty or holds a NUL", expected=f"a file in {folder}", got=repr(name))
        try:
            found, outside = self._search(folder, name)
        except (OSError, RuntimeError) as error:  # a name too long, links in a circle
            raise GlidewireError(
                f"{name[:80]} cannot be looked up in the {folder} folders", expected="a file name", got=str(error)[:200]
            ) from None
        if found is not None:
            return found
        places = ", ".join(str(root) for root in self.roots(folder)) or "no folder at all"
        if outside:
            raise GlidewireError(
                f"{name} lies outside the {folder} folders",
                expected=f"a file inside {places}",
                got=name,
                hint=f"Move it there, or start with --{folder} naming its folder.",
            )
        raise GlidewireError(
            f"no file {name} in the {folder} folders",
            expected=f"a file inside {places}",
            got=name,
            hint=near(name, self.listing(folder)) or f"Put it there, or start with --{folder} naming its folder.",
        )

    def _search(self, folder: str, name: str) -> tuple[Path | None, bool]:
        """The file if it is there, and whether the name led out of some folder."""
        named = Path(name).resolve()
        if named in self.files and named.is_file():
            return named, False
        outside = False
        for root in self.roots(folder):
            candidate = (root / name).resolve()
            if not (candidate.is_relative_to(root.resolve()) or candidate in self.files):
                outside = True
            elif candidate.is_file():
                return candidate, outside
        return None, outside

    def listing(self, folder: str, suffixes: Iterable[str] = ()) -> list[str]:
        """The files (relative names, sorted) in the folders called `folder` that have one of the endings.

        Hidden files and folders, linked folders and those that are closed to us are left out; of an enormous folder
        what lies nearest to its top is listed.
        """
        wanted = tuple(suffixes)
        names = {name for root in self.roots(folder) for name in _files_inside(root)}
        return sorted(name for name in names if not wanted or PurePosixPath(name).suffix.lower() in wanted)

    def destination(self, name: str) -> Path:
        """The path of a new file inside the output folder; its parent exists afterwards.

        Raises:
            GlidewireError: the name leads outside the output folder, or its folder cannot be made.
        """
        try:
            target = self.inside_output(name)
            target.parent.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError) as problem:  # no room, no right to write, a name too long, links in a circle
            raise GlidewireError(
                f"{name[:80]} cannot be written into the output folder {self.output.resolve()}",
                expected="a folder that may be written to",
                got=getattr(problem, "strerror", None) or str(problem)[:200],
                hint="Give another output folder.",
            ) from problem
        return target

    def next_destination(self, prefix: str, suffix: str) -> Path:
        """A new file's path `<prefix>_00001<suffix>`, with the first free number; raises as `destination`."""
        paths = (self.destination(f"{prefix}_{number:05d}{suffix}") for number in itertools.count(1))
        return next(path for path in paths if not path.exists())

    def inside_output(self, name: str) -> Path:
        """The path that `name` means inside the output folder, links resolved; nothing is made.

        Raises:
            GlidewireError: the name leads outside the output folder.
        """
        root = self.output.resolve()
        target = (root / name.replace("\0", "")).resolve()
        if "\0" in name or not target.is_relative_to(root) or target == root:
            raise GlidewireError(
                f"{name!r} leads outside the output folder", expected=f"a name inside {root}", got=name
            )
        return target


def _files_inside(root: Path) -> Iterator[str]:
    """The names of files below a folder, level by level, until so many entries were looked at."""
    waiting, seen = deque([""]), 0
    while waiting and seen < _MOST_ENTRIES:
        folder = waiting.popleft()
        try:
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError:  # not there, no folder, or closed to us
            continue
        seen += len(entries)
        for entry in entries:
            if entry.name.startswith("."):
                continue
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{folder}{entry.name}/")
                elif entry.is_file():
                    yield f"{folder}{entry.name}"


def user_path(name: str | Path, what: str) -> Path:
    """A path as the user wrote it, with `~` resolved; there may be nothing yet.

    Args:
        name: The path.
        what: What to call it in errors.

    Raises:
        GlidewireError: the system cannot look it up: too long, the home of nobody, a folder that is closed to us.
    """
    try:
        path = Path(name).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as problem:
        shown = str(name) if len(str(name)) <= _LONGEST_SHOWN else f"{str(name)[:_LONGEST_SHOWN]}…"
        raise GlidewireError(
            f"{what} {shown} cannot be looked up",
            expected="a path",
            got=getattr(problem, "strerror", None) or str(problem),
        ) from None
    return path


def near(name: str, known: Iterable[str]) -> str | None:
    """ "Did you mean ...?" with up to three of the known names closest to `name`, or None."""
    from difflib import get_close_matches

    matches = get_close_matches(name, list(dict.fromkeys(known)), n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(matches)}?" if matches else None
