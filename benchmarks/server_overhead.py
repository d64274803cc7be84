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
from ..interfaces.session import Session, pack_registry
from .runtime_overhead import REGISTRY, chain


def alone(session: Session, length: int, repeat: int) -> float:
    """Seconds for a chain of `length` nodes through the session, as the command line runs it."""
    times = []
    for _ in range(repeat):
        session.cache.clear_memory()
        begun = time.perf_counter()
        session.run(chain(length), metadata=True)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


async def served(client: aiohttp.ClientSession, server: Any, length: int, repeat: int) -> float:
    """Seconds from the request until the WebSocket says that the same chain is over."""
    times = []
    body = {"prompt": to_api(chain(length)), "client_id": "benchmark"}
    async with client.ws_connect("/ws?clientId=benchmark") as socket:
        for _ in range(repeat):
            server.session.cache.clear_memory()
            begun = time.perf_counter()
            async with client.post("/prompt", json=body) as reply:
                assert reply.status == 200, await reply.text()
            while True:
                message = json.loads((await socket.receive()).data)
                if message["type"] == "executing" and message["data"]["node"] is None:
                    break
            times.append(time.perf_counter() - begun)
    return statistics.median(times)


async def rate(ask: Callable[[], Awaitable[None]], count: int) -> float:
    """Requests per second, eight at a time."""
    waiting = asyncio.Semaphore(8)

    async def one() -> None:
        async with waiting:
            await ask()

    await one()
    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    return count / (time.perf_counter() - begun)


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
    runner = web.AppRunner(make_application(server), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    table = Table("nodes", "session alone, ms", "through the server, ms", "added per node, µs")
    async with aiohttp.ClientSession(base) as client:
        for length in lengths:
            without = await asyncio.to_thread(alone, session, length, repeat)
            with_it = await served(client, server, length, repeat)
            added = (with_it - without) / length * 1e6
            table.add_row(str(length), f"{without * 1e3:.1f}", f"{with_it * 1e3:.1f}", f"{added:.0f}")
        asked = Table("request", "per second", "bytes")
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

            asked.add_row(path, f"{await rate(ask, requests):.0f}", str(size))
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
