"""Connections that hold the server up: whoever does not send a whole request head, or does not read its reply, in time
is let go of."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import struct
import sys
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

HEAD_SECONDS: Final = 20.0
"""How long a new connection may take until its first request's head is there."""

REPLY_SECONDS: Final = 120.0
"""How long a client may take to read its reply, besides what the reply's length allows; longer than `_KEEP_SECONDS`."""

_SLOWEST: Final = 16 * 2**10  # bytes a second that a client must read
_KEEP_SECONDS: Final = 75.0
_LINGER: Final = "hh" if sys.platform == "win32" else "ii"
_MOST_FILES: Final = 16_384
_LOG = logging.getLogger(__name__)
_SHUTDOWN_SECONDS: Final = 3.0


class Newcomers:
    """Which connections have not sent a whole request head yet, and since when."""

    def __init__(self) -> None:
        self._since: dict[web.RequestHandler, float] = {}
        self._heard: set[web.RequestHandler] = set()

    def mark(self, connection: web.RequestHandler) -> None:
        """A connection has sent a whole head."""
        self._heard.add(connection)

    def overdue(self, connections: list[web.RequestHandler], now: float, seconds: float) -> list[web.RequestHandler]:
        """Those of the open connections that have been silent for so many seconds since they were first seen."""
        self._heard &= set(connections)
        self._since = {one: self._since.get(one, now) for one in connections if one not in self._heard}
        return [one for one, since in self._since.items() if now - since > seconds]


class Readers:
    """Which connections are sent a reply, since when, and how much longer its length allows them to take.

    A reply that was read is forgotten with the connection's next request; if there is none, the connection is let go of
    before a reader of it would be.
    """

    def __init__(self) -> None:
        self._since: dict[web.RequestHandler, tuple[float, float]] = {}

    async def begin(self, request: web.Request, response: web.StreamResponse) -> None:
        """The head of a reply is about to be sent; a WebSocket's outbox has limits of its own."""
        if not isinstance(response, web.WebSocketResponse):
            now = asyncio.get_running_loop().time()
            self._since[request.protocol] = now, (response.content_length or 0) / _SLOWEST

    def forget(self, connection: web.RequestHandler) -> None:
        """The connection sends another request: it has read what it was sent."""
        self._since.pop(connection, None)

    def overdue(self, connections: list[web.RequestHandler], now: float, seconds: float) -> list[web.RequestHandler]:
        """Those of the open connections that have been at one reply for longer than so many seconds and its length."""
        self._since = {one: self._since[one] for one in connections if one in self._since}
        return [one for one, (since, more) in self._since.items() if now - since > seconds + more]


NEWCOMERS: web.AppKey[Newcomers] = web.AppKey("newcomers", Newcomers)
READERS: web.AppKey[Readers] = web.AppKey("readers", Readers)


def watch(application: web.Application) -> None:
    """Let an application note when requests come and replies begin, for a Runner."""
    newcomers, readers = Newcomers(), Readers()

    @web.middleware
    async def heard(request: web.Request, handler: Handler) -> web.StreamResponse:
        newcomers.mark(request.protocol)
        readers.forget(request.protocol)
        return await handler(request)

    application[NEWCOMERS], application[READERS] = newcomers, readers
    application.middlewares.insert(0, heard)
    application.on_response_prepare.append(readers.begin)


class Runner(web.AppRunner):
    """Serves an application to connections that get to the point.

    aiohttp itself waits for ever for the first head; later ones are bounded by its keep-alive, which we shorten.

    Args:
        application: The application, after `watch`.
        head_seconds: How long a first request's head may take.
        reply_seconds: How long reading a reply may take, besides what its length allows.
    """

    def __init__(
        self,
        application: web.Application,
        *,
        head_seconds: float = HEAD_SECONDS,
        reply_seconds: float = REPLY_SECONDS,
    ) -> None:
        super().__init__(
            application,
            access_log=None,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            keepalive_timeout=_KEEP_SECONDS,
            auto_decompress=False,  # nobody compresses what is sent to us, except into bombs
        )
        self._newcomers, self._head_seconds = application[NEWCOMERS], head_seconds
        self._readers, self._reply_seconds = application[READERS], reply_seconds
        self._watch: asyncio.Task[None] | None = None

    async def setup(self) -> None:
        """Get ready to listen."""
        await super().setup()
        self._watch = asyncio.create_task(self._let_go())

    async def cleanup(self) -> None:
        """Stop listening and end what is open."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        await super().cleanup()

    async def _let_go(self) -> None:
        while True:
            await asyncio.sleep(min(self._head_seconds, self._reply_seconds) / 4)
            open_now, now = list(self.server.connections) if self.server else [], asyncio.get_running_loop().time()
            for connection in self._newcomers.overdue(open_now, now, self._head_seconds):
                connection.force_close()
            for connection in self._readers.overdue(open_now, now, self._reply_seconds):
                _break_off(connection)


def _break_off(connection: web.RequestHandler) -> None:
    """End a connection whose client does not read: closing it would wait for that, or leave a file half sent."""
    link = connection.transport.get_extra_info("socket") if connection.transport else None
    if link is not None:
        with contextlib.suppress(OSError):  # the client may just have gone
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))  # nothing is sent any more
            link.shutdown(socket.SHUT_RDWR)


def allow_many() -> None:
    """Let this process have as many open connections as the system allows it to ask for, within reason."""
    try:
        import resource
    except ImportError:  # a system without such limits
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(_MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Crowded:
    """The loop's handler of errors: connections that cannot be taken for want of files are told of once a minute.

    asyncio tries each second for each one that waits, and would print a traceback every time.
    """

    def __init__(self) -> None:
        self._again = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an error that no task has."""
        problem = context.get("exception")
        if not isinstance(problem, OSError) or problem.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif loop.time() >= self._again:
            self._again = loop.time() + 60
            _LOG.warning("too many connections are open (%s): new ones wait", problem.strerror)
