"""The WebSocket: who comes learns where things stand, and then hears everything in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from typing import Any, Final

from aiohttp import WSMsgType, web

from .frames import Message
from .narration import afterwards
from .outbox import SEEN, Connection
from .state import SERVER
from .submission import LONGEST_CLIENT

_MOST_CONNECTIONS: Final = 1_000
_HEARTBEAT: Final = 60.0
"""Half-open sockets are found within this; a shorter one drops browsers on machines that are busy sampling."""

_LONGEST_MESSAGE: Final = 2**16

FEATURES: Final = {"supports_preview_metadata": True, "max_upload_size": 64 * 2**20}
"""What the editor may count on; also at GET /features."""


async def editor_socket(request: web.Request) -> web.StreamResponse:
    """GET /ws?clientId=...: one client's messages; a name that was given before is taken up again."""
    server = request.app[SERVER]
    if len(server.outbox.connections) >= _MOST_CONNECTIONS:
        return web.json_response({"error": {"type": "busy", "message": "too many clients", "details": ""}}, status=503)
    socket = web.WebSocketResponse(heartbeat=_HEARTBEAT, max_msg_size=_LONGEST_MESSAGE, compress=False)
    await socket.prepare(request)
    named = request.query.get("clientId", "")
    client = named if 0 < len(named) <= LONGEST_CLIENT and named.isprintable() else uuid.uuid4().hex
    connection = Connection(client, socket)
    connection.put(server.worker.status(client))
    missed = [
        (job, server.store.outcome(job.id)) for job in server.store.ended_since(client, server.outbox.left(client))
    ]
    for message in [*(one for told in missed for one in afterwards(*told)), *server.worker.replay(client)]:
        connection.put(message)
    server.outbox.add(connection)
    sender = asyncio.create_task(connection.drain())
    sender.add_done_callback(lambda task: _end(connection, task))
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                _hear(connection, message.data)
    finally:
        server.outbox.remove(connection)
        sender.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await sender
    return socket


def _end(connection: Connection, task: asyncio.Task[None]) -> None:
    """A client that cannot be sent to is let go of; it reconnects if it still lives."""
    if not task.cancelled() and task.exception() is not None and not connection.socket.closed:
        connection.closing = asyncio.ensure_future(connection.socket.close(code=1013))


def _hear(connection: Connection, text: str) -> None:
    """Clients say only what they can do; whatever else they say is passed over."""
    try:
        said: Any = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(said, dict):
        return
    if said.get("type") == SEEN:
        connection.seen()
    elif said.get("type") == "feature_flags" and isinstance(said.get("data"), dict):
        connection.features = said["data"]
        connection.put(Message("feature_flags", FEATURES))
