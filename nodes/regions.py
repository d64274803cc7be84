"""Different conditions in different regions of one picture, for denoisers of any space and for Paella's vectors."""

from __future__ import annotations

from ..diffusion import guidance
from ..diffusion.denoiser import Denoiser
from ..graph_runtime.declaration import node
from ..graph_runtime.sockets import Socket
from ..models.paella.model import PaellaModel
from . import token_regions
from .guidance import Fraction, interval
from .sockets import Mask
from .token_sockets import Embedding


@node(category="guidance", validate=interval)
def denoise_by_region(
    background: Socket[Denoiser, "channels @space"],
    first: Socket[Denoiser, "channels @space"],
    first_mask: Socket[Mask, "_ _ _"],
    second: Socket[Denoiser, "channels @space"] | None = None,
    second_mask: Socket[Mask, "_ _ _"] | None = None,
    third: Socket[Denoiser, "channels @space"] | None = None,
    third_mask: Socket[Mask, "_ _ _"] | None = None,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
) -> Socket[Denoiser, "channels @space"]:
    """Give regions of a picture prompts of their own: p = (w_0 p_0 + sum m_k p_k) / (w_0 + sum m_k).

    Args:
        background: What denoises where no mask is 1, on "channels @space"; its weight w_0 is what the masks leave.
        first, second, third: What denoises the regions; guide each by itself before it comes here.
        first_mask, second_mask, third_mask: m_k, 1 in the region: "batch height width" of the sample's size, or of
            the picture's whose latents or tokens it is.
        start, end: The part of the sampling steps, from 0 (first) to 1 (last), in which regions count.

    Returns: A denoiser on "channels @space".

    Raises: GlidewireError for a denoiser without its mask, a mask without its denoiser, or (when run) a mask that
        does not fit.

    Source: Bar-Tal et al. 2023 (MultiDiffusion, 2302.08113), eq. 5 and section 4.2.
    """
    given = [(first, first_mask), (second, second_mask), (third, third_mask)]
    return guidance.by_region(background, token_regions.paired(given, "denoiser"), start, end)


@node(category="paella", title="Paella denoiser by region")
def paella_region_denoiser(
    model: Socket[PaellaModel, "codes width @codebook @clip"],
    background: Socket[Embedding, "_ width @clip"],
    first: Socket[Embedding, "_ width @clip"],
    first_mask: Socket[Mask, "_ _ _"],
    second: Socket[Embedding, "_ width @clip"] | None = None,
    second_mask: Socket[Mask, "_ _ _"] | None = None,
    third: Socket[Embedding, "_ width @clip"] | None = None,
    third_mask: Socket[Mask, "_ _ _"] | None = None,
) -> Socket[Denoiser, "codes @codebook"]:
    """Paella v1 under a map of CLIP vectors: each region has a text (or a picture) of its own, in one forward.

    Args:
        model: A predictor of the first generation.
        background: The vector "batch width" where no mask is 1.
        first, second, third: The vectors of the regions, "batch width"; later ones are painted over earlier ones.
        first_mask, second_mask, third_mask: "batch height width" in [0, 1], of one size each; values between 0 and 1
            mix the vectors, so that a ramp leads from one to the other.

    Returns: A denoiser of "codes @codebook".

    Raises: GlidewireError for vectors of another CLIP, one without its mask, masks of different sizes, or a
        predictor of the third generation.

    Source: Rampas et al. 2022 (Paella), section 4 (multi-conditioning).
    """
    given = [(first, first_mask), (second, second_mask), (third, third_mask)]
    return token_regions.painted(model, background, token_regions.paired(given, "embedding"))
