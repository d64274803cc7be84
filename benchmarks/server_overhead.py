"""What the server adds to a run: microseconds a node beside the same session without it, and requests per second.

python -m glidewire.benchmarks.server_overhead [--lengths 10 100 1000] [--repeat 5] [--requests 200]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from PIL import Image
from rich.console import Console
from rich.table import Table

from ..graph_runtime.formats import to_api
from ..graph_runtime.registry import Registry
from ..interfaces.server.application import make_application, open_server
from ..interfaces.server.connections import Runner
from ..interfaces.server.state import Server
from ..interfaces.session import Session, pack_registry
from .runtime_overhead import REGISTRY, chain

PATHS = ("/object_info", "/view?filename=picture.png", "/view?filename=picture.png&preview=webp;80", "/jobs")


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of the processor (of client and server together, which share a process)."""

    wall: float
    processor: float

    @classmethod
    def since(cls, begun: Took) -> Took:
        """From then until now."""
        return cls(time.perf_counter() - begun.wall, time.process_time() - begun.processor)

    @classmethod
    def now(cls) -> Took:
        """Both clocks."""
        return cls(time.perf_counter(), time.process_time())

    @classmethod
    def median(cls, times: list[Took]) -> Took:
        """Of each clock."""
        return cls(statistics.median(t.wall for t in times), statistics.median(t.processor for t in times))


def alone(session: Session, length: int, repeat: int) -> Took:
    """A chain of `length` nodes through the session, as the command line runs it."""
    times = []
    for _ in range(repeat + 1):
        session.cache.clear_memory()
        begun = Took.now()
        session.run(chain(length), metadata=True)
        times.append(Took.since(begun))
    return Took.median(times[1:])  # the first one imports things


async def served(client: aiohttp.ClientSession, server: Server, length: int, repeat: int) -> Took:
    """From the request until the WebSocket says that the same chain is over."""
    times = []
    body = {"prompt": to_api(chain(length)), "client_id": "benchmark"}
    async with client.ws_connect("/ws?clientId=benchmark") as socket:
        for _ in range(repeat + 1):
            server.session.cache.clear_memory()
            begun = Took.now()
            async with client.post("/prompt", json=body) as reply:
                assert reply.status == 200, await reply.text()
            while True:
                message = json.loads((await socket.receive()).data)
                if message["type"] == "executing" and message["data"]["node"] is None:
                    break
            times.append(Took.since(begun))
    return Took.median(times[1:])


async def added(client: aiohttp.ClientSession, server: Server, lengths: list[int], repeat: int) -> Table:
    """What the server costs a chain of nodes, beside the same session without it."""
    table = Table("nodes", "alone, ms", "served, ms", "served / alone", "added per node, µs", "of that processor, µs")
    for length in lengths:
        without = await asyncio.to_thread(alone, server.session, length, repeat)
        with_it = await served(client, server, length, repeat)
        more, worked = with_it.wall - without.wall, with_it.processor - without.processor
        figures = (without.wall * 1e3, with_it.wall * 1e3, with_it.wall / without.wall)
        per_node = (more / length * 1e6, worked / length * 1e6)
        table.add_row(str(length), *(f"{figure:.1f}" for figure in (*figures, *per_node)))
    return table


async def asked(client: aiohttp.ClientSession, idle: aiohttp.ClientSession, count: int) -> Table:
    """Requests per second, and beside a handler of aiohttp that sends as many bytes and does nothing else."""
    table = Table("request", "per second", "per second of processor", "bytes", "of bare aiohttp")
    for path in PATHS:
        async with client.get(path) as reply:
            size = len(await reply.read())
        took, least = await rate(client, path, count), await rate(idle, f"/{size}", count)
        rates = (1 / took.wall, 1 / took.processor)
        table.add_row(path, *(f"{one:.0f}" for one in rates), str(size), f"{least.processor / took.processor:.0%}")
    return table


async def rate(client: aiohttp.ClientSession, path: str, count: int) -> Took:
    """What a request takes, eight at a time."""
    waiting = asyncio.Semaphore(8)

    async def one() -> None:
        async with waiting, client.get(path) as reply:
            assert reply.status == 200
            await reply.read()

    await one()
    begun = Took.now()
    await asyncio.gather(*(one() for _ in range(count)))
    took = Took.since(begun)
    return Took(took.wall / count, took.processor / count)


async def send_nothing(request: web.Request) -> web.Response:
    """So many bytes, without any work."""
    return web.Response(body=bytes(int(request.match_info["size"])))


@asynccontextmanager
async def listening(runner: web.AppRunner) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of an application that listens while the block runs."""
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
            yield client
    finally:
        await runner.cleanup()


def open_folder(folder: Path) -> Server:
    """A server over the pack's nodes and the trivial ones, with one picture among its outputs."""
    for name in ("input", "output"):
        (folder / name).mkdir()
    Image.effect_noise((256, 256), 60).convert("RGB").save(folder / "output" / "picture.png")
    registry = Registry([*pack_registry(), *REGISTRY])
    options: dict[str, Any] = {"inputs": [folder / "input"], "output": folder / "output", "device": "cpu"}
    return open_server(Session.open(registry=registry, cache=None, **options), user=folder / "user")


async def measure(lengths: list[int], repeat: int, requests: int, folder: Path) -> None:
    """Run every measurement and print the tables."""
    server, bare = open_folder(folder), web.Application()
    bare.router.add_get("/{size}", send_nothing)
    async with (
        listening(Runner(make_application(server))) as client,
        listening(web.AppRunner(bare, access_log=None)) as idle,
    ):
        tables = await added(client, server, lengths, repeat), await asked(client, idle, requests)
    for table in tables:
        Console().print(table)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(chosen.lengths, chosen.repeat, chosen.requests, Path(folder)))


if __name__ == "__main__":
    main()
