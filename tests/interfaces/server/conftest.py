"""A real server over the tiny nodes, on a free port, and a client that sends exactly what it is told."""

from __future__ import annotations

import asyncio
import http.client
import json
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the server needs the extra serve")
from aiohttp import web
from glidewire.graph_runtime.registry import Registry
from glidewire.interfaces.server.access import Access
from glidewire.interfaces.server.application import make_application, open_server
from glidewire.interfaces.server.state import Server
from glidewire.interfaces.session import Session, pack_registry


class Reply:
    """A reply, read whole."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A server that runs, and requests to it."""

    def __init__(self, server: Server, port: int) -> None:
        self.server, self.port = server, port
        self.url = f"http://127.0.0.1:{port}"

    def send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        """A request whose path goes out as it is; `headers` may replace Host."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {"Host": f"127.0.0.1:{self.port}", **(headers or {})}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        try:
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, headers=headers)

    def post(self, path: str, value: Any = None, **headers: str) -> Reply:
        return self.send("POST", path, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})

    def queue(self, prompt: Any, **fields: Any) -> str:
        """Queue a workflow that is in order; its job's id."""
        reply = self.post("/prompt", {"prompt": prompt, **fields})
        assert reply.status == 200, reply.body
        return reply.json["prompt_id"]

    def wait(self, id_: str, seconds: float = 60) -> dict[str, Any]:
        """A job as it is listed when it has ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            job = self.get(f"/jobs/{id_}").json
            if job["status"] not in ("pending", "in_progress"):
                return job
            time.sleep(0.02)
        raise AssertionError(f"job {id_} has not ended: {job['status']}")


@contextmanager
def serving(server: Server) -> Iterator[Running]:
    """Run a server in a thread of its own until the block ends."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    ports: list[int] = []

    async def start() -> web.AppRunner:
        runner = web.AppRunner(make_application(server), access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ports.append(runner.addresses[0][1])
        return runner

    def work() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield Running(server, ports[0])
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)


def make(folder: Path, registry: Registry, **options: Any) -> Server:
    """A server over some nodes, in folders of its own."""
    for name in ("input", "output"):
        (folder / name).mkdir(exist_ok=True)
    session = Session.open(
        registry=registry,
        inputs=[folder / "input"],
        output=folder / "output",
        device="cpu",
        cache=options.pop("cache", None),
    )
    return open_server(session, user=folder / "user", access=options.pop("access", Access()), **options)


@pytest.fixture
def make_server(tmp_path: Path, registry: Registry) -> Callable[..., Server]:
    """Makes servers over the tiny nodes in folders of this test."""
    return lambda **options: make(tmp_path, options.pop("registry", registry), **options)


@pytest.fixture(scope="module")
def editor_server(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Iterator[Running]:
    """One server for the tests of a module that look at it in a browser: the pack's nodes and the tiny ones."""
    with serving(make(tmp_path_factory.mktemp("editor"), Registry([*pack_registry(), *registry]))) as found:
        yield found


@pytest.fixture
def running(make_server: Callable[..., Server]) -> Iterator[Running]:
    """A server that runs."""
    with serving(make_server()) as found:
        yield found


@pytest.fixture
def run_server() -> Callable[[Server], Any]:
    """Runs a server that a test made itself."""
    return serving


def chain(steps: int = 3, count: int = 4, name: str = "grain", pause: float = 0.0) -> dict[str, Any]:
    """The API form of a small workflow: noise, some steps with previews, and a node that keeps the sum."""
    return {
        "1": {"class_type": "GlidewireTinyNoise", "inputs": {"count": count, "seed": 1}},
        "2": {"class_type": "GlidewireTinySteps", "inputs": {"grain": ["1", 0], "steps": steps, "pause": pause}},
        "3": {"class_type": "GlidewireTinyKeep", "inputs": {"grain": ["2", 0], "name": name}},
    }


@pytest.fixture
def endless() -> dict[str, Any]:
    """The API form of a workflow that would run for an hour: for tests that stop it."""
    return chain(steps=100_000, pause=0.04)


@pytest.fixture
def workflow() -> Callable[..., dict[str, Any]]:
    """Makes the API form of a small workflow."""
    return chain


@pytest.fixture
def bomb() -> bytes:
    """A small PNG that says it has 60,000 by 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
