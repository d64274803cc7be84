"""Connections that do not get to the point: whoever has not sent a whole request head in time is let go of."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

HEAD_SECONDS: Final = 20.0
"""How long a new connection may take until its first request's head is there."""

_KEEP_SECONDS: Final = 75.0
_MOST_FILES: Final = 16_384
_LOG = logging.getLogger(__name__)
_SHUTDOWN_SECONDS: Final = 3.0


class Newcomers:
    """Which connections have not sent a whole request head yet, and since when."""

    def __init__(self) -> None:
        self._since: dict[web.RequestHandler, float] = {}
        self._heard: set[web.RequestHandler] = set()

    @web.middleware
    async def hear(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A request has come through on a connection."""
        self.mark(request.protocol)
        return await handler(request)

    def mark(self, connection: web.RequestHandler) -> None:
        """A connection has sent a whole head."""
        self._heard.add(connection)

    def overdue(self, connections: list[web.RequestHandler], now: float, seconds: float) -> list[web.RequestHandler]:
        """Those of the open connections that have been silent for so many seconds since they were first seen."""
        self._heard &= set(connections)
        self._since = {one: self._since.get(one, now) for one in connections if one not in self._heard}
        return [one for one, since in self._since.items() if now - since > seconds]


NEWCOMERS: web.AppKey[Newcomers] = web.AppKey("newcomers", Newcomers)


class Runner(web.AppRunner):
    """Serves an application to connections that get to the point.

    aiohttp itself waits for ever for the first head; later ones are bounded by its keep-alive, which we shorten.

    Args:
        application: The application, with NEWCOMERS.
        head_seconds: How long a first request's head may take.
    """

    def __init__(self, application: web.Application, *, head_seconds: float = HEAD_SECONDS) -> None:
        super().__init__(
            application,
            access_log=None,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            keepalive_timeout=_KEEP_SECONDS,
            auto_decompress=False,  # nobody compresses what is sent to us, except into bombs
        )
        self._newcomers, self._head_seconds = application[NEWCOMERS], head_seconds
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
            await asyncio.sleep(self._head_seconds / 4)
            open_now = list(self.server.connections) if self.server else []
            for connection in self._newcomers.overdue(open_now, asyncio.get_running_loop().time(), self._head_seconds):
                connection.force_close()


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
