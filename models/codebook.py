"""Codes of a vector-quantised first stage: the nearest one of a latent, and the latent of a token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import GlidewireError

# Distances of this many latents to all codes are held at a time.
_CHUNK = 4096


def nearest_codes(latents: Tensor, codes: Tensor) -> Tensor:
    """argmin_k |z - e_k|^2 at every position.

    Args:
        latents: "batch code_channels height width".
        codes: "codes code_channels".

    Returns:
        Ids "batch height width", int64.

    Source: van den Oord et al. 2017, eq. 1.
    """
    rows = latents.movedim(1, -1)
    # |z|^2 is the same for all codes.
    norms = codes.square().sum(dim=1)
    nearest = [torch.addmm(norms, part, codes.T, alpha=-2.0).argmin(dim=1) for part in rows.flatten(0, 2).split(_CHUNK)]
    return torch.cat(nearest).view(rows.shape[:-1])


def code_latents(tokens: Tensor, codes: Tensor) -> Tensor:
    """The codes of tokens: ids "batch height width" to latents "batch code_channels height width".

    Raises:
        GlidewireError: An id without a code.
    """
    if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < len(codes):
        raise GlidewireError(
            "a token has no code in this first stage",
            expected=f"0 to {len(codes) - 1}",
            got=f"{int(tokens.min())} to {int(tokens.max())}",
        )
    return nn.functional.embedding(tokens, codes).movedim(-1, 1)
