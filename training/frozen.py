"""The networks of latent diffusion that adapters are trained beside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ..models.first_stage.model import Autoencoder, load_autoencoder
from ..models.ldm.model import LatentModel, load_denoiser
from ..models.ldm.text import TextEncoder, load_clip_text


@dataclass(frozen=True)
class Frozen:
    """What an adapter is trained beside, none of which changes.

    Attributes:
        denoiser: The latent denoiser that is adapted.
        autoencoder: Makes its latents.
        text: Makes its context.
    """

    denoiser: LatentModel
    autoencoder: Autoencoder
    text: TextEncoder

    @classmethod
    def load(cls, denoiser: Path, autoencoder: Path, text: Path, device: torch.device) -> Frozen:
        """From their files, onto a device."""
        return cls(
            load_denoiser(denoiser, device=device),
            load_autoencoder(autoencoder, device=device),
            load_clip_text(text, device=device),
        )
