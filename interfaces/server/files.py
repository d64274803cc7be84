"""Pictures and other results: looked at through /view, sent in through /upload."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from aiohttp import BodyPartReader, web
from PIL import Image

from ...errors import GlidewireError
from ...graph_runtime.atomic import replacing
from ...graph_runtime.registry import Registry
from ...graph_runtime.widgets import File
from . import containment
from .editor_socket import FEATURES
from .replies import Refused, as_json
from .state import SERVER, Server

MOST_UPLOADED: Final = int(FEATURES["max_upload_size"])
_UPLOAD_SECONDS: Final = 120.0
_LONGEST_FIELD: Final = 4096
_PREVIEWS: Final = {"webp": "WEBP", "jpeg": "JPEG"}

_SHOWN: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json; charset=utf-8",
}
"""What a browser may show in place; anything else (SVG and HTML first of all) is only ever downloaded."""


async def view(request: web.Request) -> web.StreamResponse:
    """GET /view?filename&subfolder&type&preview&channel: a file of the input, output or temporary folder."""
    server, query = request.app[SERVER], request.query
    name, kind = query.get("filename", ""), query.get("type", "output")
    for ending in ("input", "output", "temp"):
        if name.endswith(f" [{ending}]"):
            name, kind = name[: -len(ending) - 3], ending
    subfolder = query.get("subfolder", "").strip("/")
    path = containment.find(folders_of(server, kind), f"{subfolder}/{name}" if subfolder else name)
    preview, channel = query.get("preview", ""), query.get("channel", "")
    if (preview or channel) and _SHOWN.get(path.suffix.lower(), "").startswith("image/"):
        body, content_type = await asyncio.to_thread(_converted, path, preview, channel)
        return web.Response(body=body, content_type=content_type, headers={"Cache-Control": "no-cache"})
    return sent(path)


def sent(path: Path) -> web.FileResponse:
    """A file as it is; what a browser could run is handed over as a download."""
    content_type = _SHOWN.get(path.suffix.lower())
    name = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "._- ") else "_" for letter in path.name
    )
    place = "inline" if content_type else "attachment"
    headers = {
        "Content-Type": content_type or "application/octet-stream",
        "Content-Disposition": f'{place}; filename="{name}"',
        "Cache-Control": "no-cache",
    }
    return web.FileResponse(path, headers=headers)


def folders_of(server: Server, kind: str) -> tuple[Path, ...]:
    """The folders behind the host's words input, output and temp.

    Raises:
        Refused: another word.
    """
    known = {
        "input": server.session.folders.input,
        "output": (server.session.folders.output,),
        "temp": (server.temporary,),
    }
    if kind not in known:
        raise Refused(400, "there is no such folder", expected=", ".join(known), got=repr(kind)[:60])
    return known[kind]


def _converted(path: Path, preview: str, channel: str) -> tuple[bytes, str]:
    """A picture made smaller to send, or one of its parts: "rgb" without, "a" only its transparency."""
    image = opened(path)
    kind, _, quality = preview.partition(";")
    form = _PREVIEWS.get(kind, "PNG") if preview else "PNG"
    if channel == "rgb":
        image = image.convert("RGB")
    elif channel == "a":
        alpha = image.convert("RGBA").getchannel("A")
        image = Image.merge("LA", (Image.new("L", alpha.size), alpha)).convert("RGBA")
    if form == "JPEG":
        image = image.convert("RGB")
    into = BytesIO()
    image.save(into, form, quality=min(int(quality), 100) if quality.isdecimal() and len(quality) < 4 else 90)
    return into.getvalue(), f"image/{form.lower()}"


def opened(source: Path | BytesIO) -> Image.Image:
    """A whole picture, decoded, within the limit on pixels.

    Raises:
        Refused: it is none, or has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source) as image:
                image.load()
                return image.copy()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = Image.MAX_IMAGE_PIXELS
        raise Refused(413, "the picture has too many pixels", expected=f"at most {limit}", kind="too_long") from None
    except Exception as problem:  # a damaged file makes Pillow raise almost anything
        got = f"{type(problem).__name__}"
        raise Refused(415, "this is no picture", expected="a whole picture file", got=got, kind="no_picture") from None


# Uploads


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
    except (ValueError, AssertionError) as problem:
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


ROUTES = [
    web.get("/view", view),
    web.post("/upload/image", upload_image),
]
