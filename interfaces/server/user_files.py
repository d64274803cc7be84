"""What users keep on the server: saved workflows and the like, in one folder that holds nothing else."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from ...errors import GlidewireError
from ...graph_runtime.atomic import replacing
from . import containment
from .replies import Refused, as_json, read_bytes
from .state import SERVER, Server

LONGEST: Final = 64 * 2**20
_MOST_LISTED: Final = 10_000
_TYPES: Final = {
    ".json": "application/json",
    ".css": "text/css",
    ".txt": "text/plain",
    ".md": "text/plain",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
}
"""The endings that are kept, each with the type it is sent as; none of them runs in a browser."""

_ABSENT: Final = {"user.css": "", "comfy.templates.json": "[]"}
"""What the editor asks for at every start, as it is where the user has none."""


def folder(server: Server) -> Path:
    """The folder behind the editor's userdata; settings and jobs lie elsewhere."""
    return server.user / "files"


async def list_files(request: web.Request) -> web.Response:
    """GET /userdata?dir&recurse&split&full_info: the files of a folder; none where it does not exist."""
    query = request.query
    root = folder(request.app[SERVER])
    name = query.get("dir", "").strip("/")
    start = containment.inside(root, name) if name else root
    recurse, full, split = (query.get(flag, "") in ("true", "1") for flag in ("recurse", "full_info", "split"))
    return as_json(await asyncio.to_thread(_listed, root, start, recurse, full, split))


def _listed(root: Path, start: Path, recurse: bool, full: bool, split: bool) -> list[Any]:
    base, found = root.resolve(), []
    for path in sorted(start.rglob("*") if recurse else start.glob("*")):
        relative = path.relative_to(start)
        if any(part.startswith(".") for part in relative.parts) or not path.is_file():
            continue
        if not path.resolve().is_relative_to(base):
            continue
        name = relative.as_posix()
        found.append(_info(path, name) if full else [name, *relative.parts] if split else name)
        if len(found) >= _MOST_LISTED:
            break
    return found


async def get_file(request: web.Request) -> web.StreamResponse:
    """GET /userdata/{file}: a file, as what it is and never as something to run."""
    name = request.match_info["file"]
    try:
        path = containment.find((folder(request.app[SERVER]),), name)
    except Refused as problem:
        if problem.status == 404 and name in _ABSENT:
            return web.Response(text=_ABSENT[name], content_type=_TYPES[Path(name).suffix])
        raise
    content_type = _TYPES.get(path.suffix.lower(), "application/octet-stream")
    place = "inline" if path.suffix.lower() in _TYPES else "attachment"
    headers = {"Content-Type": content_type, "Content-Disposition": place, "Cache-Control": "no-store"}
    return web.FileResponse(path, headers=headers)


async def save_file(request: web.Request) -> web.Response:
    """POST /userdata/{file}?overwrite&full_info: keep a file; 409 where it is there and shall not be overwritten."""
    root, name = folder(request.app[SERVER]), request.match_info["file"]
    path = _place(root, name)
    new = request.query.get("overwrite", "true") == "false"
    data = await read_bytes(request, LONGEST)
    await asyncio.to_thread(_write, path, data, name, new)
    return as_json(_info(path, name) if request.query.get("full_info") == "true" else name)


async def delete_file(request: web.Request) -> web.Response:
    """DELETE /userdata/{file}."""
    path = containment.find((folder(request.app[SERVER]),), request.match_info["file"])
    path.unlink(missing_ok=True)
    return web.Response(status=204)


async def move_file(request: web.Request) -> web.Response:
    """POST /userdata/{file}/move/{to}?overwrite: another name."""
    root, name = folder(request.app[SERVER]), request.match_info["to"]
    source = containment.find((root,), request.match_info["file"])
    target = _place(root, name)
    if target.exists() and request.query.get("overwrite", "true") == "false":
        raise _there(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    await asyncio.to_thread(shutil.move, source, target)
    return as_json(_info(target, name) if request.query.get("full_info") == "true" else name)


def _place(root: Path, name: str) -> Path:
    path = containment.inside(root, name)
    if path.suffix.lower() not in _TYPES:
        got = path.suffix[:20] or "none"
        raise Refused(
            415, "files of this ending are not kept", expected=", ".join(_TYPES), got=got, kind="forbidden_type"
        )
    if path.is_dir():
        raise Refused(409, "there is a folder of this name", got=name[:100], kind="exists")
    return path


def _write(path: Path, data: bytes, name: str, new: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path, new=new) as temporary:
            temporary.write_bytes(data)
    except FileExistsError:
        raise _there(name) from None
    except GlidewireError as problem:
        raise Refused(507, f"{name} cannot be saved", got=problem.got, hint="Make room on the disk.") from None


def _there(name: str) -> Refused:
    return Refused(409, "there is such a file already", got=name[:100], kind="exists")


def _info(path: Path, name: str) -> dict[str, Any]:
    facts = path.stat()
    modified, created = int(facts.st_mtime * 1000), int(facts.st_ctime * 1000)
    return {"path": name, "size": facts.st_size, "modified": modified, "created": created}


ROUTES = [
    web.get("/userdata", list_files),
    web.post("/userdata/{file:[^/]+}/move/{to:[^/]+}", move_file),
    web.get("/userdata/{file:.+}", get_file),
    web.post("/userdata/{file:.+}", save_file),
    web.delete("/userdata/{file:.+}", delete_file),
]
