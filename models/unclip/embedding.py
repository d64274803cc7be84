"""What is done to CLIP embeddings beside networks: normalising them, and noising them for Stable unCLIP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from ...diffusion.schedules import squared_cosine
from ...errors import GlidewireError
from ..digest import network_digest
from ..hyper_parameters import require
from .shapes import required


@dataclass(frozen=True)
class StatisticsSpec:
    """Hyper-parameters of the statistics of embeddings: their width; the default is CLIP ViT-L/14's."""

    width: int = 768

    def __post_init__(self) -> None:
        require(self.width > 0, self, "width", "a positive number")


class EmbeddingStatistics(nn.Module):
    """Mean and deviation of a CLIP model's picture embeddings over its training set, per channel.

    A prior of this line works on normalised embeddings, Stable unCLIP adds noise to them.

    Args:
        spec: Hyper-parameters.
    """

    def __init__(self, spec: StatisticsSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        self.mean = nn.Parameter(torch.zeros(spec.width), requires_grad=False)
        self.std = nn.Parameter(torch.ones(spec.width), requires_grad=False)

    def normalise(self, embedding: Tensor) -> Tensor:
        """(z - mean) / std of embeddings "batch width"; raises GlidewireError on another width."""
        return (required(embedding, "embedding", "batch", self.spec.width) - self.mean) / self.std

    def denormalise(self, embedding: Tensor) -> Tensor:
        """z std + mean of normalised embeddings "batch width"; raises GlidewireError on another width."""
        return required(embedding, "embedding", "batch", self.spec.width) * self.std + self.mean

    def digest(self) -> str:
        """Content identity of the numbers, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)


@dataclass(frozen=True)
class NoiseAugmentationSpec:
    """Hyper-parameters of Stable unCLIP's noise augmentation; the defaults are the published ones.

    Attributes:
        steps: Noise levels.
        width: Width of the statistics of embeddings that lie beside the levels; 0 where they are a file of their
            own, or the embeddings are not normalised.
    """

    steps: int = 1000
    width: int = 0

    def __post_init__(self) -> None:
        require(self.steps > 1, self, "steps", "two noise levels or more")
        require(self.width >= 0, self, "width", "0 or more")


class NoiseAugmentation(nn.Module):
    """Stable unCLIP's condition: a noised embedding and how much it was noised.

    z_n = std (sqrt(alpha_bar_n) (z - mean) / std + sqrt(1 - alpha_bar_n) noise) + mean, followed by a sinusoid of
    n as wide as z. Level 0 keeps z nearly as it is; higher levels free the picture from it.

    Args:
        spec: Hyper-parameters.

    Source: Ramesh et al. 2022, section 2.1; noise conditioning: Ho et al. 2021 (Cascaded Diffusion Models).
    """

    def __init__(self, spec: NoiseAugmentationSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        self.alpha_bar = nn.Parameter(torch.ones(spec.steps), requires_grad=False)
        self.statistics = EmbeddingStatistics(StatisticsSpec(spec.width)) if spec.width else None

    @classmethod
    def squared_cosine(cls, steps: int = 1000) -> Self:
        """The published levels, where no file carries them (diffusers' layout)."""
        made = cls(NoiseAugmentationSpec(steps))
        made.alpha_bar.data = squared_cosine(steps).alpha_bar.float()
        return made

    def forward(
        self, embedding: Tensor, level: Tensor, noise: Tensor, statistics: EmbeddingStatistics | None = None
    ) -> Tensor:
        """A latent denoiser's `vector`.

        Args:
            embedding: CLIP embedding of the picture, "batch width".
            level: Noise levels, "batch" int64, 0 ... steps - 1.
            noise: Standard normal, "batch width".
            statistics: Of the embeddings; None takes those beside the levels, or none.

        Returns:
            "batch 2*width", in the embedding's dtype.

        Raises:
            GlidewireError: Shapes that do not fit, or a level that there is none of.
        """
        width = required(embedding, "embedding", "batch", "width").shape[1]
        required(noise, "noise", embedding.shape[0], width)
        required(level, "level", embedding.shape[0])
        if level.numel() and not 0 <= int(level.min()) <= int(level.max()) < self.spec.steps:
            raise GlidewireError(
                "there is no such noise level",
                expected=f"0 to {self.spec.steps - 1}",
                got=f"{int(level.min())} to {int(level.max())}",
            )
        # Imported here, since files are identified with this module.
        from diffusers.models.embeddings import get_timestep_embedding

        statistics = statistics or self.statistics
        signal = self.alpha_bar[level].float()[:, None]
        z = embedding.float()
        z = z if statistics is None else statistics.normalise(z)
        z = signal.sqrt() * z + (1 - signal).sqrt() * noise
        z = z if statistics is None else statistics.denormalise(z)
        sinusoid = get_timestep_embedding(level, width, flip_sin_to_cos=True, downscale_freq_shift=0)
        return torch.cat([z, sinusoid], dim=1).to(embedding.dtype)

    def digest(self) -> str:
        """Content identity of the numbers, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)
