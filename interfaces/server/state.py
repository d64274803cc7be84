"""Where handlers find the server: `request.app[SERVER]`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from ..session import Session
from .access import Access
from .job_store import JobStore
from .outbox import Outbox
from .worker import Worker


@dataclass(frozen=True)
class Server:
    """Everything that handlers share.

    Args:
        session: The nodes, folders, device policy and cache.
        store: The jobs.
        worker: Runs them.
        outbox: The clients.
        access: Who may talk to the server.
        user: The folder of what users save: `files` behind the editor's userdata, and beside it the settings.
        frontend: The folder of the official frontend, or None where it is not installed.
        uploads: The folder that uploads go into: the first of the input folders.
        temporary: The folder of pictures that are only looked at.
        web: The folder of our editor extension.
    """

    session: Session
    store: JobStore
    worker: Worker
    outbox: Outbox
    access: Access
    user: Path
    frontend: Path | None
    uploads: Path
    temporary: Path
    web: Path
    notices: list[str] = field(default_factory=list)


SERVER: web.AppKey[Server] = web.AppKey("server", Server)
