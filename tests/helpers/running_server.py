"""A server that runs in a thread of this process, on a free port, and a client that sends exactly what it is told."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web
from glidewire.interfaces.server.application import make_application
from glidewire.interfaces.server.connections import Runner
from glidewire.interfaces.server.state import Server


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
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=180)
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
def serving(server: Server, port: int = 0, **patience: float) -> Iterator[Running]:
    """Run a server in a thread of its own until the block ends; `patience` is the runner's."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    ports: list[int] = []

    async def start() -> Runner:
        runner = Runner(make_application(server), **patience)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
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
