"""The official editor: found where the extra is installed, served unmodified under a policy that keeps it at home."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Final

from aiohttp import web

from . import containment
from .guard import editor_policy
from .replies import Refused
from .state import SERVER
from .static_files import HERE, static

PACKAGE: Final = "comfyui-frontend-package"
TESTED: Final = ((1, 42), (1, 58))
"""The editor's versions that were tested, first and last."""


def find_frontend() -> Path | None:
    """The folder of the installed editor, or None."""
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    places = [Path(place) / "static" for place in (spec.submodule_search_locations or [])] if spec else []
    return next((place for place in places if (place / "index.html").is_file()), None)


def frontend_version() -> str | None:
    """The version of the installed editor, or None."""
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None


def version_notice(version: str) -> str | None:
    """What to say of an editor outside the range that was tested, or None."""
    numbers = tuple(int(part) if part.isdecimal() else 0 for part in version.split(".")[:2])
    (first, last), (low, high) = TESTED, (".".join(map(str, end)) for end in TESTED)
    if first <= numbers <= last:
        return None
    way = "older than those that were tested: update it" if numbers < first else "newer than those that were tested"
    return f"the editor {version} is {way} ({low} to {high}); it may still work"


async def page(request: web.Request) -> web.StreamResponse:
    """GET /: the editor, or how to get it."""
    frontend = request.app[SERVER].frontend
    response = static((frontend / "index.html") if frontend else HERE / "no_frontend.html")
    response.headers["Content-Security-Policy"] = editor_policy(request.headers["Host"])
    return response


async def user_style(request: web.Request) -> web.StreamResponse:
    """GET /user.css: hides what means nothing here."""
    return static(HERE / "user.css")


async def asset(request: web.Request) -> web.StreamResponse:
    """Any other file of the editor."""
    frontend, name = request.app[SERVER].frontend, request.match_info["name"]
    if frontend is None or name.startswith("api/"):
        raise Refused(404, "there is nothing of this name", got=f"/{name[:100]}", kind="not_found")
    path = containment.find((frontend,), name)
    response = static(path, keep=name.startswith("assets/"))
    response.headers["Content-Security-Policy"] = editor_policy(request.headers["Host"])
    return response


ROUTES = [web.get("/", page), web.get("/index.html", page), web.get("/user.css", user_style)]
"""Served without the prefix only; `asset` comes after everything else."""
