"""Fetching a file over HTTPS: resumed where it was interrupted, checked by its digest, whole or not there."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

from ..errors import GlidewireError

_CHUNK = 2**20
_SECONDS = 30.0  # of silence before a connection counts as lost
_HERE = ("localhost", "127.0.0.1", "::1")
_SHA256 = re.compile(r'"?([0-9a-f]{64})"?')

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Source:
    """A file at the other end.

    Attributes:
        url: Where it is.
        size: Its bytes, where known.
        sha256: The digest of its content, where known.
        page: Where a person reads about it and accepts its licence.
    """

    url: str
    size: int | None = None
    sha256: str | None = None
    page: str = ""


class _LostConnectionError(Exception):
    """The other side does not answer, or stopped."""


def download(
    source: Source, destination: Path, *, on_progress: Progress = lambda done, total: None, attempts: int = 5
) -> str:
    """Fetch a file; what was fetched before an interruption is kept beside it, and not fetched again.

    Args:
        source: The file.
        destination: Where to; its folder is made. Nothing stands there before all of it is fetched and checked.
        on_progress: Told the bytes that are there, and their number in the end if the other side says it.
        attempts: How often in turn a connection may break without a byte gained; 0 gives up at the first break.

    Returns:
        The sha256 of the content.

    Raises:
        GlidewireError: The other side does not answer, has no such file or does not give it; the digest or the size
            is another; the folder cannot be written to or has no room.
    """
    _require_safe(source.url)
    partial = destination.with_name(f"{destination.name}.part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        source = _all_of(source, partial, on_progress, attempts)
        digest = _checked(source, partial, destination.name)
        partial.replace(destination)
        _note(partial).unlink(missing_ok=True)
    except OSError as error:
        raise GlidewireError(
            f"{destination.name} cannot be written",
            expected="a folder that may be written to, with room for it",
            got=f"{destination.parent}: {error.strerror or error}",
            hint="What was fetched stays: run the command again." if partial.exists() else None,
        ) from error
    return digest


def _all_of(source: Source, partial: Path, on_progress: Progress, attempts: int) -> Source:
    """Fetch until all is there, over as many connections as it takes."""
    left = attempts
    while True:
        before = _size(partial)
        try:
            return _fetch(source, partial, on_progress)
        except _LostConnectionError as error:
            left = attempts if _size(partial) > before else left - 1
            if not left:
                raise GlidewireError(
                    f"the connection to {urllib.parse.urlsplit(source.url).netloc} was lost",
                    expected="the whole file",
                    got=f"{_size(partial)} bytes{f' of {source.size}' if source.size else ''}; {str(error)[:200]}",
                    hint="Run the command again: it goes on from there.",
                ) from error


def _fetch(source: Source, partial: Path, on_progress: Progress) -> Source:
    """One connection: append to `partial` what is still missing."""
    start, known = _size(partial), _noted(partial)
    headers = {"User-Agent": "glidewire", "Accept-Encoding": "identity"}
    request = urllib.request.Request(source.url, headers=headers)  # noqa: S310 - `_require_safe` saw it
    if start and known:
        request.add_header("Range", f"bytes={start}-")
        # The rest of another version of the file would not fit.
        request.add_header("If-Range", known)
    with _opened(request, source) as (answer, redirected):
        if answer.status == 416:  # nothing is missing, or it is another file now
            if answer.headers["Content-Range"] == f"bytes */{start}":
                return replace(source, size=start)
            partial.unlink()
            raise _LostConnectionError("it has another version of the file now")
        resumed = answer.status == 206 and (answer.headers["Content-Range"] or "").startswith(f"bytes {start}-")
        start = start if resumed else 0
        source = _described(source, answer, redirected, start)
        if etag := answer.headers["ETag"]:
            _note(partial).write_text(json.dumps(etag))
        _require_room(partial, (source.size or 0) - start)
        with partial.open("ab" if resumed else "wb") as file:
            on_progress(start, source.size)
            while chunk := _read(answer):
                file.write(chunk)
                start += len(chunk)
                on_progress(start, source.size)
    if source.size is not None and start < source.size:
        raise _LostConnectionError("it ended early")
    return source


def _described(source: Source, answer: Any, redirected: Any, start: int) -> Source:
    """The source with what the answer says of it where nothing was known."""
    length = answer.headers["Content-Length"]
    size = source.size or (start + int(length) if length and length.isdecimal() else None)
    # A hub's redirect tells the digest of what it leads to.
    linked = _SHA256.fullmatch((redirected or answer.headers).get("X-Linked-Etag") or "")
    return replace(source, size=size, sha256=source.sha256 or (linked.group(1) if linked else None))


@contextmanager
def _opened(request: urllib.request.Request, source: Source) -> Iterator[tuple[Any, Any]]:
    """The answer to a request, and the headers of the first redirect before it."""
    redirect = _Redirect()
    try:
        answer = urllib.request.build_opener(redirect).open(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            yield error, None
            return
        if error.code in (408, 429) or error.code >= 500:
            raise _LostConnectionError(f"it answers {error.code} {error.reason}") from error
        raise _refused(source, error) from error
    except (OSError, HTTPException) as error:
        raise _LostConnectionError(str(getattr(error, "reason", error))) from error
    with answer:
        yield answer, redirect.headers


def _read(answer: Any) -> bytes:
    try:
        return answer.read(_CHUNK)
    except (OSError, HTTPException) as error:
        raise _LostConnectionError(str(error)) from error


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follows redirects to safe places, and keeps the headers of the first."""

    headers: Any = None

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _require_safe(newurl)
        self.headers = self.headers or headers
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_safe(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _HERE):
        raise GlidewireError("a file is fetched over HTTPS alone", expected="https://...", got=url[:200])


def _refused(source: Source, error: urllib.error.HTTPError) -> GlidewireError:
    page = source.page or source.url
    hint = f"See {page}, and put the file into a folder of models by hand."
    if error.code in (401, 403):
        hint = f"Its licence may have to be accepted first: {hint[0].lower()}{hint[1:]}"
    return GlidewireError(
        f"{urllib.parse.urlsplit(source.url).netloc} does not give the file",
        expected="the file",
        got=f"{error.code} {error.reason}",
        hint=hint,
    )


def _checked(source: Source, partial: Path, name: str) -> str:
    """The sha256 of what was fetched; what is not what was asked for is removed."""
    with partial.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = _size(partial)
    for expected, got in ((source.size, size), (source.sha256, digest)):
        if expected not in (None, got):
            partial.unlink()
            _note(partial).unlink(missing_ok=True)
            raise GlidewireError(
                f"{name} is not the file that was published",
                expected=f"{expected} {'bytes' if got is size else '(sha256)'}",
                got=got,
                hint="It was removed. Run the command again; if it happens twice, the other side has changed it.",
            )
    return digest


def _require_room(partial: Path, missing: int) -> None:
    free = shutil.disk_usage(partial.parent).free
    if missing > free:
        raise GlidewireError(
            f"there is no room for {partial.name.removesuffix('.part')} in {partial.parent}",
            expected=f"{missing} bytes",
            got=f"{free} bytes free",
            hint="Make room, or name another folder.",
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _note(partial: Path) -> Path:
    """Where the version of a file is written down that a part of is there."""
    return partial.with_name(f"{partial.name}.etag")


def _noted(partial: Path) -> str | None:
    with suppress(OSError, ValueError):
        etag = json.loads(_note(partial).read_text())
        # A weak tag names no bytes.
        return etag if isinstance(etag, str) and not etag.startswith("W/") else None
    return None
