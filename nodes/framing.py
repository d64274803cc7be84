"""Pictures cut, fitted and extended: what lies inside of the frame, and a mask of what was added."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import torch.nn.functional as F

from ..errors import GlidewireError
from ..graph_runtime.declaration import node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number
from . import pictures
from .sockets import Image, Mask

Side = Annotated[int, Number(min=1, max=16384)]
Margin = Annotated[int, Number(min=0, max=4096)]
Place = Annotated[int, Number(min=0, max=16383)]


class ExtendedImage(NamedTuple):
    """A picture on a larger canvas, and what of it is new."""

    image: Socket[Image, "batch _ _ 3"]
    mask: Socket[Mask, "1 _ _"]


@node(category="images")
def crop_image(
    image: Socket[Image, "batch _ _ 3"],
    left: Place = 0,
    top: Place = 0,
    width: Side = 256,
    height: Side = 256,
) -> Socket[Image, "batch height width 3"]:
    """Cut a rectangle out of pictures.

    Args:
        image: "batch height width 3".
        left, top: Its first column and row, in pixels.
        width, height: Its size in pixels.

    Returns: "batch height width 3".

    Raises: GlidewireError for a rectangle that leaves the picture.

    Source: none (utility).
    """
    rows, columns = image.shape[1:3]
    if left + width > columns or top + height > rows:
        raise GlidewireError(
            "the rectangle leaves the picture",
            expected=f"columns up to {columns} and rows up to {rows}",
            got=f"columns {left} to {left + width} and rows {top} to {top + height}",
            hint="Extend the picture first, or cut out less.",
        )
    return Image(image[:, top : top + height, left : left + width].contiguous())


@node(category="images")
def fit_image(
    image: Socket[Image, "batch _ _ 3"],
    width: Side = 256,
    height: Side = 256,
    keep: Literal["middle", "left or top", "right or bottom"] = "middle",
    method: Literal["lanczos", "bicubic", "bilinear", "area", "nearest"] = "lanczos",
) -> Socket[Image, "batch height width 3"]:
    """Resize pictures in proportion until they cover a size, and cut off what lies beyond it.

    Args:
        image: "batch height width 3" in [0, 1].
        width, height: The new size in pixels.
        keep: Which part stays where the proportions differ.
        method: The interpolation.

    Returns: "batch height width 3" in [0, 1].

    Source: none (utility).
    """
    rows, columns = image.shape[1:3]
    scale = max(width / columns, height / rows)
    covering = (max(height, round(rows * scale)), max(width, round(columns * scale)))
    resized = pictures.resize(image, *covering, method)
    share = {"middle": 0.5, "left or top": 0.0, "right or bottom": 1.0}[keep]
    top, left = int((covering[0] - height) * share), int((covering[1] - width) * share)
    return Image(resized[:, top : top + height, left : left + width].contiguous())


@node(category="images")
def extend_image(
    image: Socket[Image, "batch _ _ 3"],
    left: Margin = 0,
    right: Margin = 64,
    above: Margin = 0,
    below: Margin = 0,
    fill: Literal["edge", "grey"] = "edge",
) -> ExtendedImage:
    """Put pictures on a larger canvas, with a mask of what is new: where outpainting starts from.

    Args:
        image: "batch height width 3" in [0, 1].
        left, right, above, below: Pixels that are added on each side.
        fill: edge repeats the outermost pixels; grey is 1/2.

    Returns: image, "batch above+height+below left+width+right 3"; mask, "1 above+height+below left+width+right",
        1 where the canvas is new.

    Source: none (utility).
    """
    sides = (left, right, above, below)
    channels = image.movedim(-1, 1)
    mode = {"mode": "replicate"} if fill == "edge" else {"value": 0.5}
    extended = F.pad(channels, sides, **mode)  # pyrefly: ignore
    mask = F.pad(channels.new_zeros(1, *channels.shape[2:]), sides, value=1.0)
    return ExtendedImage(Image(extended.movedim(1, -1).contiguous()), Mask(mask))
