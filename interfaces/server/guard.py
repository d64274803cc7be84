"""The middleware around every handler: access, errors as JSON, and headers that keep pages and files in their place."""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from ...errors import GlidewireError
from .. import sources
from .access import COOKIE
from .replies import Refused
from .state import SERVER

_IN_THE_WAY: Final = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LOG = logging.getLogger(__name__)

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}

SANDBOX: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""What a document may do that is not the editor itself: nothing."""


def editor_policy(host: str) -> str:
    """The policy of the editor's page: everything from this server, nothing from anywhere else."""
    return "; ".join(
        [
            "default-src 'self' data: blob:",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",  # the editor compiles its templates
            "style-src 'self' 'unsafe-inline'",
            f"connect-src 'self' ws://{host} wss://{host} data: blob:",
            "worker-src 'self' blob:",
            "frame-src 'none'",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a request only where access allows it, and never with a traceback."""
    try:
        request.app[SERVER].access.check(request)
        return await handler(request)
    except Refused as problem:
        return _entrance(request, problem) or problem.response()
    except GlidewireError as problem:
        return _own(400, problem).response()
    except web.HTTPException as problem:
        if problem.status < 400:
            raise
        refused = Refused(problem.status, problem.reason, got=f"{request.method} {request.path[:200]}", kind="http")
        return refused.response()
    except (OSError, ValueError, sqlite3.Error) as problem:
        return _trouble(request, problem).response()
    except Exception as problem:
        _LOG.exception("%s %s failed", request.method, request.path)
        text = f"the server made a mistake of its own ({type(problem).__name__})"
        hint = sources.restart_advice() or "Please report it with what the server printed."
        return Refused(500, text, hint=hint, kind="server_error").response()


def _own(status: int, problem: GlidewireError) -> Refused:
    return Refused(status, problem.message, expected=problem.expected, got=problem.got, hint=problem.hint)


def _trouble(request: web.Request, problem: OSError | ValueError | sqlite3.Error) -> Refused:
    """A disk that is full, a name that the system does not take, a folder where a file is meant."""
    _LOG.warning("%s %s: %s", request.method, request.path[:200], problem)
    if isinstance(problem, sqlite3.Error):
        hint = "Make room, or start with another --cache."
        return Refused(507, "the disk does not take what is kept of jobs", got=problem, hint=hint)
    if isinstance(problem, OSError) and problem.errno in _IN_THE_WAY:
        got = problem.strerror or type(problem).__name__
        return Refused(409, "another file or folder is in the way of this name", got=got, kind="in_the_way")
    if isinstance(problem, OSError):
        reason = problem.strerror or type(problem).__name__
        return Refused(507, f"the disk does not take it: {reason}", hint="Make room, or check who owns the folder.")
    return Refused(400, "the request cannot be read", got=type(problem).__name__)


def _entrance(request: web.Request, problem: Refused) -> web.Response | None:
    """A person who opens the address with ?token=... gets it as a cookie; one without is told in words."""
    if problem.status != 401 or request.method != "GET" or request.path not in ("/", "/index.html"):
        return None
    access = request.app[SERVER].access
    if access.is_token(request.query.get("token", "")):
        reply = web.Response(status=303, headers={"Location": "/"})
        token = access.token or ""
        reply.set_cookie(COOKIE, token, httponly=True, samesite="Strict", secure=request.secure, path="/")
        return reply
    text = f"<!doctype html><meta charset=utf-8><title>glidewire</title><p>{problem.message}: {problem.expected}."
    return web.Response(text=text, status=401, content_type="text/html")


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set what every reply carries."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", SANDBOX)
    response.headers.pop("Server", None)
