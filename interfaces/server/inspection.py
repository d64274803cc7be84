"""Routes of the editor extension: marks on a graph, values behind sockets, steps of samplers, a graph written out."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from ...errors import GlidewireError
from ...graph_runtime.graph import Graph
from ...graph_runtime.problems import Problem
from ..inspection import state, values, written
from ..python_source import as_python
from ..session import Session
from .replies import Refused, as_json, read_object
from .state import SERVER

PREFIX: Final = "/glidewire"
LONGEST_GRAPH: Final = 16 * 2**20
_FOR_EVER: Final = {"Cache-Control": "private, max-age=31536000, immutable"}
"""A key stands for its content, so what was read under it never changes."""


def routes(
    session_of: Callable[[web.Request], Session], saved_of: Callable[[web.Request], Path | None]
) -> list[web.RouteDef]:
    """The routes, for our server and for a node host alike.

    Args:
        session_of: Finds the session that a request is about.
        saved_of: Finds the folder that the editor saves workflows into.
    """
    handlers = _Handlers(session_of, saved_of)
    return [
        web.post(f"{PREFIX}/state", handlers.state),
        web.post(f"{PREFIX}/misfits", handlers.misfits),
        web.post(f"{PREFIX}/python", handlers.python),
        web.post(f"{PREFIX}/command", handlers.command),
        web.get(f"{PREFIX}/values/{{key}}/{{output}}", handlers.value),
        web.get(f"{PREFIX}/values/{{key}}/{{output}}/views/{{index}}", handlers.view),
        web.get(f"{PREFIX}/steps/{{key}}", handlers.steps),
        web.get(f"{PREFIX}/steps/{{key}}/{{walk}}/{{index}}/{{name}}", handlers.step),
    ]


class _Handlers:
    def __init__(
        self, session_of: Callable[[web.Request], Session], saved_of: Callable[[web.Request], Path | None]
    ) -> None:
        self._session_of, self._saved_of = session_of, saved_of
        self._costs = state.Costs()

    async def state(self, request: web.Request) -> web.Response:
        """POST state {prompt, workflow}: problems, dims, and what would run, with cost and reason."""

        def answer(session: Session, body: Mapping[str, Any]) -> Any:
            graph, problems = _graph(session, body)
            return state.state(session, graph, problems, self._costs)

        return await self._asked(request, answer)

    async def misfits(self, request: web.Request) -> web.Response:
        """POST misfits {prompt, node, output}: where a wire from there cannot go."""

        def answer(session: Session, body: Mapping[str, Any]) -> Any:
            node, output = body.get("node"), body.get("output")
            if not isinstance(node, str) or type(output) is not int or not 0 <= output < 1000:
                raise Refused(
                    400,
                    "misfits of which output?",
                    expected='{"node": "3", "output": 0}',
                    got=repr((node, output))[:80],
                )
            return state.misfits(session, _graph(session, body)[0], node, output)

        return await self._asked(request, answer)

    async def python(self, request: web.Request) -> web.Response:
        """POST python {prompt, name}: the graph as Python source."""
        return await self._asked(
            request,
            lambda session, body: {
                "text": as_python(_graph(session, body)[0], session.registry, name=_name(body) or "workflow")
            },
        )

    async def command(self, request: web.Request) -> web.Response:
        """POST command {prompt, name}: the command line that runs the graph."""
        saved = self._saved_of(request)
        return await self._asked(
            request,
            lambda session, body: {"text": written.command(session, _graph(session, body)[0], _name(body), saved)},
        )

    async def value(self, request: web.Request) -> web.Response:
        """GET values/<key>/<output>?types=IMAGE: shape, dtype, range, histogram, and how to look at it."""
        session, key, output = self._session_of(request), _key(request), _number(request, "output")
        summary = await _found(values.value_summary, session.cache, key, output, _types(request))
        return as_json(summary)

    async def view(self, request: web.Request) -> web.Response:
        """GET values/<key>/<output>/views/<index>?types=IMAGE: a picture of it as PNG."""
        session, key, output = self._session_of(request), _key(request), _number(request, "output")
        index = _number(request, "index")
        data = await _found(values.value_picture, session.cache, key, output, _types(request), index)
        return web.Response(body=data, content_type="image/png", headers=_FOR_EVER)

    async def steps(self, request: web.Request) -> web.Response:
        """GET steps/<key>: the steps that a node left, with their facts."""
        found = await asyncio.to_thread(values.steps, self._session_of(request).cache, _key(request))
        return as_json({"walks": found})

    async def step(self, request: web.Request) -> web.Response:
        """GET steps/<key>/<walk>/<index>/<name>: a picture of a step as PNG."""
        cache, key, name = self._session_of(request).cache, _key(request), request.match_info["name"]
        walk, index = _number(request, "walk"), _number(request, "index")
        data = await _found(values.step_picture, cache, key, walk, index, name)
        return web.Response(body=data, content_type="image/png", headers=_FOR_EVER)

    async def _asked(self, request: web.Request, answer: Callable[[Session, Mapping[str, Any]], Any]) -> web.Response:
        """The answer to a question about a graph, worked out in a thread of its own."""
        session = self._session_of(request)
        try:
            body = await read_object(request, LONGEST_GRAPH)
            return as_json(await asyncio.to_thread(answer, session, body))
        except Refused as problem:
            return problem.response()
        except GlidewireError as problem:
            return _refused(400, problem).response()


async def _found(work: Callable[..., Any], *arguments: Any) -> Any:
    """What is read from the cache; what is not there is a 404 in words."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except GlidewireError as problem:
        raise web.HTTPNotFound(text=_refused(404, problem).response().text, content_type="application/json") from None


def _refused(status: int, problem: GlidewireError) -> Refused:
    return Refused(status, problem.message, expected=problem.expected, got=problem.got, hint=problem.hint)


def _graph(session: Session, body: Mapping[str, Any]) -> tuple[Graph, tuple[Problem, ...]]:
    prompt = body.get("prompt")
    if not isinstance(prompt, Mapping):
        raise Refused(400, "the request has no workflow in it", expected='{"prompt": {...}}', got=type(prompt).__name__)
    return state.read_graph(session, prompt, body.get("workflow"))


def _name(body: Mapping[str, Any]) -> str:
    name = body.get("name", "")
    if not isinstance(name, str) or len(name) > 400:
        raise Refused(400, "the workflow's name is no short text", got=repr(name)[:60])
    return name


def _key(request: web.Request) -> str:
    key = request.match_info["key"]
    if len(key) != 64 or not set(key) <= set(string.hexdigits.lower()):
        raise web.HTTPBadRequest(text="{}", content_type="application/json")
    return key


def _number(request: web.Request, name: str) -> int:
    text = request.match_info[name]
    if not (text.isascii() and text.isdecimal() and len(text) < 7):
        raise web.HTTPBadRequest(text="{}", content_type="application/json")
    return int(text)


def _types(request: web.Request) -> list[str]:
    return [kind for kind in request.query.get("types", "").split(",")[:8] if kind]


ROUTES: Final = routes(
    lambda request: request.app[SERVER].session, lambda request: request.app[SERVER].user / "files" / "workflows"
)
