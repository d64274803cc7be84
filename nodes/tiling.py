"""Large pictures through first stages, tile by tile."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from ..diffusion.tiles import by_tiles
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number
from ..models.first_stage.model import Autoencoder
from . import inpainting
from .autoencoders import require_latents
from .sockets import Image, Sample

Tile = Annotated[int, Number(min=64, max=4096, step=8)]
Overlap = Annotated[int, Number(min=0, max=2048, step=8)]


@node(category="latent diffusion")
def encode_latents_in_tiles(
    autoencoder: Socket[Autoencoder, "channels @space"],
    image: Socket[Image, "batch height width 3"],
    tile: Tile = 512,
    overlap: Overlap = 64,
    context: Context = INJECTED,
) -> Socket[Sample, "batch channels _ _ @space"]:
    """Encode large pictures to latents (their mean) in overlapping tiles, so that memory does not grow with them.

    Args:
        autoencoder: Of latents with "channels".
        image: "batch height width 3" in [0, 1]; sides that the autoencoder's factor divides.
        tile: Side of a tile in pixels, a multiple of the factor.
        overlap: Pixels that neighbours share at least; they are blended there.

    Returns: Latents, "batch channels height/factor width/factor"; near those of encode_latents, as attention in the
        autoencoder sees one tile at a time.

    Raises: GlidewireError for sides or tiles that the factor does not divide, or an overlap as large as a tile.

    Source: compare Bar-Tal et al. 2023 (MultiDiffusion, 2302.08113), eq. 5; Rombach et al. 2022, section 3.1.
    """
    pixels = inpainting.to_pixels(image)
    scale = Fraction(1, autoencoder.spec.factor)
    return Sample(by_tiles(autoencoder.encode, pixels, tile, overlap, scale, context.progress), autoencoder.space)


@node(category="latent diffusion")
def decode_latents_in_tiles(
    autoencoder: Socket[Autoencoder, "channels @space"],
    sample: Socket[Sample, "batch channels _ _ @space"],
    tile: Tile = 512,
    overlap: Overlap = 64,
    context: Context = INJECTED,
) -> Socket[Image, "batch _ _ 3"]:
    """Decode large latents to pictures in overlapping tiles, so that memory does not grow with them.

    Args:
        autoencoder: The one whose space the latents live in.
        sample: Latents, "batch channels height width", scaled as denoisers see them.
        tile: Side of a tile in pixels; rounded down to whole latents.
        overlap: Pixels that neighbours share at least; they are blended there.

    Returns: Pictures "batch height*factor width*factor 3" in [0, 1], clipped.

    Raises: GlidewireError for latents of another space, or an overlap as large as a tile.

    Source: compare Bar-Tal et al. 2023 (MultiDiffusion, 2302.08113), eq. 5; Rombach et al. 2022, section 3.1.
    """
    require_latents(autoencoder, sample)
    factor = autoencoder.spec.factor
    decoded = by_tiles(
        autoencoder.decode, sample.tensor, tile // factor, overlap // factor, Fraction(factor), context.progress
    )
    return Image(decoded.add(1).div(2).clamp(0, 1).movedim(1, -1).contiguous())
