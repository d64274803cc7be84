"""Names that clients send, kept inside the folder they are meant for, after resolving links."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from .replies import Refused

_LONGEST_NAME: Final = 200
_LONGEST_PATH: Final = 1_000
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{device}{number}" for device in ("com", "lpt") for number in range(1, 10)}
)


def inside(root: Path, name: str) -> Path:
    """The path that `name` means inside `root`, links resolved; there may be nothing yet.

    Raises:
        Refused: it leads outside, is hidden, or holds what no file name of ours holds.
    """
    vet(name)
    try:
        base = root.resolve()
        path = (base / name).resolve()
    except (OSError, RuntimeError, ValueError):
        raise _refused(name) from None
    if not path.is_relative_to(base):
        raise _refused(name)
    return path


def find(roots: Iterable[Path], name: str) -> Path:
    """The file that `name` means in one of several folders, links resolved.

    Raises:
        Refused: there is none, or the name leads outside.
    """
    vet(name)
    refused: Refused | None = None
    for root in roots:
        try:
            path = inside(root, name)
            if path.is_file():
                return path
        except Refused as problem:
            refused = problem
        except OSError:
            continue
    raise refused or Refused(404, "there is no such file", got=name[:100], kind="not_found")


def vet(name: str) -> None:
    """Refuse a relative path that could mean something else on some system.

    Raises:
        Refused: empty, too long, absolute, `..`, hidden, with a NUL, a backslash, a colon or control characters.
    """
    if not name or len(name) > _LONGEST_PATH or name.startswith("/"):
        raise _refused(name)
    for part in name.split("/"):
        bad = (
            not part
            or part.startswith(".")
            or part != part.rstrip(". ")
            or len(part.encode("utf-8", "replace")) > _LONGEST_NAME
        )
        if bad or not part.isprintable() or set(part) & set('\\:*?"<>|') or part.split(".")[0].casefold() in _RESERVED:
            raise _refused(name)


def _refused(name: str) -> Refused:
    return Refused(
        403,
        "this is no name for a file here",
        expected="a relative name without '..', hidden parts, backslashes or control characters",
        got=ascii(name[:100]),
        kind="forbidden_name",
    )
