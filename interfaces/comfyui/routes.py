"""What the host's server answers for us: the help pages of our nodes, and what our extension asks of a graph."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ...graph_runtime.registry import Registry
from ..session import Session
from ..surroundings import PACKAGE
from . import host
from .cache import shared_cache


def pack_name() -> str:
    """What the host calls the pack: the name of the folder that it was loaded from."""
    return Path(str(sys.modules[PACKAGE].__file__)).parent.name


def session(registry: Registry) -> Session:
    """The host's surroundings as a session, for what is asked about a graph."""
    return Session(registry=registry, folders=host.folders(), policy=host.policy(), cache=shared_cache())


def offer_routes(registry: Registry) -> None:
    """Add our routes to the host's server, if it has one: it adds them to its own before it starts."""
    table = getattr(host.server(), "routes", None)
    if table is None:
        return
    from aiohttp import web

    from ..help_pages import help_page
    from ..server import inspection

    async def help_of(request: web.Request) -> web.Response:
        declaration = registry.get(request.match_info["node"])
        if declaration is None:
            raise web.HTTPNotFound
        return web.Response(text=help_page(declaration), content_type="text/markdown", charset="utf-8")

    def session_of(request: Any) -> Session:
        return session(registry)

    own = [web.get(f"/extensions/{pack_name()}/docs/{{node}}.md", help_of)]
    for route in [*own, *inspection.routes(session_of, lambda request: None)]:
        # Without options: the host repeats each route under /api, and fails where one has any.
        table.route(route.method, route.path)(route.handler)
