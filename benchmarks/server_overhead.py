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
from collections.abc import Awaitable, Callable
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
from ..interfaces.session import Session, pack_registry
from .runtime_overhead import REGISTRY, chain


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
    for _ in range(repeat):
        session.cache.clear_memory()
        begun = Took.now()
        session.run(chain(length), metadata=True)
        times.append(Took.since(begun))
    return Took.median(times)


async def served(client: aiohttp.ClientSession, server: Any, length: int, repeat: int) -> Took:
    """From the request until the WebSocket says that the same chain is over."""
    times = []
    body = {"prompt": to_api(chain(length)), "client_id": "benchmark"}
    async with client.ws_connect("/ws?clientId=benchmark") as socket:
        for _ in range(repeat):
            server.session.cache.clear_memory()
            begun = Took.now()
            async with client.post("/prompt", json=body) as reply:
                assert reply.status == 200, await reply.text()
            while True:
                message = json.loads((await socket.receive()).data)
                if message["type"] == "executing" and message["data"]["node"] is None:
                    break
            times.append(Took.since(begun))
    return Took.median(times)


async def rate(ask: Callable[[], Awaitable[None]], count: int) -> Took:
    """What a request takes, eight at a time."""
    waiting = asyncio.Semaphore(8)

    async def one() -> None:
        async with waiting:
            await ask()

    await one()
    begun = Took.now()
    await asyncio.gather(*(one() for _ in range(count)))
    took = Took.since(begun)
    return Took(took.wall / count, took.processor / count)


async def measure(lengths: list[int], repeat: int, requests: int, folder: Path) -> None:
    """Run every measurement and print the tables."""
    for name in ("input", "output"):
        (folder / name).mkdir()
    Image.effect_noise((256, 256), 60).convert("RGB").save(folder / "output" / "picture.png")
    options: dict[str, Any] = {
        "inputs": [folder / "input"],
        "output": folder / "output",
        "device": "cpu",
        "cache": None,
    }
    session = Session.open(registry=Registry([*pack_registry(), *REGISTRY]), **options)
    server = open_server(session, user=folder / "user")
    runner = Runner(make_application(server))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    table = Table("nodes", "alone, ms", "served, ms", "added per node, µs", "of that processor, µs")
    async with aiohttp.ClientSession(base) as client:
        for length in lengths:
            without = await asyncio.to_thread(alone, session, length, repeat)
            with_it = await served(client, server, length, repeat)
            added, worked = with_it.wall - without.wall, with_it.processor - without.processor
            figures = (without.wall * 1e3, with_it.wall * 1e3, added / length * 1e6, worked / length * 1e6)
            table.add_row(str(length), *(f"{figure:.1f}" for figure in figures))
        asked = Table("request", "per second", "per second of processor", "bytes")
        for path in (
            "/object_info",
            "/view?filename=picture.png",
            "/view?filename=picture.png&preview=webp;80",
            "/jobs",
        ):
            size = 0

            async def ask(path: str = path) -> None:
                nonlocal size
                async with client.get(path) as reply:
                    size = len(await reply.read())

            took = await rate(ask, requests)
            asked.add_row(path, f"{1 / took.wall:.0f}", f"{1 / took.processor:.0f}", str(size))
    await runner.cleanup()
    console = Console()
    console.print(table)
    console.print(asked)


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
