"""Fetching against a small server of our own: whole, interrupted, resumed, changed, refused, without room."""

from __future__ import annotations

import hashlib
import http.server
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from full_disk import full_after
from glidewire.errors import GlidewireError
from glidewire.models.download import Source, download

CONTENT = bytes(range(256)) * 4000  # a little more than one chunk


@dataclass
class Remote:
    """What the server does, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    etag: str = '"one"'
    breaks_after: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    ranges: bool = True
    linked: str = ""
    asked: list[str] = field(default_factory=list)


class Handler(http.server.BaseHTTPRequestHandler):
    remote: Remote

    def do_GET(self) -> None:
        remote = self.remote
        remote.asked.append(self.headers.get("Range", "all"))
        if remote.status:
            self.send_error(remote.status.pop(0))
            return
        if self.path == "/hub":
            self.send_response(302)
            self.send_header("X-Linked-Etag", f'"{remote.linked}"')
            self.send_header("Location", "/file")
            self.end_headers()
            return
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://example.com/file")
            self.end_headers()
            return
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and remote.ranges and self.headers.get("If-Range") == remote.etag:
            start = int(asked.group(1))
            if start >= len(remote.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(remote.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(remote.content) - 1}/{len(remote.content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(remote.content) - start))
        self.send_header("ETag", remote.etag)
        self.end_headers()
        end = remote.breaks_after.pop(0) if remote.breaks_after else len(remote.content)
        self.wfile.write(remote.content[start : start + end])

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def remote() -> Iterator[Remote]:
    remote = Remote()
    handler = type("Bound", (Handler,), {"remote": remote})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        remote.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield remote
        server.shutdown()
        thread.join()


def digest(content: bytes = CONTENT) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_fetched_checked_and_alone(remote: Remote, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    source = Source(f"{remote.url}/file", len(CONTENT), digest())
    target = tmp_path / "new" / "m.pt"
    assert download(source, target, on_progress=lambda *now: told.append(now)) == digest()
    assert target.read_bytes() == CONTENT and [path.name for path in target.parent.iterdir()] == ["m.pt"]
    assert told[0] == (0, len(CONTENT)) and told[-1] == (len(CONTENT), len(CONTENT))


def test_a_broken_connection_goes_on_where_it_stopped(remote: Remote, tmp_path: Path) -> None:
    remote.breaks_after = [300_000, 400_000]
    assert download(Source(f"{remote.url}/file", sha256=digest()), tmp_path / "m.pt") == digest()
    assert remote.asked == ["all", "bytes=300000-", "bytes=700000-"]


def test_an_interrupted_command_goes_on_in_the_next_one(remote: Remote, tmp_path: Path) -> None:
    remote.breaks_after = [300_000]
    with pytest.raises(GlidewireError, match=r"was lost.*got 300000 bytes.*goes on from there"):
        download(Source(f"{remote.url}/file"), tmp_path / "m.pt", attempts=0)
    assert not (tmp_path / "m.pt").exists() and (tmp_path / "m.pt.part").stat().st_size == 300_000
    assert download(Source(f"{remote.url}/file"), tmp_path / "m.pt") == digest()
    assert remote.asked[1:] == ["bytes=300000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt"]


def test_a_file_that_changed_meanwhile_is_fetched_anew(remote: Remote, tmp_path: Path) -> None:
    remote.breaks_after = [300_000]
    with pytest.raises(GlidewireError):
        download(Source(f"{remote.url}/file"), tmp_path / "m.pt", attempts=0)
    remote.content, remote.etag = CONTENT[::-1], '"two"'
    assert download(Source(f"{remote.url}/file"), tmp_path / "m.pt") == digest(CONTENT[::-1])


def test_a_server_without_ranges_is_asked_for_all_of_it(remote: Remote, tmp_path: Path) -> None:
    remote.breaks_after, remote.ranges = [300_000], False
    assert download(Source(f"{remote.url}/file"), tmp_path / "m.pt") == digest()


def test_a_part_that_was_whole_needs_nothing_more(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "m.pt.part").write_bytes(CONTENT)
    (tmp_path / "m.pt.part.etag").write_text('"\\"one\\""')
    assert download(Source(f"{remote.url}/file"), tmp_path / "m.pt") == digest()
    assert remote.asked == [f"bytes={len(CONTENT)}-"]
    (tmp_path / "n.pt.part").write_bytes(CONTENT * 2)
    (tmp_path / "n.pt.part.etag").write_text('"\\"one\\""')
    assert download(Source(f"{remote.url}/file"), tmp_path / "n.pt") == digest()


def test_a_wrong_digest_or_size_is_named_and_nothing_is_left(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(
        GlidewireError, match=rf"m\.pt is not the file that was published; expected {'0' * 64}.*removed"
    ):
        download(Source(f"{remote.url}/file", sha256="0" * 64), tmp_path / "m.pt")
    with pytest.raises(GlidewireError, match=r"expected 10 bytes; got 1024000"):
        download(Source(f"{remote.url}/file", size=10), tmp_path / "m.pt")
    assert list(tmp_path.iterdir()) == []


def test_the_digest_that_a_hub_tells_is_checked(remote: Remote, tmp_path: Path) -> None:
    remote.linked = digest()
    assert download(Source(f"{remote.url}/hub"), tmp_path / "m.pt") == digest()
    remote.linked = digest(b"another")
    with pytest.raises(GlidewireError, match="is not the file that was published"):
        download(Source(f"{remote.url}/hub"), tmp_path / "n.pt")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, r"does not give the file; expected the file; got 404 Not Found\. See https://page"),
        (401, r"got 401 Unauthorized\. Its licence may have to be accepted first: see https://page"),
    ],
)
def test_refusals_are_told_with_what_to_do(remote: Remote, status: int, message: str, tmp_path: Path) -> None:
    remote.status = [status]
    with pytest.raises(GlidewireError, match=message):
        download(Source(f"{remote.url}/file", page="https://page"), tmp_path / "m.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_busy_server_is_asked_again(remote: Remote, tmp_path: Path) -> None:
    remote.status = [503, 429]
    assert download(Source(f"{remote.url}/file"), tmp_path / "m.pt") == digest()
    remote.status = [503] * 9
    with pytest.raises(GlidewireError, match="it answers 503"):
        download(Source(f"{remote.url}/file"), tmp_path / "n.pt", attempts=2)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(GlidewireError, match=r"the connection to 127\.0\.0\.1:9 was lost"):
        download(Source("http://127.0.0.1:9/file"), tmp_path / "m.pt", attempts=1)


@pytest.mark.parametrize("url", ["http://example.com/m.pt", "file:///etc/passwd", "ftp://example.com/m"])
def test_other_ways_than_https_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(GlidewireError, match="over HTTPS alone"):
        download(Source(url), tmp_path / "m.pt")


def test_a_redirect_to_an_open_line_is_refused(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(GlidewireError, match=r"over HTTPS alone; expected https://...; got http://example\.com"):
        download(Source(f"{remote.url}/elsewhere"), tmp_path / "m.pt")


def test_no_room_is_told_before_anything_is_fetched(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(
        GlidewireError, match=r"there is no room for m\.pt in .*; expected \d+ bytes; got \d+ bytes free"
    ):
        download(Source(f"{remote.url}/file", size=2**60), tmp_path / "m.pt")
    assert not (tmp_path / "m.pt").exists()


def test_a_disk_that_fills_up_keeps_what_is_there(remote: Remote, tmp_path: Path) -> None:
    with full_after(500_000), pytest.raises(GlidewireError, match=r"m\.pt cannot be written.*What was fetched stays"):
        download(Source(f"{remote.url}/file"), tmp_path / "m.pt")
    assert not (tmp_path / "m.pt").exists()
    assert download(Source(f"{remote.url}/file"), tmp_path / "m.pt") == digest()


def test_a_folder_that_is_a_file_or_closed(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(GlidewireError, match=r"m\.pt cannot be written; expected a folder that may be written to"):
        download(Source(f"{remote.url}/file"), tmp_path / "file" / "m.pt")
    if os.geteuid() == 0:
        closed = Path("/proc/self")  # a superuser may write everywhere else
    else:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
    with pytest.raises(GlidewireError, match=r"m\.pt cannot be written"):
        download(Source(f"{remote.url}/file"), closed / "m.pt")
