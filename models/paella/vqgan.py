"""The first stage of Paella's third generation: pictures in [0, 1] to tokens and back."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import GlidewireError
from ..codebook import code_latents, nearest_codes
from .layers import normalised
from .spec import VqganSpec


class GatedBlock(nn.Module):
    """x + g2 · DW((1 + g0) LN(x) + g1), then the same of an MLP with g3, g4 and g5; all g are single numbers.

    DW is a depthwise 3x3 convolution under replication padding.

    Source: Rampas et al. 2023 (Paella v3), as published.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate", groups=width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)
        self.gammas = nn.Parameter(torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        """x "batch channels height width", in and out."""
        g = self.gammas
        h = normalised(x.movedim(1, -1)) * (1 + g[0]) + g[1]
        x = x + self.depthwise(h.movedim(-1, 1)) * g[2]
        h = normalised(x.movedim(1, -1)) * (1 + g[3]) + g[4]
        return x + self.contract(F.gelu(self.expand(h))).movedim(-1, 1) * g[5]


class PaellaVqgan(nn.Module):
    """Pictures in [0, 1] to latents and tokens, and back (Rampas et al. 2023, sec. 3.1).

    Latents are the autoencoder's own and not quantised; published code divides them by `spec.scale_factor`.

    Args:
        spec: Hyper-parameters.
    """

    def __init__(self, spec: VqganSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        widths = spec.widths
        pairs = list(pairwise(widths))
        self.conv_in = nn.Conv2d(12, widths[0], 1)
        self.down = nn.ModuleList(GatedBlock(width) for width in widths)
        self.downsample = nn.ModuleList(nn.Conv2d(above, below, 4, stride=2, padding=1) for above, below in pairs)
        self.to_latent = nn.Conv2d(widths[-1], spec.latent_channels, 1, bias=False)
        self.latent_norm = nn.BatchNorm2d(spec.latent_channels)
        self.codes = nn.Embedding(spec.codes, spec.latent_channels)
        self.from_latent = nn.Conv2d(spec.latent_channels, widths[-1], 1)
        self.bottleneck = nn.ModuleList(GatedBlock(widths[-1]) for _ in range(spec.bottleneck_blocks))
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(below, above, 4, stride=2, padding=1) for above, below in reversed(pairs)
        )
        self.up = nn.ModuleList(GatedBlock(width) for width in widths[-2::-1])
        self.conv_out = nn.Conv2d(widths[0], 12, 1)

    @property
    def codebook(self) -> Tensor:
        """The codes, "codes latent_channels"."""
        return self.codes.weight

    def encode(self, picture: Tensor) -> Tensor:
        """Latents of a picture.

        Args:
            picture: "batch 3 height width" in [0, 1] (not [-1, 1]); sides are multiples of `spec.factor`.

        Returns:
            "batch latent_channels height/factor width/factor".

        Raises:
            GlidewireError: Channels or sides that do not fit.
        """
        factor = self.spec.factor
        if picture.ndim != 4 or picture.shape[1] != 3 or any(side % factor for side in picture.shape[2:]):
            raise GlidewireError(
                "the picture does not fit the first stage",
                expected=f"batch x 3 channels x sides that are multiples of {factor}",
                got=tuple(picture.shape),
            )
        x = self.conv_in(F.pixel_unshuffle(picture, 2))
        for level, block in enumerate(self.down):
            x = block(self.downsample[level - 1](x) if level else x)
        return self.latent_norm(self.to_latent(x))

    def tokens(self, latents: Tensor) -> Tensor:
        """The nearest code of each latent: "batch latent_channels h w" to ids "batch h w", int64."""
        return nearest_codes(latents, self.codebook)

    def embed(self, tokens: Tensor) -> Tensor:
        """The codes of tokens: ids "batch h w" to latents; raises GlidewireError for an id without a code."""
        return code_latents(tokens, self.codebook)

    def decode(self, latents: Tensor) -> Tensor:
        """The picture of latents, about [0, 1], not clamped; latents are not quantised.

        Args:
            latents: "batch latent_channels height width".

        Returns:
            "batch 3 factor*height factor*width".

        Raises:
            GlidewireError: Another number of channels.
        """
        if latents.ndim != 4 or latents.shape[1] != self.spec.latent_channels:
            raise GlidewireError(
                "latents do not fit the first stage",
                expected=f"batch x {self.spec.latent_channels} channels x height x width",
                got=tuple(latents.shape),
            )
        x = self.from_latent(latents)
        for block in self.bottleneck:
            x = block(x)
        for upsample, block in zip(self.upsample, self.up, strict=True):
            x = block(upsample(x))
        return F.pixel_shuffle(self.conv_out(x), 2)

    def decode_tokens(self, tokens: Tensor) -> Tensor:
        """The picture of tokens "batch height width"; see `embed` and `decode`."""
        return self.decode(self.embed(tokens))
