"""File digests: content decides, and a change of content is seen although digests are remembered."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from glidewire.digests import file_digest
from glidewire.errors import GlidewireError


def test_is_the_content_and_not_the_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"same")
    expected = hashlib.sha256(b"same").hexdigest()
    assert file_digest(tmp_path / "one") == file_digest(str(tmp_path / "two")) == expected


def test_sees_content_of_the_same_size_in_place_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"first")
    first = file_digest(path)
    path.write_bytes(b"other")
    # Some file systems tick coarsely: the time is what a later write would have left.
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))
    assert file_digest(path) == hashlib.sha256(b"other").hexdigest() != first
    status = path.stat()
    (tmp_path / "new").write_bytes(b"third")
    os.utime(tmp_path / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "new").replace(path)
    assert file_digest(path) == hashlib.sha256(b"third").hexdigest()


def test_unreadable_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(GlidewireError, match=r"absent cannot be read"):
        file_digest(tmp_path / "absent")
    with pytest.raises(GlidewireError, match="cannot be read"):
        file_digest(tmp_path)


def test_a_file_written_just_now_is_read_again_although_nothing_tells_that_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"first")
    before = path.stat()
    first = file_digest(path)
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file_digest(path) == hashlib.sha256(b"other").hexdigest() != first
