"""Files that appear whole or not at all: written under a temporary name beside the target, then renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import GlidewireError


@contextmanager
def replacing(path: Path, *, new: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the same folder; when the block ends well it takes the place of `path`.

    Whatever happens inside, a file that stood under `path` stays whole, and no temporary file is left.

    Args:
        path: The file.
        new: Take no other file's place.

    Raises:
        FileExistsError: with `new`, there is such a file, perhaps since a moment ago.
        GlidewireError: the folder does not exist, or the file cannot be written.
    """
    if not path.name:
        raise GlidewireError(f"{path} cannot be written", expected="the name of a file", got=str(path))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        yield temporary
        if new:
            _take_new(temporary, path)
        else:
            temporary.replace(path)
    except OSError as problem:
        if new and isinstance(problem, FileExistsError):
            raise
        raise GlidewireError(
            f"{path} cannot be written",
            expected="a file name in an existing folder that may be written to",
            got=problem.strerror or str(problem),
        ) from problem
    finally:
        with suppress(OSError):  # not there, or never could be
            temporary.unlink()


def _take_new(temporary: Path, path: Path) -> None:
    """Move a file to a name that nobody has taken; raises FileExistsError otherwise."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        path.open("xb").close()
        try:
            temporary.replace(path)
        except OSError:
            path.unlink()
            raise
