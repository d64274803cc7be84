"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from full_disk import full_after
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.atomic import replacing


def write(path: Path, data: bytes, *, new: bool = False) -> None:
    with replacing(path, new=new) as temporary:
        temporary.write_bytes(data)


def test_a_file_takes_anothers_place_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    for data in (b"one", b"another"):
        write(tmp_path / "file", data)
        assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", data)]


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_a_new_file_takes_nobodys_place(tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    write(tmp_path / "file", b"first", new=True)
    with pytest.raises(FileExistsError):
        write(tmp_path / "file", b"second", new=True)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"first")]


@pytest.mark.parametrize("new", [False, True])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, new: bool) -> None:
    write(tmp_path / "old", b"old")
    with full_after(1000), pytest.raises(GlidewireError, match=r"cannot be written; .* got File too large"):
        write(tmp_path / ("fresh" if new else "old"), b"x" * 2000, new=new)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("old", b"old")]


def test_where_nothing_can_be_written_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(GlidewireError, match="cannot be written; expected a file name in an existing folder"):
        write(tmp_path / "none" / "file", b"")
    with pytest.raises(GlidewireError, match="expected the name of a file"):
        write(Path("/"), b"")
