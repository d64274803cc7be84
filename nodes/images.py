"""Pictures in and out: load, save, resize, arrange, and the bridge between pictures and pixel-space samples."""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import File, Number, Text
from . import pictures
from .sampling import require_pixels
from .sockets import PIXELS, Image, Mask, Sample


class LoadedImage(NamedTuple):
    """A picture file: its colours, and its transparency as a mask."""

    image: Socket[Image, "1 height width 3"]
    mask: Socket[Mask, "1 height width"]


@node(category="images", static_dims=pictures.file_dims)
def load_image(
    file: Annotated[str, File(folder="input", suffixes=pictures.SUFFIXES, upload=True)],
    context: Context = INJECTED,
) -> LoadedImage:
    """Load a picture file; its first frame if it is animated, turned upright, 16 bits kept.

    Args:
        file: A PNG, JPEG, WebP, GIF, BMP or TIFF in the input folder.

    Returns: image "1 height width 3" in [0, 1], and mask "1 height width": 1 where the file is transparent,
        all zeros where it has no transparency.

    Raises: GlidewireError for a file that is missing, damaged, no picture, or beyond 178 million pixels.

    Source: none (utility).
    """
    image, mask, warnings = pictures.read(context.folders.find("input", file))
    for warning in warnings:
        context.warn(warning)
    return LoadedImage(Image(image), Mask(mask))


@node(category="images", effect=True, validate=pictures.require_prefix)
def save_image(
    image: Socket[Image, "batch height width 3"],
    prefix: Annotated[str, Text(cosmetic=True)] = "glidewire",
    context: Context = INJECTED,
) -> None:
    """Save every picture of a batch as a PNG that carries the workflow it came from.

    Args:
        image: "batch height width 3" in [0, 1]; values outside are clipped, then rounded to 8 bits.
        prefix: The file is called `<prefix>_00001.png`, with the next free number; "a/b" makes a folder a.

    Raises: GlidewireError where the prefix leads out of the output folder or the file cannot be written.

    Source: none (utility).
    """
    context.show(images=pictures.save_batch(image, prefix, context))


@node(category="images")
def resize_image(
    image: Socket[Image, "batch _ _ 3"],
    width: Annotated[int, Number(min=1, max=16384)] = 256,
    height: Annotated[int, Number(min=1, max=16384)] = 256,
    method: Literal["lanczos", "bicubic", "bilinear", "area", "nearest"] = "lanczos",
) -> Socket[Image, "batch height width 3"]:
    """Resize pictures; shrinking is antialiased (but for nearest).

    Args:
        image: "batch height width 3" in [0, 1].
        width, height: The new size in pixels.
        method: The interpolation.

    Returns: "batch height width 3" in [0, 1].

    Source: none (utility).
    """
    return Image(pictures.resize(image, height, width, method))


@node(category="images")
def image_grid(
    images: Socket[Image, "batch height width 3"],
    columns: Annotated[int, Number(min=0, max=256)] = 0,
    gap: Annotated[int, Number(min=0, max=256)] = 2,
) -> Socket[Image, "1 _ _ 3"]:
    """Arrange the pictures of a batch in one picture.

    Args:
        images: "batch height width 3".
        columns: Pictures in a row; 0 chooses a nearly square grid.
        gap: White pixels between pictures.

    Returns: One picture, "1 rows*(height+gap)-gap columns*(width+gap)-gap 3".

    Source: none (utility).
    """
    count, height, width, _ = images.shape
    across = min(columns, count) or math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    sheet = images.new_ones(1, down * (height + gap) - gap, across * (width + gap) - gap, 3)
    for index, picture in enumerate(images):
        top, left = (index // across) * (height + gap), (index % across) * (width + gap)
        sheet[0, top : top + height, left : left + width] = picture
    return Image(sheet)


@node(category="images")
def concatenate_images(
    first: Socket[Image, "_ height width 3"],
    second: Socket[Image, "_ height width 3"],
    third: Socket[Image, "_ height width 3"] | None = None,
    fourth: Socket[Image, "_ height width 3"] | None = None,
) -> Socket[Image, "_ height width 3"]:
    """Join batches of pictures into one batch.

    Args:
        first, second: "batch height width 3", of one size.
        third, fourth: More, "batch height width 3" of the same size, if wired.

    Returns: One batch, "all height width 3", in the order of the inputs.

    Raises: GlidewireError where the sizes differ.

    Source: none (utility).
    """
    return Image(pictures.concatenate([image for image in (first, second, third, fourth) if image is not None]))


@node(category="images")
def batch_images(images: list[Socket[Image, "_ height width 3"]]) -> Socket[Image, "_ height width 3"]:
    """Join a list of pictures, or of batches of pictures, into one batch.

    Args:
        images: A list, each "batch height width 3" and of one size.

    Returns: One batch, "all height width 3", in the order of the list.

    Raises: GlidewireError where the sizes differ.

    Source: none (utility).
    """
    return Image(pictures.concatenate(images))


@node(category="images", static_dims=lambda **_: {"space": PIXELS})
def image_to_sample(image: Socket[Image, "batch height width 3"]) -> Socket[Sample, "batch 3 height width @space"]:
    """Take pictures into pixel space: x = 2 · image - 1.

    Args:
        image: "batch height width 3" in [0, 1].

    Returns: "batch 3 height width" in [-1, 1].

    Source: Ho et al. 2020 (DDPM), section 3.3 (data scaled to [-1, 1]).
    """
    return Sample(image.movedim(-1, 1).mul(2).sub(1).contiguous(), PIXELS)


@node(category="images", static_dims=lambda **_: {"space": PIXELS})
def sample_to_image(sample: Socket[Sample, "batch 3 height width @space"]) -> Socket[Image, "batch height width 3"]:
    """Show a pixel-space sample as pictures: image = clip((x + 1) / 2, 0, 1).

    Args:
        sample: "batch 3 height width" in [-1, 1], in pixel space.

    Returns: "batch height width 3" in [0, 1].

    Raises: GlidewireError for a sample of another space.

    Source: Ho et al. 2020 (DDPM), section 3.3.
    """
    require_pixels(sample)
    return Image(sample.tensor.float().cpu().add(1).div(2).clamp(0, 1).movedim(1, -1).contiguous())
