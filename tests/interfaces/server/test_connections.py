"""Connections that hold the server up (slow heads, bodies and readers) are let go of; the others stay."""

from __future__ import annotations

import asyncio
import errno
import gzip
import select
import socket
from types import SimpleNamespace

import pytest
from aiohttp import web
from glidewire.interfaces.server import connections
from glidewire.interfaces.server.connections import Crowded, Newcomers, Readers, allow_many

HEAD = b"GET /users HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"


class Connection:
    """Stands for an open connection: only which one it is counts."""


def test_who_was_heard_is_never_overdue_and_who_is_silent_is_counted_from_when_he_came():
    newcomers = Newcomers()
    heard, silent, late = Connection(), Connection(), Connection()
    newcomers.mark(heard)
    assert newcomers.overdue([heard, silent], 0.0, 10.0) == []
    assert newcomers.overdue([heard, silent, late], 9.0, 10.0) == []
    assert newcomers.overdue([heard, silent, late], 11.0, 10.0) == [silent]
    assert newcomers.overdue([heard, late], 20.0, 10.0) == [late]


@pytest.mark.parametrize("begun", [b"", b"G", HEAD[:-2], HEAD], ids=["nothing", "a letter", "a line", "some lines"])
def test_a_head_that_never_ends_slowloris_is_not_waited_for(make_server, run_server, begun):
    with run_server(make_server(), head_seconds=0.1) as running:
        with socket.create_connection(("127.0.0.1", running.port)) as raw:
            raw.settimeout(60)
            raw.sendall(begun % running.port if b"%d" in begun else begun)
            assert raw.recv(100) == b""
        assert running.get("/users").status == 200


def test_a_connection_that_has_asked_once_stays_open(make_server, run_server):
    def ask(raw: socket.socket, port: int) -> None:
        raw.sendall(HEAD % port + b"\r\n")
        assert raw.recv(4000).startswith(b"HTTP/1.1 200")

    with (
        run_server(make_server(), head_seconds=0.1) as running,
        socket.create_connection(("127.0.0.1", running.port)) as raw,
    ):
        raw.settimeout(60)
        ask(raw, running.port)
        with socket.create_connection(("127.0.0.1", running.port)) as silent:
            silent.settimeout(60)
            assert silent.recv(100) == b""  # so much time has passed
        ask(raw, running.port)


def test_who_reads_may_take_as_long_as_the_reply_is_and_its_next_request_ends_the_count():
    async def work() -> list[list[Connection]]:
        readers, short, long = Readers(), Connection(), Connection()
        began = asyncio.get_running_loop().time()
        await readers.begin(SimpleNamespace(protocol=short), web.Response(body=b"x"))
        await readers.begin(SimpleNamespace(protocol=long), web.Response(body=b"x" * 2**20))  # 64 s at the least speed
        await readers.begin(SimpleNamespace(protocol=Connection()), web.WebSocketResponse())
        found = [readers.overdue([short, long], began + at, 10.0) for at in (9.0, 12.0, 73.0, 76.0)]
        readers.forget(short)
        found.append(readers.overdue([short, long], began + 1000.0, 10.0))
        return [[("short", "long")[one is long] for one in ones] for ones in found]

    assert asyncio.run(work()) == [[], ["short"], ["short"], ["short", "long"], ["long"]]


@pytest.mark.skipif(not hasattr(select, "poll"), reason="the client of this test waits with poll")
@pytest.mark.parametrize(
    "path", ["/view?filename=large.txt", "/userdata?dir=many"], ids=["a file", "a reply in memory"]
)
def test_a_client_that_never_reads_its_reply_is_let_go_of(make_server, run_server, tmp_path, path, monkeypatch):
    monkeypatch.setattr(connections, "_SLOWEST", 2**40)
    server = make_server()
    with (tmp_path / "output" / "large.txt").open("wb") as file:
        file.truncate(2**25)
    many = server.user / "files" / "many"
    many.mkdir()
    for index in range(600):  # 200 letters each: more than what two sockets hold without being read
        (many / f"{index:03}{'x' * 180}.json").touch()
    with run_server(server, reply_seconds=0.1) as running:
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect(("127.0.0.1", running.port))
            raw.sendall(b"".join(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path.encode() for _ in range(100)))
            waiting = select.poll()
            waiting.register(raw, select.POLLERR | select.POLLHUP)
            assert waiting.poll(60_000), "the connection is still open"
        assert running.get("/users").status == 200


def test_compressed_bodies_are_refused_unopened_decompression_bomb(running):
    bomb = gzip.compress(b" " * 2**20 + b"{}")
    for path in ("/prompt", "/settings", "/userdata/flow.json", "/glidewire/state"):
        reply = running.send("POST", path, bomb, {"Content-Type": "application/json", "Content-Encoding": "gzip"})
        assert reply.status == 415 and "compressed" in reply.json["error"]["message"], path
    form = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Encoding": "gzip"}
    assert running.send("POST", "/upload/image", gzip.compress(form), headers).status in (400, 415)
    assert running.get("/users").status == 200


def test_a_body_without_a_length_is_counted_as_it_comes(running):
    head = f"POST /settings HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.settimeout(60)
        raw.sendall(head.encode())
        for _ in range(17):  # one more than the limit of one MiB
            raw.sendall(chunk)
        assert raw.recv(4000).startswith(b"HTTP/1.1 413")
    assert running.get("/users").status == 200


def test_a_crowd_is_told_of_once_and_other_errors_as_ever(caplog):
    loop, crowded = asyncio.new_event_loop(), Crowded()
    for _ in range(100):
        crowded(loop, {"message": "socket.accept()", "exception": OSError(errno.EMFILE, "Too many open files")})
    assert [record.getMessage() for record in caplog.records] == [
        "too many connections are open (Too many open files): new ones wait"
    ]
    crowded(loop, {"message": "something else", "exception": ValueError("x")})
    assert caplog.records[-1].getMessage() == "something else"
    loop.close()


def test_more_connections_than_a_process_may_have_at_first_are_taken_where_the_system_lets_it():
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] != resource.RLIM_INFINITY and limits[1] <= 256:
        pytest.skip("this system allows no more")
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        allow_many()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == limits[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
