"""Regions with their masks, and maps of CLIP vectors painted with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch.nn.functional as F
from torch import Tensor

from ..diffusion.denoiser import Leaf
from ..errors import GlidewireError
from ..models.paella.model import PaellaModel
from ..models.paella.spec import PaellaV1Spec
from .embeddings import tensors_of
from .token_sampling import paella_leaf
from .token_sockets import Embedding

T = TypeVar("T")
# Vectors are wide: a map of the masks' own size could fill the memory, and the network resizes it anyway.
_LARGEST_SIDE = 64


def paired(given: Sequence[tuple[T | None, Tensor | None]], what: str) -> list[tuple[T, Tensor]]:
    """The regions that are wired; raises GlidewireError where one of the two is missing."""
    found = []
    for number, (thing, mask) in enumerate(given, 1):
        if (thing is None) != (mask is None):
            raise GlidewireError(
                f"region {number} needs its {what} and its mask together",
                expected="both or neither",
                got="a mask alone" if thing is None else f"the {what} alone",
            )
        if thing is not None and mask is not None:
            found.append((thing, mask))
    return found


def painted(model: PaellaModel, background: Embedding, regions: Sequence[tuple[Embedding, Tensor]]) -> Leaf:
    """Paella v1 under a map: each region's vector over those before, v <- (1 - m) v + m v_k."""
    if not isinstance(model.network.spec, PaellaV1Spec):
        raise GlidewireError(
            "Paella v3 takes no map of vectors",
            expected="a predictor of the first generation",
            got="v3",
            hint="Use denoise by region, which works with any denoiser.",
        )
    leaf = paella_leaf(model, background, None)
    vectors = tensors_of(background, *(embedding for embedding, _ in regions))
    sizes = {tuple(mask.shape[1:]) for _, mask in regions}
    if len(sizes) != 1:
        shown = " and ".join(f"{height} x {width}" for height, width in sorted(sizes))
        raise GlidewireError("the masks of the regions differ in size", expected="one size", got=shown)
    height, width = sizes.pop()
    scale = min(1.0, _LARGEST_SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    canvas = vectors[0][..., None, None].expand(-1, -1, *size)
    for vector, (_, mask) in zip(vectors[1:], regions, strict=True):
        weight = F.interpolate(mask[:, None].float(), size, mode="area")
        canvas = (1 - weight) * canvas + weight * vector[..., None, None]
    device = next(model.network.parameters()).device
    return Leaf(leaf.network, {"clip": canvas.contiguous().to(device)})
