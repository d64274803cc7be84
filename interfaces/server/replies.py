"""What handlers answer with: JSON, and problems in the shape that the editor shows; and how bodies are read."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from aiohttp import web

from ...errors import GlidewireError
from ...graph_runtime.formats.json_text import parse

BODY_SECONDS: Final = 30.0
"""How long a client may take to send a body of JSON."""


class Refused(GlidewireError):
    """A request that is answered with a 4xx or 5xx and a sentence that helps.

    Args:
        status: The HTTP status.
        message, expected, got, hint: As in GlidewireError.
        kind: A stable word for programs.
        node_errors: By node id, in the host's shape.
        details: In place of what is expected, got and hinted at.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        expected: object = None,
        got: object = None,
        hint: str | None = None,
        kind: str = "invalid_request",
        node_errors: dict[str, Any] | None = None,
        details: str | None = None,
    ) -> None:
        super().__init__(message, expected=expected, got=got, hint=hint)
        self.status, self.kind, self.node_errors = status, kind, node_errors or {}
        self.details = str(self)[len(message) :].lstrip(";. ") if details is None else details

    def response(self) -> web.Response:
        """The reply; never empty, because the editor reads every reply as JSON."""
        error = {"type": self.kind, "message": self.message, "details": self.details, "extra_info": {}}
        return as_json({"error": error, "node_errors": self.node_errors}, status=self.status)


def as_json(value: Any, status: int = 200) -> web.Response:
    """A reply in JSON that nobody keeps."""
    return web.json_response(value, status=status, dumps=_dumps, headers={"Cache-Control": "no-store"})


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


async def read_bytes(request: web.Request, limit: int) -> bytes:
    """The body of a request.

    Raises:
        Refused: it is longer than `limit` bytes, or compressed, or the client takes too long to send it.
    """
    if (coding := request.headers.get("Content-Encoding", "identity").casefold()) != "identity":
        raise Refused(415, "the request is compressed", expected="a body as it is", got=coding[:40], kind="compressed")
    if (request.content_length or 0) > limit:
        raise _too_long(limit, request.content_length)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_chunked(2**16):
                body += chunk
                if len(body) > limit:
                    raise _too_long(limit, f"more than {limit}")
    except TimeoutError:
        raise Refused(408, "the request took too long to arrive", expected=f"at most {BODY_SECONDS:.0f} s") from None
    return bytes(body)


def _too_long(limit: int, got: object) -> Refused:
    return Refused(413, "the request is too long", expected=f"at most {limit} bytes", got=got, kind="too_long")


async def read_json(request: web.Request, limit: int = 2**20) -> Any:
    """The body of a request as JSON.

    Raises:
        Refused: too long, too slow, not UTF-8, not JSON, nested too deeply.
    """
    body = await read_bytes(request, limit)
    try:
        return parse(body, "the request").value
    except GlidewireError as problem:
        raise Refused(
            400, problem.message, expected="JSON", got=problem.got, hint=problem.hint, kind="invalid_json"
        ) from None


async def read_object(request: web.Request, limit: int = 2**20) -> dict[str, Any]:
    """The body of a request as a JSON object; an empty body is an empty object.

    Raises:
        Refused: as `read_json`, or it is JSON of another kind.
    """
    if request.content_length == 0 or not request.can_read_body:
        return {}
    value = await read_json(request, limit)
    if not isinstance(value, dict):
        raise Refused(400, "the request is no JSON object", expected="{...}", got=type(value).__name__)
    return value


def whole_number(request: web.Request, name: str, default: int | None, most: int = 2**31) -> int | None:
    """A number of the query, at least 0.

    Raises:
        Refused: it is none.
    """
    text = request.query.get(name)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and int(text) <= most):
        raise Refused(400, f"the query's {name} is no number", expected=f"0 to {most}", got=repr(text[:40]))
    return int(text)
