"""Files that the browser loads as they are: the frontend, our extension, what this server adds."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import web

HERE: Final = Path(__file__).resolve().parent / "static"
"""What only this server's editor needs."""

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".map": "application/json; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".ico": "image/x-icon",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".ttf": "font/ttf",
    ".otf": "font/otf",
    ".wasm": "application/wasm",
    ".md": "text/markdown; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
"""Our own table: what a machine's registry says of .js differs, and modules of another type are not run."""


def static(path: Path, *, keep: bool = False) -> web.FileResponse:
    """A file with the type that its ending means.

    Args:
        path: The file, already vetted.
        keep: Its name changes with its content: the browser need not ask again.
    """
    headers = {
        "Content-Type": _TYPES.get(path.suffix.lower(), "application/octet-stream"),
        "Cache-Control": "private, max-age=31536000, immutable" if keep else "no-cache",
    }
    return web.FileResponse(path, headers=headers)
