"""Queueing and stopping: /prompt, /queue, /interrupt, /free, as the host has them."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import web

from . import submission
from .jobs import Job
from .replies import Refused, as_json, read_object
from .state import SERVER, Server

LONGEST_PROMPT: Final = 64 * 2**20
MOST_PENDING: Final = 10_000


async def queue_prompt(request: web.Request) -> web.Response:
    """POST /prompt: check a workflow and queue it; 400 with every problem where nothing of it can run."""
    server = request.app[SERVER]
    body = await read_object(request, LONGEST_PROMPT)
    client, id_, number = submission.client_of(body), submission.id_of(body), submission.number_of(body)
    if server.store.count(("pending",)) >= MOST_PENDING:
        raise Refused(429, "the queue is full", expected=f"at most {MOST_PENDING} jobs", hint="Wait, or clear it.")
    asked = await asyncio.to_thread(submission.read, body, server.session)
    kept = submission.worth_keeping(body)
    job = Job(id_, client=client, workflow=submission.workflow_of(body))
    try:
        job = server.store.add(job, kept, front=body.get("front") is True, number=number)
    except KeyError:
        raise Refused(409, "there is a job with this prompt_id already", got=id_, kind="duplicate_id") from None
    server.worker.wake(job.id, asked)
    server.outbox.post([server.worker.status()])
    return as_json({"prompt_id": job.id, "number": job.number, "node_errors": asked.node_errors})


async def show_remaining(request: web.Request) -> web.Response:
    """GET /prompt: how long the queue is."""
    return as_json(request.app[SERVER].worker.status().data["status"])


async def show_queue(request: web.Request) -> web.Response:
    """GET /queue: what runs and what waits, in the order in which it will run."""
    server = request.app[SERVER]
    return as_json(await asyncio.to_thread(_queue, server))


def _queue(server: Server) -> dict[str, Any]:
    return {
        f"queue_{name}": [queue_entry(server, job) for job in server.store.listed((status,), limit=1_000)]
        for name, status in (("running", "in_progress"), ("pending", "pending"))
    }


def queue_entry(server: Server, job: Job) -> list[Any]:
    """A job as the host lists it: [number, id, prompt, extra data, nodes with an effect]."""
    asked = server.store.request(job.id)
    extra = {**(asked.get("extra_data") or {}), "client_id": job.client, "create_time": job.created}
    return [job.number, job.id, asked.get("prompt", {}), extra, asked.get("partial_execution_targets") or []]


async def change_queue(request: web.Request) -> web.Response:
    """POST /queue {"clear": true} or {"delete": [ids]}: take waiting jobs out."""
    server = request.app[SERVER]
    body = await read_object(request)
    gone = server.store.cancel() if body.get("clear") else []
    if "delete" in body:
        gone += server.store.cancel(ids_in(body, "delete"))
    server.outbox.post([server.worker.status()])
    return as_json({"cancelled": gone})


async def interrupt(request: web.Request) -> web.Response:
    """POST /interrupt {"prompt_id"?}: stop what runs (only if it is that job) at its next step."""
    body = await read_object(request)
    id_ = body.get("prompt_id")
    if id_ is not None and not isinstance(id_, str):
        raise Refused(400, "prompt_id is no text", got=repr(id_)[:60])
    return as_json({"cancelled": request.app[SERVER].worker.cancel(id_ or None)})


async def free(request: web.Request) -> web.Response:
    """POST /free: forget what the cache holds in memory; the disk stays."""
    await read_object(request)
    await asyncio.to_thread(request.app[SERVER].session.cache.clear_memory)
    return as_json({})


def ids_in(body: dict[str, Any], name: str) -> list[str]:
    """A list of job ids.

    Raises:
        Refused: it is none.
    """
    ids = body.get(name)
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise Refused(400, f"{name} is no list of job ids", expected='["..."]', got=repr(ids)[:60])
    return ids


ROUTES = [
    web.post("/prompt", queue_prompt),
    web.get("/prompt", show_remaining),
    web.get("/queue", show_queue),
    web.post("/queue", change_queue),
    web.post("/interrupt", interrupt),
    web.post("/free", free),
]
