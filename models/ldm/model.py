"""A latent denoiser as a whole: the network, and the space whose latents it denoises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch

from ...diffusion.schedules import NoiseSchedule, scaled_linear
from ...errors import GlidewireError
from ..checkpoint import identify, load_identified
from ..first_stage.model import SPACE, identify_autoencoder, space_of
from ..handle import Handle
from ..registry import Identity
from .spec import UnetSpec

if TYPE_CHECKING:
    from .network import LatentDenoiser

# The first stage that each published denoiser was trained over, for files that hold the denoiser alone
# (Rombach et al. 2022, tables 8 to 15, and the released configurations).
SPACES: Mapping[str, str] = {
    "stable-diffusion-1": "kl-f8",
    "stable-diffusion-1-inpaint": "kl-f8",
    "instruct-pix2pix": "kl-f8",
    "stable-diffusion-2": "kl-f8",
    "stable-diffusion-2-base": "kl-f8",
    "stable-diffusion-2-inpaint": "kl-f8",
    "stable-diffusion-2-depth": "kl-f8",
    "stable-unclip-l": "kl-f8",
    "stable-unclip-h": "kl-f8",
    "stable-diffusion-x4-upscaler": "kl-f4 of the upscaler",
    "txt2img-1.4B": "kl-f8",
    "text2img256": "vq-f4",
    "cin256-v2": "vq-f4",
    "cin256": "vq-f8",
    "layout2img": "vq-f4",
    "retrieval-augmented-768": "kl-f16",
    "unconditional-vq-f4": "vq-f4",
    "super-resolution": "vq-f4",
    "semantic-synthesis": "vq-f4",
    "inpainting-big": "vq-f4-noattn",
}
# Steps that every published model was trained with.
STEPS = 1000
# What the first stage is called inside of a checkpoint, and of a pipeline's folder.
_FIRST_STAGE_PARTS = {"first stage", "vae"}


@dataclass(frozen=True)
class LatentModel(Handle):
    """A latent denoiser, which knows its space.

    Attributes:
        network: Frozen, in evaluation mode; its `space` is set.
    """

    network: LatentDenoiser

    @property
    def spec(self) -> UnetSpec:
        """The network's hyper-parameters."""
        return self.network.spec

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule that the network was trained with."""
        return scaled_linear(STEPS, *self.spec.betas)


def identify_denoiser(path: str | Path) -> Identity:
    """The latent denoiser in a file, of its own or inside of a whole checkpoint.

    Raises:
        GlidewireError: As `identify`, or the file's denoiser is another family's.
    """
    identity = identify(path, component="denoiser")
    if identity.family != "ldm":
        raise GlidewireError(
            f"{identity.header.name} is no latent diffusion denoiser", expected="ldm", got=identity.family
        )
    return identity


def denoiser_space(identity: Identity, stated: str = "") -> str:
    """Whose latents a denoiser denoises.

    What the user or the file says; else the space of the first stage in the same file; else of the one that
    the published model was trained over.

    Args:
        identity: Of a latent denoiser.
        stated: What the user says, or "".

    Raises:
        GlidewireError: Nothing tells.
    """
    named = stated or identity.header.metadata.get(SPACE, "")
    if named:
        return named
    if set(identity.header.beside) & _FIRST_STAGE_PARTS:
        return space_of(identify_autoencoder(identity.header.path))
    if identity.variant in SPACES:
        return SPACES[identity.variant]
    raise GlidewireError(
        f"{identity.header.name} does not tell whose latents it denoises",
        expected="a file with its first stage, or a published denoiser",
        got=identity.variant,
        hint="Name the space: the same text for the denoiser and for its autoencoder.",
    )


def load_denoiser(
    path: str | Path,
    *,
    space: str = "",
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> LatentModel:
    """Load the denoiser of a file, strictly; `space` as `denoiser_space`, the rest as `models.checkpoint.load`."""
    identity = identify_denoiser(path)
    named = denoiser_space(identity, space)
    network = cast("LatentDenoiser", load_identified(identity, device=device, dtype=dtype))
    network.space = named
    return LatentModel(network)
