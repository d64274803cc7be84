"""Workflows inside pictures: PNG text chunks and WebP EXIF, laid out as the node host writes and reads them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from ...errors import GlidewireError
from ..atomic import replacing

MAX_BYTES = 256 * 2**20
"""The largest picture file that is read."""

WORKFLOW, PROMPT = "workflow", "prompt"
"""The texts that hold the saved workflow and the API form."""

_EXIF_MAKE, _EXIF_MODEL = 0x010F, 0x0110


def is_picture(data: bytes) -> bool:
    """Whether the bytes begin like a PNG or a WebP."""
    return data.startswith(b"\x89PNG\r\n\x1a\n") or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def read_texts(data: bytes, name: str = "the picture") -> dict[str, str]:
    """Every text in a PNG (tEXt, zTXt, iTXt) or WebP (EXIF values of the form "key:text"), by key.

    Args:
        data: The file.
        name: What to call it in errors.

    Raises:
        GlidewireError: damaged, cut short, too large, or with more pixels than Pillow's limit.
    """
    if len(data) > MAX_BYTES:
        raise GlidewireError(f"{name} is too large", expected=f"at most {MAX_BYTES} bytes", got=len(data))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=("PNG", "WEBP")) as image:
                return _png_texts(image) if isinstance(image, PngImagePlugin.PngImageFile) else _exif_texts(image)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as problem:
        raise GlidewireError(
            f"{name} has too many pixels", expected=f"at most {Image.MAX_IMAGE_PIXELS}", got=str(problem)
        ) from None
    except Exception as problem:  # a damaged file makes Pillow raise almost anything
        raise GlidewireError(
            f"{name} cannot be read as a picture",
            expected="a whole PNG or WebP",
            got=f"{type(problem).__name__}: {problem}",
        ) from None


def embed(image: Image.Image, path: Path, texts: Mapping[str, str], *, strip: bool = False, new: bool = False) -> None:
    """Write a picture with texts inside; it appears whole or not at all.

    Args:
        image: The picture; what it carries itself (text, EXIF, colour profile) is not written.
        path: Ends in .png or .webp (written without loss).
        texts: Key -> text: "workflow", "prompt" and any others.
        strip: Write no text at all.
        new: Take no other file's place.

    Raises:
        FileExistsError: with `new`, there is such a file.
        GlidewireError: another ending, pixels that the format does not have, or the file cannot be written.
    """
    bare = image.copy()
    bare.info = {}
    kept = {} if strip else texts
    suffix = path.suffix.lower()
    options: dict[str, Any]
    if suffix == ".png":
        chunks = PngImagePlugin.PngInfo()
        for key, text in kept.items():
            chunks.add_text(key, text)
        options = {"format": "PNG", "pnginfo": chunks}
    elif suffix == ".webp":
        options = {"format": "WEBP", "lossless": True, "exif": _exif(kept)}
    else:
        raise GlidewireError("a picture cannot be written in this format", expected=".png or .webp", got=str(path))
    with replacing(path, new=new) as temporary:
        try:
            bare.save(temporary, **options)
        except OSError as problem:
            if problem.errno is not None:
                raise
            raise GlidewireError(  # Pillow's way to say that the format has no such pixels
                f"a picture of mode {bare.mode} cannot be written", expected="RGB, RGBA or L", got=str(problem)
            ) from None


def _png_texts(image: PngImagePlugin.PngImageFile) -> dict[str, str]:
    found = {str(key): str(value) for key, value in image.info.items() if isinstance(value, str)}
    if not found.keys() & {WORKFLOW, PROMPT}:
        found |= {key: str(value) for key, value in image.text.items()}  # text behind the pixels: these are decoded
    return found


def _exif_texts(image: Image.Image) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in image.getexif().values():
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if not isinstance(text, str):
            continue
        key, colon, rest = _utf8(text).partition(":")
        if colon and key.isidentifier():
            found[key.lower() if key.lower() in (WORKFLOW, PROMPT) else key] = rest.rstrip("\0")
    return found


def _exif(texts: Mapping[str, str]) -> Image.Exif:
    """The host's layout: the prompt under Model, everything else under Make and the tags below it."""
    exif, tag = Image.Exif(), _EXIF_MAKE
    for key, text in texts.items():
        if key == PROMPT:
            exif[_EXIF_MODEL] = f"{key}:{text}".encode()
        else:
            exif[tag] = f"{key}:{text}".encode()
            tag -= 1
    return exif


def _utf8(text: str) -> str:
    """Pillow reads EXIF texts as Latin-1; undo that where they are UTF-8."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
