"""The application: every room's handlers behind one guard, and the beginning and end of the server's life."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import platformdirs
from aiohttp import web

from ...errors import GlidewireError
from .. import sources
from ..session import Session
from ..surroundings import ROOT
from . import (
    editor_socket,
    files,
    frontend,
    inspection,
    job_routes,
    machine,
    node_routes,
    queue_routes,
    settings,
    templates,
    uploads,
    user_files,
)
from .access import Access
from .connections import Crowded, Runner, allow_many, watch
from .guard import add_headers, guard
from .job_store import JobStore
from .outbox import Outbox
from .queue_routes import LONGEST_PROMPT
from .state import SERVER, Server
from .worker import Worker

ROOMS: Final = (
    queue_routes,
    job_routes,
    node_routes,
    inspection,
    files,
    uploads,
    user_files,
    settings,
    templates,
    machine,
)
"""Each has ROUTES, which are served with and without the prefix /api."""


def open_server(
    session: Session,
    *,
    user: Path | None = None,
    access: Access | None = None,
    jobs: Path | None = None,
    installed: Path | None = None,
) -> Server:
    """A server around a session.

    Args:
        session: The nodes, folders, device policy and cache.
        user: The folder of what users save; the user's data folder if left out.
        access: Who may talk to it.
        jobs: The database of jobs; beside the cache if left out, in memory where there is no cache on disk.
        installed: The folder of the editor; looked for if left out.

    Raises:
        GlidewireError: the database cannot be opened.
    """
    sources.remember("glidewire serve")
    store = session.cache.store
    if jobs is None and store is not None:
        jobs = store.folder.parent / "server.sqlite"
    held = JobStore(jobs)
    outbox = Outbox()
    folder = user or platformdirs.user_data_path("glidewire")
    (folder / "files" / "workflows").mkdir(parents=True, exist_ok=True)
    return Server(
        session=session,
        store=held,
        worker=Worker(session, held, outbox.post),
        outbox=outbox,
        access=access or Access(),
        user=folder,
        frontend=installed or frontend.find_frontend(),
        uploads=session.folders.input[0],
        temporary=Path(tempfile.mkdtemp(prefix="glidewire-")),
        web=ROOT / "web",
    )


def make_application(server: Server) -> web.Application:
    """The application of a server: routes, guard, and a worker that lives as long as the application."""
    application = web.Application(middlewares=[guard], client_max_size=LONGEST_PROMPT)
    application[SERVER] = server
    application[node_routes.DESCRIPTIONS] = node_routes.Descriptions()
    application.on_response_prepare.append(add_headers)
    watch(application)
    application.cleanup_ctx.append(_life)
    for prefix in ("", "/api"):
        application.router.add_get(f"{prefix}/ws", editor_socket.editor_socket)
        for room in ROOMS:
            for route in room.ROUTES:
                application.router.add_route(route.method, prefix + route.path, route.handler)
    application.add_routes(frontend.ROUTES)
    application.router.add_get("/{name:.*}", frontend.asset)
    return application


async def _life(application: web.Application) -> AsyncIterator[None]:
    server = application[SERVER]
    server.outbox.attach(asyncio.get_running_loop())
    server.worker.start()
    yield
    for connection in server.outbox.connections:
        await connection.socket.close(code=1001, message=b"the server ends")
    await asyncio.to_thread(server.worker.close)
    server.store.close()
    shutil.rmtree(server.temporary, ignore_errors=True)


async def serve(application: web.Application, host: str, port: int, ready: Callable[[int], None]) -> None:
    """Serve until the process is asked to end (Ctrl-C, SIGTERM); then end clients and the run in order.

    Args:
        application: Of `make_application`.
        host, port: Where to listen; port 0 takes a free one.
        ready: Told the port when the server listens.

    Raises:
        GlidewireError: the address cannot be listened on.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(Crowded())
    allow_many()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # where there are no signals, Ctrl-C is an exception
            loop.add_signal_handler(number, stop.set)
    runner = Runner(application)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, OverflowError, UnicodeError) as problem:
            raise GlidewireError(
                f"cannot listen on {host}:{port}",
                expected="an address of this machine and a free port",
                got=getattr(problem, "strerror", None) or str(problem),
                hint="Give another --port.",
            ) from problem
        ready(runner.addresses[0][1])
        await stop.wait()
    finally:
        await runner.cleanup()
