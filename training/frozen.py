"""The networks of latent diffusion that adapters are trained beside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ..models.clip.model import ClipModel, load_clip
from ..models.first_stage.model import Autoencoder, load_autoencoder
from ..models.ldm.model import LatentModel, load_denoiser


@dataclass(frozen=True)
class Frozen:
    """What an adapter is trained beside, none of which changes.

    Attributes:
        denoiser: The latent denoiser that is adapted.
        autoencoder: Makes its latents.
        clip: Its text tower makes the denoiser's context, its image tower sees the prompts.
    """

    denoiser: LatentModel
    autoencoder: Autoencoder
    clip: ClipModel

    @classmethod
    def load(cls, denoiser: Path, autoencoder: Path, clip: Path, device: torch.device) -> Frozen:
        """From their files, onto a device."""
        return cls(
            load_denoiser(denoiser, device=device),
            load_autoencoder(autoencoder, device=device),
            load_clip(clip, device=device),
        )
