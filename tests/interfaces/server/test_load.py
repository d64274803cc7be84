"""Fifty clients at once, each queueing and listening: nothing is lost and everyone hears his own end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

CLIENTS, EACH = 50, 4


def test_fifty_clients_lose_nothing(running, workflow):
    async def client(session: aiohttp.ClientSession, index: int) -> tuple[list[str], list[str]]:
        name = f"client {index}"
        async with session.ws_connect(f"{running.url}/ws?clientId={name}") as ws:
            ids = []
            for number in range(EACH):
                prompt = workflow(steps=2, count=1 + (index + number) % 8, name=f"{index} {number}")
                async with session.post(f"{running.url}/prompt", json={"prompt": prompt, "client_id": name}) as reply:
                    assert reply.status == 200
                    ids.append((await reply.json())["prompt_id"])
            ended: list[str] = []
            while len(ended) < EACH:
                message = await ws.receive(60)
                said: dict[str, Any] = json.loads(message.data) if message.type is aiohttp.WSMsgType.TEXT else {}
                if said.get("type") == "execution_success":
                    ended.append(said["data"]["prompt_id"])
            return ids, ended

    async def work() -> list[tuple[list[str], list[str]]]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as session:
            return await asyncio.gather(*(client(session, index) for index in range(CLIENTS)))

    told = asyncio.run(work())
    every = [id_ for ids, _ in told for id_ in ids]
    assert len(set(every)) == CLIENTS * EACH
    for ids, ended in told:
        assert ended == ids  # his own, in his order
    page = running.get("/jobs?status=completed&limit=1000").json
    assert {job["id"] for job in page["jobs"]} == set(every) and page["pagination"]["total"] == CLIENTS * EACH
    assert len(list((running.server.session.folders.output).glob("*.txt"))) == CLIENTS * EACH
