"""Content digests of files: the one way in which the whole house names the bytes of a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .errors import GlidewireError


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hexadecimal digits; about 0.6 s a GB where the processor helps.

    Raises:
        GlidewireError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise GlidewireError(
            f"cannot read {path.name}",
            expected="a readable file",
            got=problem.strerror or str(problem),
            hint="Check that it exists and that you may read it.",
        ) from problem
