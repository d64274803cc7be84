"""Pictures that come from the browser: checked, named, kept in the input folder."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from PIL import Image

from ...errors import GlidewireError
from ...graph_runtime.atomic import replacing
from ...graph_runtime.formats.json_text import parse
from ...graph_runtime.registry import Registry
from ...graph_runtime.widgets import File
from . import containment
from .editor_socket import FEATURES
from .files import folders_of, opened
from .replies import Refused, as_json
from .state import SERVER, Server

MOST_UPLOADED: Final = int(FEATURES["max_upload_size"])
_UPLOAD_SECONDS: Final = 120.0
_LONGEST_FIELD: Final = 4096


def upload_suffixes(registry: Registry) -> frozenset[str]:
    """The endings that some node's upload widget takes."""
    widgets = [entry.widget for declaration in registry for entry in declaration.inputs]
    found = {suffix for widget in widgets if isinstance(widget, File) and widget.upload for suffix in widget.suffixes}
    return frozenset(found - {".svg", ".html"})


async def upload_image(request: web.Request) -> web.Response:
    """POST /upload/image (image, subfolder, type, overwrite): a picture into the input folder."""
    server = request.app[SERVER]
    fields, file = await _form(request)
    name, data = file
    _check_picture(name, data, upload_suffixes(server.session.registry))
    return as_json(await asyncio.to_thread(_keep, server, fields, name, data))


async def _form(request: web.Request) -> tuple[dict[str, str], tuple[str, bytes]]:
    """The fields of a form and its one file, within limits.

    Raises:
        Refused: it is no such form, or too long, or takes too long.
    """
    if not request.content_type.startswith("multipart/"):
        raise Refused(415, "an upload is a form", expected="multipart/form-data", got=request.content_type[:60])
    fields: dict[str, str] = {}
    file: tuple[str, bytes] | None = None
    try:
        async with asyncio.timeout(_UPLOAD_SECONDS):
            async for part in await request.multipart():
                if not isinstance(part, BodyPartReader):
                    raise Refused(400, "an upload holds no forms inside a form")
                if part.filename is not None and file is None:
                    file = part.filename, await _part(part, MOST_UPLOADED)
                elif part.name and len(fields) < 20:
                    fields[part.name] = (await _part(part, _LONGEST_FIELD)).decode("utf-8", "replace")
    except TimeoutError:
        raise Refused(408, "the upload took too long", expected=f"at most {_UPLOAD_SECONDS:.0f} s") from None
    except (ValueError, AssertionError, HttpProcessingError) as problem:
        raise Refused(
            400, "the upload cannot be read", expected="multipart/form-data", got=str(problem)[:100]
        ) from None
    if file is None:
        raise Refused(400, "the upload has no file", expected="a field image with a file")
    return fields, file


async def _part(part: BodyPartReader, limit: int) -> bytes:
    body = bytearray()
    while chunk := await part.read_chunk(2**16):
        body += chunk
        if len(body) > limit:
            raise Refused(413, "the upload is too long", expected=f"at most {limit} bytes", kind="too_long")
    return bytes(body)


def _check_picture(name: str, data: bytes, suffixes: frozenset[str]) -> None:
    containment.vet(name)
    if "/" in name:
        raise Refused(403, "an upload's name holds a folder", expected="a file name; the folder is `subfolder`")
    suffix = Path(name).suffix.lower()
    if suffix not in suffixes:
        raise Refused(415, "this ending is not taken", expected=", ".join(sorted(suffixes)), got=suffix[:20] or "none")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data)) as image:  # reads the header only
                fits = suffix in {end for end, form in Image.registered_extensions().items() if form == image.format}
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Refused(413, "the picture has too many pixels", expected=f"at most {Image.MAX_IMAGE_PIXELS}") from None
    except Exception:
        fits = False
    if not fits:
        raise Refused(415, "the file is not what its ending says", expected=f"a {suffix} picture", kind="no_picture")


def _keep(server: Server, fields: dict[str, str], name: str, data: bytes) -> dict[str, Any]:
    """Write an upload: over the old one if asked to, else beside it under a number; the same bytes are kept once."""
    kind, subfolder = fields.get("type", "input"), fields.get("subfolder", "").strip("/")
    roots = {"input": server.uploads, "temp": server.temporary}
    if kind not in roots:
        raise Refused(400, "uploads go into the input folder", expected=", ".join(roots), got=kind[:40])
    folder = containment.inside(roots[kind], subfolder) if subfolder else roots[kind].resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if fields.get("overwrite", "").casefold() in ("true", "1"):
        _write(containment.inside(folder, name), data, new=False)
        return {"name": name, "subfolder": subfolder, "type": kind}
    digest = hashlib.sha256(data).digest()
    stem, suffix = Path(name).stem, Path(name).suffix
    for number in range(1000):
        tried = name if not number else f"{stem} ({number}){suffix}"
        path = containment.inside(folder, tried)
        if path.is_file() and path.stat().st_size == len(data) and hashlib.sha256(path.read_bytes()).digest() == digest:
            return {"name": tried, "subfolder": subfolder, "type": kind}
        if not path.exists():
            try:
                _write(path, data, new=True)
            except FileExistsError:
                continue
            return {"name": tried, "subfolder": subfolder, "type": kind}
    tried = f"{stem} {secrets.token_hex(4)}{suffix}"
    _write(containment.inside(folder, tried), data, new=True)
    return {"name": tried, "subfolder": subfolder, "type": kind}


def _write(path: Path, data: bytes, *, new: bool) -> None:
    try:
        with replacing(path, new=new) as temporary:
            temporary.write_bytes(data)
    except GlidewireError as problem:
        raise Refused(507, "the file cannot be saved", got=problem.got, hint="Make room on the disk.") from None


async def upload_mask(request: web.Request) -> web.Response:
    """POST /upload/mask (image, original_ref): the original picture with the transparency that was painted on it."""
    server = request.app[SERVER]
    fields, (name, data) = await _form(request)
    _check_picture(name, data, frozenset({".png"}))
    reference = parse(fields.get("original_ref", ""), "original_ref").value
    if not isinstance(reference, dict) or not all(isinstance(value, str) for value in reference.values()):
        raise Refused(400, "original_ref is no reference to a picture", expected='{"filename": ..., "type": ...}')
    fields.setdefault("subfolder", "clipspace")
    return as_json(await asyncio.to_thread(_keep_masked, server, fields, name, data, reference))


def _keep_masked(
    server: Server, fields: dict[str, str], name: str, data: bytes, reference: dict[str, str]
) -> dict[str, Any]:
    inside = "/".join(
        part for part in (reference.get("subfolder", "").strip("/"), reference.get("filename", "")) if part
    )
    original = opened(containment.find(folders_of(server, reference.get("type", "output")), inside)).convert("RGBA")
    painted = opened(BytesIO(data)).convert("RGBA").resize(original.size)
    original.putalpha(painted.getchannel("A"))
    into = BytesIO()
    original.save(into, "PNG")
    return _keep(server, fields, name, into.getvalue())


ROUTES = [web.post("/upload/image", upload_image), web.post("/upload/mask", upload_mask)]
