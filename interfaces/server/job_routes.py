"""Jobs and history: the newer editors' /jobs and the older ones' /history, over one store."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import web

from .jobs import FINISHED, STATUSES, Job, Outcome
from .queue_routes import ids_in, queue_entry
from .replies import Refused, as_json, read_object, whole_number
from .state import SERVER, Server

_MOST_LISTED: Final = 1_000


async def list_jobs(request: web.Request) -> web.Response:
    """GET /jobs?status=a,b&limit&offset&sort_order&workflow_id: jobs, the newest first."""
    server, query = request.app[SERVER], request.query
    asked = [one for one in query.get("status", "").split(",") if one] or list(STATUSES)
    unknown = [one for one in asked if one not in STATUSES]
    if unknown:
        raise Refused(400, "there is no such status", expected=", ".join(STATUSES), got=", ".join(unknown)[:60])
    offset = whole_number(request, "offset", 0) or 0
    limit = min(whole_number(request, "limit", _MOST_LISTED) or _MOST_LISTED, _MOST_LISTED)
    newest = query.get("sort_order", "desc") != "asc"
    workflow = query.get("workflow_id")
    total = server.store.count(asked, workflow)
    jobs = server.store.listed(asked, newest_first=newest, offset=offset, limit=limit, workflow=workflow)
    more = offset + len(jobs) < total
    pages = {"offset": offset, "limit": limit, "total": total, "has_more": more}
    return as_json({"jobs": [job_entry(job) for job in jobs], "pagination": pages})


async def show_job(request: web.Request) -> web.Response:
    """GET /jobs/{id}: one job with its workflow and what came of it."""
    server = request.app[SERVER]
    job = _job(request)
    asked, outcome = server.store.request(job.id), server.store.outcome(job.id)
    extra = {**(asked.get("extra_data") or {}), "client_id": job.client, "create_time": job.created}
    whole = {
        **job_entry(job),
        "outputs": outcome.outputs,
        "workflow": {"prompt": asked.get("prompt", {}), "extra_data": extra},
        "execution_status": _status(job, outcome),
        "execution_meta": _meta(outcome),
        "glidewire": {"nodes": outcome.nodes, "digests": outcome.digests},
    }
    return as_json(whole)


async def cancel_job(request: web.Request) -> web.Response:
    """POST /jobs/{id}/cancel: take it out of the queue, or stop it at its next step."""
    job = _job(request)
    return as_json({"cancelled": _cancel(request.app[SERVER], [job.id])})


async def cancel_jobs(request: web.Request) -> web.Response:
    """POST /jobs/cancel {"job_ids": [...]}: the same for several."""
    ids = ids_in(await read_object(request), "job_ids")
    return as_json({"cancelled": _cancel(request.app[SERVER], ids)})


async def show_history(request: web.Request) -> web.Response:
    """GET /history?max_items&offset: finished jobs by id, the oldest of them first."""
    server = request.app[SERVER]
    offset = whole_number(request, "offset", 0) or 0
    limit = min(whole_number(request, "max_items", 200) or 200, _MOST_LISTED)
    return as_json(await asyncio.to_thread(_history, server, offset, limit))


async def show_history_of(request: web.Request) -> web.Response:
    """GET /history/{id}: one finished job under its id; an empty object while it is none."""
    server = request.app[SERVER]
    job = server.store.get(request.match_info["id"])
    return as_json({job.id: _entry(server, job)} if job and job.status in FINISHED else {})


async def change_history(request: web.Request) -> web.Response:
    """POST /history {"clear": true} or {"delete": [ids]}: forget finished jobs; their files stay."""
    server = request.app[SERVER]
    body = await read_object(request)
    if body.get("clear"):
        server.store.forget()
    if "delete" in body:
        server.store.forget(ids_in(body, "delete"))
    return as_json({})


def job_entry(job: Job) -> dict[str, Any]:
    """A job as /jobs lists it; what is not known yet is left out."""
    entry: dict[str, Any] = {
        "id": job.id,
        "status": job.status,
        "priority": job.number,
        "create_time": job.created,
        "execution_start_time": job.started,
        "execution_end_time": job.ended,
        "workflow_id": job.workflow or None,
        "outputs_count": job.summary.get("outputs_count"),
        "preview_output": job.summary.get("preview_output"),
        "execution_error": job.summary.get("error"),
    }
    return {name: value for name, value in entry.items() if value is not None}


def _job(request: web.Request) -> Job:
    job = request.app[SERVER].store.get(request.match_info["id"])
    if job is None:
        raise Refused(404, "there is no such job", got=request.match_info["id"][:60], kind="not_found")
    return job


def _cancel(server: Server, ids: list[str]) -> bool:
    gone = [id_ for id_ in ids if server.worker.cancel(id_)] + server.store.cancel(ids)
    server.outbox.post([server.worker.status()])
    return bool(gone)


def _history(server: Server, offset: int, limit: int) -> dict[str, Any]:
    jobs = server.store.listed(FINISHED, newest_first=True, offset=offset, limit=limit)
    return {job.id: _entry(server, job) for job in reversed(jobs)}


def _entry(server: Server, job: Job) -> dict[str, Any]:
    outcome = server.store.outcome(job.id)
    return {
        "prompt": queue_entry(server, job),
        "outputs": outcome.outputs,
        "status": _status(job, outcome),
        "meta": _meta(outcome),
    }


def _status(job: Job, outcome: Outcome) -> dict[str, Any]:
    done = job.status == "completed"
    return {"status_str": "success" if done else "error", "completed": done, "messages": list(outcome.messages)}


def _meta(outcome: Outcome) -> dict[str, Any]:
    ids = ("node_id", "display_node", "real_node_id")
    return {node: {**dict.fromkeys(ids, node), "parent_node": None} for node in outcome.outputs}


ROUTES = [
    web.get("/jobs", list_jobs),
    web.post("/jobs/cancel", cancel_jobs),
    web.get("/jobs/{id}", show_job),
    web.post("/jobs/{id}/cancel", cancel_job),
    web.get("/history", show_history),
    web.get("/history/{id}", show_history_of),
    web.post("/history", change_history),
]
