"""The first stage's network: diffusers' autoencoders, with the codes chosen as the published models choose them."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.vq_model import VQModel
from torch import Tensor, nn

from ...errors import GlidewireError
from ..codebook import code_latents, nearest_codes
from ..digest import network_digest
from .spec import FirstStageSpec

# Bounds of log-variances (Rombach et al. 2022, the published code's clamp).
_LOG_VARIANCE = (-30.0, 20.0)


def build_autoencoder(spec: FirstStageSpec) -> nn.Module:
    """diffusers' autoencoder of a spec, with attention where the spec says."""
    levels = range(len(spec.widths))
    attends = [level in spec.attention_levels for level in levels]
    shared = {
        "in_channels": spec.picture_channels,
        "out_channels": spec.picture_channels,
        "down_block_types": tuple("AttnDownEncoderBlock2D" if yes else "DownEncoderBlock2D" for yes in attends),
        "up_block_types": tuple("AttnUpDecoderBlock2D" if yes else "UpDecoderBlock2D" for yes in reversed(attends)),
        "block_out_channels": spec.widths,
        "layers_per_block": spec.num_res_blocks,
        "latent_channels": spec.latent_channels,
        "norm_num_groups": spec.norm_groups,
        "mid_block_add_attention": spec.middle_attention,
    }
    if spec.kind != "kl":
        return VQModel(**shared, num_vq_embeddings=spec.codes, vq_embed_dim=spec.code_channels)
    autoencoder: Any = AutoencoderKL(**shared)
    if spec.code_channels != spec.latent_channels:
        # diffusers has the usual case only, in which both are equal.
        autoencoder.quant_conv = nn.Conv2d(2 * spec.latent_channels, 2 * spec.code_channels, 1)
        autoencoder.post_quant_conv = nn.Conv2d(spec.code_channels, spec.latent_channels, 1)
    return autoencoder


class FirstStage(nn.Module):
    """Pictures in [-1, 1] to latents, and for VQ and Gumbel to tokens, and back (Rombach et al. 2022, sec. 3.1).

    Latents are the autoencoder's own: a diffusion model sees them times `spec.latent_scale`. Those of a VQ model
    are not quantised; `decode` does that.
    """

    def __init__(self, spec: FirstStageSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        self.autoencoder: Any = build_autoencoder(spec)
        if spec.kind == "gumbel":
            self.projection = nn.Conv2d(spec.code_channels, spec.codes, 1)

    @property
    def codebook(self) -> Tensor:
        """The codes, "codes code_channels".

        Raises:
            GlidewireError: A KL model has none.
        """
        if self.spec.kind == "kl":
            raise GlidewireError(
                "this first stage has no codes: it is a KL autoencoder",
                expected="a VQ or Gumbel autoencoder",
                hint="Use its latents, or load a first stage with a codebook.",
            )
        return self.autoencoder.quantize.embedding.weight

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)

    def encode(self, picture: Tensor, noise: Tensor | None = None) -> Tensor:
        """Latents of a picture.

        Args:
            picture: "batch channels height width" in [-1, 1]; sides are multiples of `spec.factor`.
            noise: Standard normal, in the latents' shape, to draw from a KL model's posterior with; None takes
                the mean.

        Returns:
            "batch code_channels height/factor width/factor".

        Raises:
            GlidewireError: Channels or sides that do not fit.
        """
        if self.spec.kind != "kl":
            return self._moments(picture)
        mean, log_variance = self.posterior(picture)
        return mean if noise is None else mean + torch.exp(0.5 * log_variance) * noise

    def posterior(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of a KL model's Gaussian posterior; shapes and errors as `encode`."""
        if self.spec.kind != "kl":
            raise GlidewireError("this first stage has no posterior", expected="a KL autoencoder", got=self.spec.kind)
        mean, log_variance = self._moments(picture).chunk(2, dim=1)
        return mean, log_variance.clamp(*_LOG_VARIANCE)

    def decode(self, latents: Tensor, *, quantise: bool = True) -> Tensor:
        """The picture of latents, about [-1, 1], not clamped.

        Args:
            latents: "batch code_channels height width".
            quantise: Whether a VQ model's latents are replaced by their nearest codes first, as published.

        Returns:
            "batch channels factor*height factor*width".

        Raises:
            GlidewireError: Another number of channels.
        """
        if latents.ndim != 4 or latents.shape[1] != self.spec.code_channels:
            raise GlidewireError(
                "latents do not fit the first stage",
                expected=f"batch x {self.spec.code_channels} channels x height x width",
                got=tuple(latents.shape),
            )
        if quantise and self.spec.kind == "vq":
            latents = self.embed(self.tokens(latents))
        return self.autoencoder.decoder(self.autoencoder.post_quant_conv(latents))

    def tokens(self, latents: Tensor, gumbel: Tensor | None = None) -> Tensor:
        """The code of each latent: the nearest (VQ), or the likeliest (Gumbel).

        VQ: argmin_k |z - e_k|^2. Gumbel: argmax_k (proj(z)_k + g_k).

        Args:
            latents: "batch code_channels height width".
            gumbel: Gumbel noise "batch codes height width" for a Gumbel model, which draws with it; None takes
                the mode.

        Returns:
            Ids "batch height width", int64.

        Raises:
            GlidewireError: A KL model, or noise for a model that does not draw.

        Source: van den Oord et al. 2017, eq. 1; Jang et al. 2017, eq. 1.
        """
        if self.spec.kind == "gumbel":
            scores = self.logits(latents)
            return (scores if gumbel is None else scores + gumbel).argmax(dim=1)
        codes = self.codebook
        if gumbel is not None:
            raise GlidewireError("a VQ first stage takes the nearest code: it has no use for Gumbel noise")
        return nearest_codes(latents, codes)

    def logits(self, latents: Tensor) -> Tensor:
        """A Gumbel model's score of every code: "batch code_channels h w" to "batch codes h w"."""
        if self.spec.kind != "gumbel":
            raise GlidewireError("this first stage has no logits", expected="a Gumbel model", got=self.spec.kind)
        return self.projection(latents)

    def embed(self, tokens: Tensor) -> Tensor:
        """The codes of tokens: ids "batch height width" to latents "batch code_channels height width".

        Raises:
            GlidewireError: A KL model, or an id without a code.
        """
        return code_latents(tokens, self.codebook)

    def decode_tokens(self, tokens: Tensor) -> Tensor:
        """The picture of tokens "batch height width"; see `embed` and `decode`."""
        return self.decode(self.embed(tokens), quantise=False)

    def _moments(self, picture: Tensor) -> Tensor:
        channels, factor = self.spec.picture_channels, self.spec.factor
        if picture.ndim != 4 or picture.shape[1] != channels or any(side % factor for side in picture.shape[2:]):
            raise GlidewireError(
                "the picture does not fit the first stage",
                expected=f"batch x {channels} channels x sides that are multiples of {factor}",
                got=tuple(picture.shape),
            )
        return self.autoencoder.quant_conv(self.autoencoder.encoder(picture))
