"""Masks: 1 where a picture is repainted. From a file, a box, a colour or brush strokes; combined, grown, softened."""

from __future__ import annotations

from typing import Annotated, Literal

import torch

from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import File, Number, Slider, Text
from . import masking, pictures
from .sockets import Image, Mask

Side = Annotated[int, Number(min=1, max=16384)]
Place = Annotated[int, Number(min=0, max=16384)]


@node(category="masks", static_dims=pictures.file_dims)
def load_mask(
    file: Annotated[str, File(folder="input", suffixes=pictures.SUFFIXES, upload=True)],
    channel: Literal["transparency", "red", "green", "blue", "lightness"] = "transparency",
    context: Context = INJECTED,
) -> Socket[Mask, "1 height width"]:
    """Load a mask out of a picture file.

    Args:
        file: A PNG, JPEG, WebP, GIF, BMP or TIFF in the input folder.
        channel: transparency is 1 where the picture is transparent; the others are as bright as the channel.

    Returns: "1 height width" in [0, 1].

    Raises: GlidewireError as load_image.

    Source: none (utility).
    """
    image, transparent, warnings = pictures.read(context.folders.find("input", file))
    for warning in warnings:
        context.warn(warning)
    return Mask(transparent if channel == "transparency" else masking.channel(image, channel))


@node(category="masks")
def image_to_mask(
    image: Socket[Image, "batch height width 3"],
    channel: Literal["red", "green", "blue", "lightness"] = "lightness",
) -> Socket[Mask, "batch height width"]:
    """Take a channel of pictures as masks.

    Args:
        image: "batch height width 3" in [0, 1].
        channel: Which; lightness is 0.2126 red + 0.7152 green + 0.0722 blue.

    Returns: "batch height width" in [0, 1].

    Source: ITU-R BT.709-6 2015, section 3.2 (the weights of lightness).
    """
    return Mask(masking.channel(image, channel))


@node(category="masks")
def mask_to_image(mask: Socket[Mask, "batch height width"]) -> Socket[Image, "batch height width 3"]:
    """Show masks as pictures, white where they are 1.

    Args:
        mask: "batch height width" in [0, 1].

    Returns: "batch height width 3" in [0, 1].

    Source: none (utility).
    """
    return Image(mask.clamp(0, 1)[..., None].expand(-1, -1, -1, 3).contiguous())


def _box_lies_inside(width: int, height: int, left: int, top: int, right: int, bottom: int) -> None:
    masking.require_box(height, width, (left, top, right, bottom))


def _is_colour(colour: str) -> None:
    masking.colour(colour)


def _are_strokes(strokes: str) -> None:
    masking.strokes_of(strokes, 1.0)


@node(category="masks", validate=_box_lies_inside)
def box_mask(
    width: Side = 256,
    height: Side = 256,
    left: Place = 0,
    top: Place = 0,
    right: Place = 128,
    bottom: Place = 128,
) -> Socket[Mask, "1 height width"]:
    """A mask that is 1 inside of a box.

    Args:
        width, height: Size of the mask in pixels.
        left, top: First column and row of the box.
        right, bottom: The column and the row behind its last.

    Returns: "1 height width".

    Raises: GlidewireError for a box without pixels, or one that leaves the mask.

    Source: none (utility).
    """
    return Mask(masking.box(height, width, (left, top, right, bottom)))


@node(category="masks", validate=_is_colour)
def colour_mask(
    image: Socket[Image, "batch height width 3"],
    colour: Annotated[str, Text()] = "#ff0000",
    tolerance: Annotated[float, Slider(min=0.0, max=1.0, step=0.01)] = 0.1,
) -> Socket[Mask, "batch height width"]:
    """A mask that is 1 where a picture has a colour: where no channel differs by more than the tolerance.

    Args:
        image: "batch height width 3" in [0, 1].
        colour: "#rrggbb", or a name such as "red".
        tolerance: The largest difference of a channel, of 1.

    Returns: "batch height width".

    Raises: GlidewireError for a text that is no colour.

    Source: none (utility).
    """
    distance = (image - masking.colour(colour)).abs().amax(dim=-1)
    return Mask((distance <= tolerance + 1e-6).float())


@node(category="masks", validate=_are_strokes)
def brush_mask(
    strokes: Annotated[str, Text(multiline=True)],
    width: Side = 256,
    height: Side = 256,
    radius: Annotated[float, Number(min=0.5, max=2048, step=0.5)] = 12.0,
) -> Socket[Mask, "1 height width"]:
    """A mask that is 1 where a round brush passed.

    Args:
        strokes: One stroke a line, as the points that it goes through: "10,20 40,60 80,60". A line that begins
            with "6:" has a radius of its own.
        width, height: Size of the mask in pixels; strokes may leave it.
        radius: Of the brush, in pixels.

    Returns: "1 height width".

    Raises: GlidewireError for a line that is no stroke.

    Source: none (utility).
    """
    return Mask(masking.brushed(height, width, strokes, radius))


@node(category="masks")
def combine_masks(
    first: Socket[Mask, "_ height width"],
    second: Socket[Mask, "_ height width"],
    how: Literal["either", "both", "first without second", "one of them"] = "either",
) -> Socket[Mask, "_ height width"]:
    """Combine masks pixel by pixel: the larger value, the smaller, the first without the second, the difference.

    Args:
        first, second: "batch height width" in [0, 1]; one of them may be a batch of 1.
        how: either is max(a, b), both min(a, b), first without second min(a, 1 - b), one of them |a - b|.

    Returns: "batch height width" in [0, 1].

    Raises: GlidewireError for masks of different sizes or batches.

    Source: Zadeh 1965 (fuzzy sets), section 2.
    """
    return Mask(masking.combined(first, second, how))


@node(category="masks")
def invert_mask(mask: Socket[Mask, "batch height width"]) -> Socket[Mask, "batch height width"]:
    """Repaint what was kept and keep what was repainted: 1 - mask.

    Args:
        mask: "batch height width" in [0, 1].

    Returns: "batch height width" in [0, 1].

    Source: none (utility).
    """
    return Mask(1 - mask)


@node(category="masks")
def grow_mask(
    mask: Socket[Mask, "batch height width"],
    pixels: Annotated[int, Number(min=-1024, max=1024)] = 8,
    softness: Annotated[float, Slider(min=0.0, max=256.0, step=0.5)] = 0.0,
) -> Socket[Mask, "batch height width"]:
    """Grow (or shrink) masks by a square of pixels, and then soften their edges.

    Args:
        mask: "batch height width" in [0, 1].
        pixels: How far the edges move outwards; negative moves them inwards.
        softness: Standard deviation of a Gaussian blur, in pixels; 0 leaves edges as they are.

    Returns: "batch height width" in [0, 1].

    Source: Serra 1982 (dilation and erosion), chapter II.
    """
    return Mask(masking.softened(masking.grown(mask, pixels), softness))


@node(category="masks")
def resize_mask(
    mask: Socket[Mask, "batch _ _"], width: Side = 256, height: Side = 256
) -> Socket[Mask, "batch height width"]:
    """Resize masks: every new pixel is the mean of what it covers, or lies on a straight line between old ones.

    Args:
        mask: "batch height width" in [0, 1].
        width, height: The new size in pixels.

    Returns: "batch height width" in [0, 1].

    Source: none (utility).
    """
    return Mask(masking.resized(torch.as_tensor(mask), height, width))
