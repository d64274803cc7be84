"""Picture files and tensors: what the picture nodes are made of."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.folders import Folders
from ..graph_runtime.formats import picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap the sides
_READABLE = "a PNG, JPEG, WebP, GIF, BMP or TIFF"


def open_picture(path: Path) -> Image.Image:
    """Open a picture file without decoding it.

    Raises:
        GlidewireError: it is no picture, damaged, or a decompression bomb.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return Image.open(path)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            limit = Image.MAX_IMAGE_PIXELS or 0
            raise GlidewireError(
                f"{path.name} is enormous", expected=f"at most {limit} pixels", got=str(error), hint="Shrink it first."
            ) from None
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            raise GlidewireError(f"{path.name} is not a readable picture", expected=_READABLE, got=str(error)) from None


def file_dims(file: Path) -> Mapping[str, int | str]:
    """Height and width from the file's header, turned as EXIF says."""
    with open_picture(file) as header:
        width, height = header.size
        turned = header.getexif().get(_ORIENTATION) in _TURNED
    return {"height": width, "width": height} if turned else {"height": height, "width": width}


def read(path: Path) -> tuple[Tensor, Tensor, list[str]]:
    """Read a picture file.

    Returns:
        Colours "1 height width 3" and transparency "1 height width", float32 in [0, 1], and warnings.

    Raises:
        GlidewireError: as `open_picture`, or its pixels are damaged.
    """
    notes = []
    with open_picture(path) as opened:
        if getattr(opened, "n_frames", 1) > 1:
            notes.append(f"{path.name} is animated: only its first frame is used")
        try:
            upright = ImageOps.exif_transpose(opened)
            deep = upright.mode.startswith("I") or upright.mode == "F"
            pixels = torch.from_numpy(_deep(upright) if deep else np.array(upright.convert("RGBA")) / np.float32(255))
        except (OSError, SyntaxError, ValueError) as error:
            raise GlidewireError(
                f"{path.name} is damaged", expected="a whole picture", got=str(error), hint="Save it again."
            ) from None
    return pixels[None, ..., :3].contiguous(), 1 - pixels[None, ..., 3], notes


def _deep(opened: Image.Image) -> np.ndarray:
    """A 16-bit (or float) grey picture as RGBA in [0, 1], without rounding it to 8 bits first."""
    grey = np.array(opened, dtype=np.float32)
    top = 1.0 if opened.mode == "F" else 65535.0
    grey = np.clip(grey / top, 0, 1)[..., None]
    return np.concatenate([grey, grey, grey, np.ones_like(grey)], axis=-1)


def to_levels(image: Tensor) -> Tensor:
    """Pictures "batch height width 3" in [0, 1] as uint8, clipped and rounded."""
    return image.detach().float().cpu().clamp(0, 1).mul(255).round().to(torch.uint8)


def to_pillow(image: Tensor) -> list[Image.Image]:
    """Each picture of "batch height width 3" in [0, 1] as an 8-bit picture, clipped and rounded."""
    return [Image.fromarray(one) for one in to_levels(image).numpy()]


def require_prefix(prefix: str, folders: Folders) -> None:
    """Raise a GlidewireError for a prefix that leads out of the output folder."""
    folders.inside_output(f"{prefix}_00001.png")


def save_batch(image: Tensor, prefix: str, context: Context) -> list[dict[str, Any]]:
    """Save each picture under the next free number; returns what the editor needs to show them."""
    _require_finite(image)
    first = context.folders.destination(f"{prefix}_00001.png")
    number = _next_number(first.parent, prefix.rpartition("/")[2])
    root = context.folders.output.resolve()
    saved = []
    for one in to_pillow(image):
        path, number = _write_next(one, prefix, number, context)
        subfolder = path.parent.relative_to(root).as_posix()
        saved.append({"filename": path.name, "subfolder": "" if subfolder == "." else subfolder, "type": "output"})
    return saved


def save_previews(image: Tensor, context: Context) -> list[dict[str, Any]]:
    """Save each picture under its content's digest, unless it is there; returns what the editor needs to show them."""
    _require_finite(image)
    saved = []
    for one in to_pillow(image):
        digest = hashlib.sha256(f"{one.size}".encode() + one.tobytes()).hexdigest()[:32]
        path = context.folders.destination(f"previews/{digest}.png")
        if not path.exists():
            picture.embed(one, path, {})
        saved.append({"filename": path.name, "subfolder": "previews", "type": "output"})
    return saved


def _require_finite(image: Tensor) -> None:
    if not torch.isfinite(image).all():
        raise GlidewireError("the picture holds NaN or infinity", expected="finite values in [0, 1]", got="not finite")


def _write_next(one: Image.Image, prefix: str, number: int, context: Context) -> tuple[Path, int]:
    """Write a picture under the first number that no other process takes before; returns the number after it."""
    while True:
        path, number = context.folders.destination(f"{prefix}_{number:05d}.png"), number + 1
        with suppress(FileExistsError):
            picture.embed(one, path, context.provenance, new=True)
            return path, number


def _next_number(folder: Path, name: str) -> int:
    pattern = re.compile(re.escape(name) + r"_(\d{5,})\.png")
    taken = [int(match.group(1)) for path in folder.iterdir() if (match := pattern.fullmatch(path.name))]
    return max(taken, default=0) + 1


def concatenate(batches: Sequence[Tensor]) -> Tensor:
    """Join batches "batch height width 3" of one size; raises GlidewireError where the sizes differ."""
    sizes = {tuple(batch.shape[1:3]) for batch in batches}
    if len(sizes) != 1:
        shown = ", ".join(f"{width} x {height}" for height, width in sorted(sizes))
        raise GlidewireError(
            "the pictures differ in size", expected="one size", got=shown or "an empty list", hint="Resize them first."
        )
    return torch.cat(list(batches))


def resize(image: Tensor, height: int, width: int, method: str) -> Tensor:
    """Resize "batch height width 3" in [0, 1]; `method` is nearest, area, bilinear, bicubic or lanczos."""
    if method == "lanczos":
        size = (width, height)
        planes = [
            [Image.fromarray(plane.numpy()).resize(size, Image.Resampling.LANCZOS) for plane in one.movedim(-1, 0)]
            for one in image.detach().float().cpu().contiguous()
        ]
        resized = torch.from_numpy(np.stack([np.stack([np.array(plane) for plane in one], -1) for one in planes]))
        return resized.clamp(0, 1)
    smooth = {"mode": method, "antialias": True} if method in ("bilinear", "bicubic") else {"mode": method}
    return F.interpolate(image.movedim(-1, 1), (height, width), **smooth).clamp(0, 1).movedim(1, -1).contiguous()  # pyrefly: ignore
