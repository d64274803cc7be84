"""The command `serve` as a process: it says where it serves, keeps its token, ends in order, and fails in words."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("aiohttp", reason="the server needs the extra serve")


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """The server's process, what it said, and its port."""
    command = [sys.executable, "-m", "glidewire", "serve", "--port", "0", "--no-cache", "--user", "user", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        said = ""
        while not (found := re.search(r"serves at http://[^/]+:(\d+)/", said)):
            line = process.stderr.readline()
            assert line, said
            said += line
        yield process, said, int(found[1])
    finally:
        process.kill()
        process.wait()


def status(port: int, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers=headers)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_serves_this_machine_without_a_token_and_ends_in_order(tmp_path):
    with started() as (process, said, port):
        assert "token" not in said and status(port, "/api/users") == 200
        assert status(port, "/api/users", Host="evil.example") == 403
        assert (tmp_path / "input").is_dir()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_others_want_a_token_that_it_makes_up():
    with started("--host", "0.0.0.0") as (_, said, port):
        (token,) = re.findall(r"\?token=(\S+)", said)
        assert len(token) >= 32
        assert status(port, "/api/users") == 401
        assert status(port, "/api/users", Authorization=f"Bearer {token}") == 200


def test_a_port_that_is_taken_is_said_without_a_traceback():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "glidewire", "serve", "--port", port, "--no-cache", "--user", "user"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr and "Give another --port." in ended.stderr
    assert "Traceback" not in ended.stderr
