"""Content digests of files."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from glidewire.digests import file_digest
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.cache import Store
from glidewire.graph_runtime.cache.files import FileDigests


def settle(path: Path) -> None:
    """Make a file look as if it had been written a minute ago."""
    past = time.time() - 60
    os.utime(path, (past, past))


class Spy:
    """Counts what is remembered."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def file_digest(self, identity: str) -> str | None:
        return self.known.get(identity)

    def remember_file(self, identity: str, digest: str) -> None:
        self.known[identity] = digest


def test_it_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"some bytes")
    assert FileDigests().digest(path) == file_digest(path) == hashlib.sha256(b"some bytes").hexdigest()


def test_a_settled_file_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    path, spy = tmp_path / "a", Spy()
    path.write_bytes(b"one")
    settle(path)
    first = FileDigests(spy).digest(path)
    assert list(spy.known.values()) == [first]
    spy.known = dict.fromkeys(spy.known, "remembered")
    assert FileDigests(spy).digest(path) == "remembered"
    path.write_bytes(b"two")
    assert FileDigests(spy).digest(path) == hashlib.sha256(b"two").hexdigest()


def test_a_file_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    path, digests = tmp_path / "a", FileDigests(Spy())
    path.write_bytes(b"one")
    stamp = path.stat().st_mtime_ns
    digests.digest(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(stamp, stamp))
    assert digests.digest(path) == hashlib.sha256(b"two").hexdigest()


def test_a_changed_file_with_its_old_time_stamp_is_seen(tmp_path: Path) -> None:
    path, digests = tmp_path / "a", FileDigests(Spy())
    path.write_bytes(b"one")
    settle(path)
    digests.digest(path)
    stamp = path.stat().st_mtime_ns
    path.write_bytes(b"two")
    os.utime(path, ns=(stamp, stamp))
    assert digests.digest(path) == hashlib.sha256(b"two").hexdigest()


def test_the_store_remembers_for_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    settle(path)
    store = Store(tmp_path / "cache")
    digest = FileDigests(store).digest(path)
    store.close()
    again = Store(tmp_path / "cache")
    facts = path.stat()
    identity = f"{path.resolve()}\n{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {facts.st_ino}"
    assert again.file_digest(identity) == digest
    again.close()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(GlidewireError) as caught:
        FileDigests().digest(tmp_path / "no.bin")
    assert str(caught.value) == "cannot read no.bin; expected a readable file; got No such file or directory"
    with pytest.raises(GlidewireError) as caught:
        file_digest(tmp_path)
    assert "expected a readable file; got Is a directory. Check that it exists and that you may read it." in str(
        caught.value
    )
