"""What the editor knows of nodes: their descriptions, help pages, and the extensions that run in it."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any, Final

from aiohttp import web

from ...graph_runtime.folders import Folders
from ...graph_runtime.host_schema import object_info
from ...graph_runtime.registry import Registry
from ...graph_runtime.widgets import Choice, File
from ..help_pages import help_page
from . import containment
from .replies import Refused, as_json
from .state import SERVER
from .static_files import HERE, static

PACK: Final = "glidewire"


class _Listings(Folders):
    """Folders that look each listing up once."""

    def listing(self, folder: str, suffixes: Any = ()) -> list[str]:
        key = (folder, tuple(suffixes))
        known = self.__dict__.setdefault("_known", {})
        if key not in known:
            known[key] = super().listing(folder, suffixes)
        return known[key]


class Descriptions:
    """The reply to /object_info, made again only when a file or an option that it lists came or went."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: object = None
        self._body = b""

    def body(self, registry: Registry, folders: Folders) -> bytes:
        """Every node as the host describes it, in JSON."""
        seen = _Listings(folders.models, folders.input, folders.output, folders.files)
        state = _offered(registry, seen)
        with self._lock:
            if state != self._state:
                self._body = json.dumps(descriptions(registry, seen), separators=(",", ":")).encode()
                self._state = state
            return self._body


def _offered(registry: Registry, folders: Folders) -> list[tuple[str, ...]]:
    """What the widgets offer that can change while the server runs: files, and options that are asked for."""
    widgets = [entry.widget for declaration in registry for entry in declaration.inputs]
    files = [tuple(folders.listing(one.folder, one.suffixes)) for one in widgets if isinstance(one, File)]
    options = [tuple(one.current()) for one in widgets if isinstance(one, Choice) and callable(one.options)]
    return files + options


def descriptions(registry: Registry, folders: Folders) -> dict[str, Any]:
    """Every node as the host describes it; under a former id it is there for old workflows, but not offered."""
    found = {declaration.id: object_info(declaration, folders) for declaration in registry}
    for declaration in registry:
        for name in declaration.aliases:
            found[name] = {**found[declaration.id], "name": name, "deprecated": True}
    return found


DESCRIPTIONS: web.AppKey[Descriptions] = web.AppKey("descriptions", Descriptions)


async def show_nodes(request: web.Request) -> web.Response:
    """GET /object_info: every node."""
    session = request.app[SERVER].session
    body = await asyncio.to_thread(request.app[DESCRIPTIONS].body, session.registry, session.folders)
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})


async def show_node(request: web.Request) -> web.Response:
    """GET /object_info/{node}: one node; an empty object if there is none."""
    session, name = request.app[SERVER].session, request.match_info["node"]
    declaration = session.registry.get(name)
    return as_json({} if declaration is None else {name: object_info(declaration, session.folders)})


async def list_extensions(request: web.Request) -> web.Response:
    """GET /extensions: the modules that the editor loads: those that only this server needs, and the pack's own."""
    web_folder = request.app[SERVER].web
    own = [f"/extensions/{PACK}-server/{path.name}" for path in sorted(HERE.glob("*.js"))]
    found = sorted(path.relative_to(web_folder).as_posix() for path in web_folder.rglob("*.js") if path.is_file())
    return as_json([*own, *(f"/extensions/{PACK}/{name}" for name in found)])


async def extension_file(request: web.Request) -> web.StreamResponse:
    """GET /extensions/glidewire/...: a file of our extension, or the help page of a node."""
    server, name = request.app[SERVER], request.match_info["name"]
    containment.vet(name)
    if name.startswith("docs/") and name.endswith(".md"):
        return _help(server.session.registry, name)
    return static(containment.find((server.web,), name))


async def own_file(request: web.Request) -> web.StreamResponse:
    """GET /extensions/glidewire-server/...: a file that only this server's editor needs."""
    return static(containment.find((HERE,), request.match_info["name"]))


def _help(registry: Registry, name: str) -> web.Response:
    """docs/<node>.md, or docs/<node>/<language>.md: there is one language, so the second is asked for in vain."""
    declaration = registry.get(name.removeprefix("docs/").removesuffix(".md"))
    if declaration is None:
        raise Refused(404, "there is no such help page", got=name[:100], kind="not_found")
    return web.Response(text=help_page(declaration), content_type="text/markdown", charset="utf-8")


ROUTES = [
    web.get("/object_info", show_nodes),
    web.get("/object_info/{node}", show_node),
    web.get("/extensions", list_extensions),
    web.get(f"/extensions/{PACK}-server/{{name:.+}}", own_file),
    web.get(f"/extensions/{PACK}/{{name:.+}}", extension_file),
]
