"""A first stage as latent diffusion uses it: its latents scaled, and the name of the space that they live in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from ...errors import GlidewireError
from ..checkpoint import content_digest, identify, load_identified
from ..handle import Handle
from ..registry import Identity
from .spec import PUBLISHED, FirstStageSpec

if TYPE_CHECKING:
    from .network import FirstStage

# Where a file says which space it belongs to, in its own words: first stages and denoisers alike.
SPACE = "glidewire.space"


@dataclass(frozen=True)
class Autoencoder(Handle):
    """A first stage, and the space of its scaled latents.

    Attributes:
        network: Frozen, in evaluation mode.
        space: What denoisers of its latents call their space too; see `space_of`.
    """

    network: FirstStage
    space: str

    @property
    def spec(self) -> FirstStageSpec:
        """The network's hyper-parameters."""
        return self.network.spec

    @torch.no_grad()
    def encode(self, picture: Tensor, noise: Tensor | None = None) -> Tensor:
        """Latents as a denoiser sees them: scale · (mean + deviation · noise).

        Args:
            picture: "batch channels height width" in [-1, 1], on any device.
            noise: Standard normal in the latents' shape, for a KL model; None takes the mean.

        Returns:
            "batch code_channels height/factor width/factor", float32 on the CPU.

        Raises:
            GlidewireError: Channels or sides that do not fit.

        Source: Rombach et al. 2022, section 3.1 and appendix G.
        """
        drawn = None if noise is None else self._placed(noise)
        return self.network.encode(self._placed(picture), drawn).float().cpu() * self.spec.latent_scale

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """The picture of scaled latents, a VQ model's replaced by their nearest codes first.

        Args:
            latents: "batch code_channels height width", on any device.

        Returns:
            "batch channels factor*height factor*width", about [-1, 1], float32 on the CPU.

        Raises:
            GlidewireError: Another number of channels.
        """
        return self.network.decode(self._placed(latents / self.spec.latent_scale)).float().cpu()

    def decode_smoothly(self, latents: Tensor) -> Tensor:
        """The picture of scaled latents for gradients: where they are, a VQ model's not replaced by codes.

        Args:
            latents: "batch code_channels height width".

        Returns:
            "batch channels factor*height factor*width", about [-1, 1], float32 on the latents' device.

        Raises:
            GlidewireError: Another number of channels.
        """
        placed = self._placed(latents / self.spec.latent_scale)
        return self.network.decode(placed, quantise=False).to(latents.device, torch.float32)

    def _placed(self, values: Tensor) -> Tensor:
        weight = next(self.network.parameters())
        return values.to(weight.device, weight.dtype)


def space_of(identity: Identity, stated: str = "") -> str:
    """The name of the space of a first stage's scaled latents: equal names, latents of one kind.

    What the user or the file says; else the published name that its shapes have; else its shape with the
    beginning of its content's digest. A scale that is not the published one is part of the name.

    Args:
        identity: Of a first stage.
        stated: What the user calls it, or "".

    Raises:
        GlidewireError: A Gumbel model, whose latents are no diffusion model's.
    """
    spec: FirstStageSpec = identity.spec
    if spec.kind == "gumbel":
        raise GlidewireError(
            f"{identity.header.name} has tokens, and no latents that a denoiser walks through",
            expected="a KL or VQ autoencoder",
            got="a Gumbel autoencoder",
        )
    named = stated or identity.header.metadata.get(SPACE, "")
    if named:
        return named
    published = PUBLISHED.get(identity.variant)
    name = identity.variant if published else f"{identity.variant} {content_digest(identity)[:8]}"
    usual = published is None or spec.latent_scale == published.latent_scale
    return name if usual else f"{name} x {spec.latent_scale:.6g}"


def identify_autoencoder(path: str | Path) -> Identity:
    """The first stage in a file, of its own or inside of a whole latent diffusion checkpoint; errors as `identify`."""
    return identify(path, component="first_stage", family="first_stage")


def load_autoencoder(
    path: str | Path,
    *,
    space: str = "",
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> Autoencoder:
    """Load the first stage of a file, strictly; `space` as `space_of`, the rest as `models.checkpoint.load`."""
    identity = identify_autoencoder(path)
    named = space_of(identity, space)
    return Autoencoder(cast("FirstStage", load_identified(identity, device=device, dtype=dtype)), named)
