"""A token predictor as a whole: the network, the codebook of its tokens, and the CLIP of its vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch

from ...errors import GlidewireError
from ..checkpoint import identify, load_identified
from ..clip.model import CLIP
from ..handle import Handle
from ..registry import Identity

if TYPE_CHECKING:
    from .v1 import PaellaV1
    from .v3 import PaellaV3

CODEBOOK = "glidewire.codebook"
"""Where a file says which codebook its tokens are of; first stages and predictors alike."""

# Codebook and CLIP of the published predictors (Rampas et al. 2022 and 2023, and the released checkpoints).
PUBLISHED: Mapping[str, tuple[str, str]] = {
    "v1": ("ruDALL-E f8", "ViT-g/14"),
    "1B, of CLIP image vectors": ("ruDALL-E f8", "ViT-H/14"),
    "v3": ("f4", "ViT-H/14"),
}


@dataclass(frozen=True)
class PaellaModel(Handle):
    """A token predictor that knows what its tokens and its vectors are.

    Attributes:
        network: Frozen, in evaluation mode; its `space` is the codebook.
        clip: Which CLIP's vectors it is conditioned on.
    """

    network: PaellaV1 | PaellaV3
    clip: str

    @property
    def codebook(self) -> str:
        """Which first stage's tokens it predicts."""
        return self.network.space


def identify_predictor(path: str | Path) -> Identity:
    """The token predictor in a file; raises GlidewireError as `identify`, or if it is not Paella's."""
    identity = identify(path, component="token_denoiser")
    if identity.family != "paella":
        raise GlidewireError(
            f"{identity.header.name} is no Paella token predictor", expected="paella", got=identity.family
        )
    return identity


def named_spaces(identity: Identity, codebook: str = "", clip: str = "") -> tuple[str, str]:
    """The codebook and the CLIP of a predictor: what is stated, what the file says, or what was published.

    Raises:
        GlidewireError: Nothing tells.
    """
    metadata, published = identity.header.metadata, PUBLISHED.get(identity.variant, ("", ""))
    found = (codebook or metadata.get(CODEBOOK, "") or published[0], clip or metadata.get(CLIP, "") or published[1])
    for name, what, value in zip(
        ("codebook", "clip"), ("which codebook its tokens are of", "which CLIP's vectors it takes"), found, strict=True
    ):
        if not value:
            raise GlidewireError(
                f"{identity.header.name} does not tell {what}",
                expected=f"a published predictor ({', '.join(PUBLISHED)}), or a name",
                got=identity.variant,
                hint=f"Write a name into {name}: the same text that its counterpart is loaded with.",
            )
    return found


def load_predictor(
    path: str | Path,
    *,
    codebook: str = "",
    clip: str = "",
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> PaellaModel:
    """Load a predictor, strictly; names as `named_spaces`, the rest as `models.checkpoint.load`."""
    identity = identify_predictor(path)
    space, named_clip = named_spaces(identity, codebook, clip)
    network = cast("PaellaV1 | PaellaV3", load_identified(identity, device=device, dtype=dtype))
    network.space = space
    return PaellaModel(network, named_clip)
