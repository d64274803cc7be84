"""Pictures and other results, looked at through /view."""

from __future__ import annotations

import asyncio
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Final

from aiohttp import web
from PIL import Image

from . import containment
from .replies import Refused
from .state import SERVER, Server

_PREVIEWS: Final = {"webp": "WEBP", "jpeg": "JPEG"}
_CONVERTERS: Final = ThreadPoolExecutor(2, "glidewire-view")
"""So many pictures are decoded at a time, however many are asked for: one of the largest takes 360 MB."""

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
        body, content_type = await asyncio.get_running_loop().run_in_executor(
            _CONVERTERS, _converted, path, preview, channel
        )
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


ROUTES = [web.get("/view", view)]
