"""A first stage as token predictors use it: pictures in [0, 1] to tokens of a named codebook, and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from ...errors import GlidewireError
from ..checkpoint import content_digest, identify, load_identified
from ..digest import network_digest
from ..first_stage.spec import PUBLISHED as PUBLISHED_STAGES
from ..first_stage.spec import FirstStageSpec
from ..handle import Handle
from ..registry import Identity
from .model import CODEBOOK
from .spec import VqganSpec

if TYPE_CHECKING:
    from ..first_stage.network import FirstStage
    from .vqgan import PaellaVqgan


@dataclass(frozen=True)
class TokenAutoencoder(Handle):
    """A vector-quantised first stage, and the name of its codebook.

    Attributes:
        network: Frozen, in evaluation mode.
        codebook: What predictors of its tokens call their codebook too; see `codebook_of`.
    """

    network: FirstStage | PaellaVqgan
    codebook: str

    @property
    def spec(self) -> FirstStageSpec | VqganSpec:
        """The network's hyper-parameters."""
        return self.network.spec

    @property
    def draws(self) -> bool:
        """Whether encoding can draw tokens: a Gumbel autoencoder scores every code."""
        return isinstance(self.spec, FirstStageSpec) and self.spec.kind == "gumbel"

    def digest(self) -> str:
        """Content identity of the weights, for cache keys."""
        return network_digest(self.network, self.spec, self.network.content_digest)

    @torch.no_grad()
    def encode(self, picture: Tensor, gumbel: Tensor | None = None) -> Tensor:
        """The tokens of pictures.

        Args:
            picture: "batch 3 height width" in [0, 1], on any device.
            gumbel: Gumbel noise "batch codes height/factor width/factor" to draw with, where `draws`; None
                takes the likeliest code.

        Returns:
            Ids "batch height/factor width/factor", int64 on the CPU.

        Raises:
            GlidewireError: Sides that the factor does not divide.

        Source: van den Oord et al. 2017, eq. 1; Gumbel: Jang et al. 2017, eq. 1.
        """
        weight = next(self.network.parameters())
        picture = picture.to(weight.device, weight.dtype)
        if isinstance(self.spec, VqganSpec):
            network = cast("PaellaVqgan", self.network)
            return network.tokens(network.encode(picture)).cpu()
        stage = cast("FirstStage", self.network)
        drawn = None if gumbel is None else gumbel.to(weight.device, weight.dtype)
        return stage.tokens(stage.encode(picture * 2 - 1), drawn).cpu()

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """The pictures of tokens.

        Args:
            tokens: Ids "batch height width", on any device.

        Returns:
            "batch 3 factor*height factor*width", about [0, 1] and not clamped, float32 on the CPU.

        Raises:
            GlidewireError: An id without a code.
        """
        device = next(self.network.parameters()).device
        picture = self.network.decode_tokens(tokens.to(device)).float().cpu()
        return picture if isinstance(self.spec, VqganSpec) else (picture + 1) / 2


def identify_token_autoencoder(path: str | Path) -> Identity:
    """The first stage in a file, which has a codebook; raises GlidewireError as `identify`, or for a KL one."""
    identity = identify(path, component="first_stage")
    spec = identity.spec
    if not isinstance(spec, VqganSpec) and getattr(spec, "kind", "kl") == "kl":
        raise GlidewireError(
            f"{identity.header.name} has no codebook",
            expected="a VQ or Gumbel autoencoder",
            got=f"{identity.family} {identity.variant}",
            hint="Load a first stage with tokens: Paella's f4, ruDALL-E f8, or one of latent diffusion's vq-*.",
        )
    return identity


def codebook_of(identity: Identity, stated: str = "") -> str:
    """The name of a first stage's codebook: equal names, tokens that mean the same.

    What the user or the file says; else the published name that its shapes have; else its shape with the
    beginning of its content's digest.
    """
    named = stated or identity.header.metadata.get(CODEBOOK, "")
    if named:
        return named
    published = identity.variant in (*PUBLISHED_STAGES, "f4")
    return identity.variant if published else f"{identity.variant} {content_digest(identity)[:8]}"


def load_token_autoencoder(
    path: str | Path,
    *,
    codebook: str = "",
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> TokenAutoencoder:
    """Load the first stage of a file, strictly; `codebook` as `codebook_of`, else as `models.checkpoint.load`."""
    identity = identify_token_autoencoder(path)
    network = cast("FirstStage | PaellaVqgan", load_identified(identity, device=device, dtype=dtype))
    return TokenAutoencoder(network, codebook_of(identity, codebook))
