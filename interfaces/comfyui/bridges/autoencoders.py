"""Autoencoders and text encoders across the wall: a VAE as ours, ours as a VAE, our text encoder as a CLIP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ....errors import GlidewireError
from ....models.first_stage.model import Autoencoder
from ....models.first_stage.spec import FirstStageSpec
from ..memory import loaded
from .identity import token
from .network import space_of

if TYPE_CHECKING:
    from ....models.ldm.text import TextEncoder


@dataclass(frozen=True)
class VaeAutoencoder(Autoencoder):
    """A VAE of the host as an autoencoder of ours.

    Args:
        network: The VAE.
        space: Of the latents, scaled by the latent format.
        latent_format: The host's, of the model over these latents: a VAE does not know its scale.
    """

    latent_format: Any = None

    @property
    def spec(self) -> FirstStageSpec:
        """What can be told of the VAE from outside."""
        vae: Any = self.network
        factor, channels = int(vae.spacial_compression_encode()), int(vae.latent_channels)
        levels = (1,) * factor.bit_length()
        scale = float(getattr(self.latent_format, "scale_factor", 1.0))
        return FirstStageSpec(channel_mult=levels, latent_channels=channels, code_channels=channels, latent_scale=scale)

    def digest(self) -> str:
        """Identity in this process."""
        return token(self.network)

    def nbytes(self) -> int:
        """Bytes that we hold: none, the host counts its own."""
        return 0

    def encode(self, picture: Tensor, noise: Tensor | None = None) -> Tensor:
        """Latents as denoisers see them, the mean of the posterior: the host's VAE draws nothing, `noise` is not used.

        Raises:
            GlidewireError: a side that the factor does not divide, which the host would crop.
        """
        vae: Any = self.network
        if any(side % self.spec.factor for side in picture.shape[-2:]):
            raise GlidewireError(
                "the picture does not fit the VAE",
                expected=f"sides that {self.spec.factor} divides",
                got=list(picture.shape[-2:]),
                hint="Crop or resize it.",
            )
        with torch.inference_mode():
            latents = vae.encode(picture.movedim(1, -1).add(1).div(2))
        return self.latent_format.process_in(latents.clone().float().cpu())

    def decode(self, latents: Tensor) -> Tensor:
        """The picture of scaled latents, "batch channels height width" in [-1, 1]."""
        vae: Any = self.network
        with torch.inference_mode():
            pixels = vae.decode(self.latent_format.process_out(latents))
        return pixels.clone().float().cpu().movedim(-1, 1).mul(2).sub(1)


def vae_as_autoencoder(vae: Any, latent_format: Any) -> VaeAutoencoder:
    """A VAE under the latent format of the model that it is used with."""
    return VaeAutoencoder(vae, space_of(latent_format), latent_format)


class AutoencoderVae:
    """An autoencoder of ours as a VAE of the host: pictures "batch height width 3", latents not scaled."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        self.autoencoder = autoencoder
        self.latent_channels = autoencoder.spec.code_channels
        self.downscale_ratio = self.upscale_ratio = autoencoder.spec.factor

    def encode(self, pixel_samples: Tensor) -> Tensor:
        """Latents: the mean of the posterior, as the host's own."""
        with torch.inference_mode(False), loaded(self.autoencoder):
            pixels = pixel_samples.clone()[..., :3].movedim(-1, 1).mul(2).sub(1)
            return self.autoencoder.encode(pixels) / self.autoencoder.spec.latent_scale

    def decode(self, samples_in: Tensor, vae_options: Any = None) -> Tensor:
        """Pictures in [0, 1]."""
        with torch.inference_mode(False), loaded(self.autoencoder):
            decoded = self.autoencoder.decode(samples_in.clone() * self.autoencoder.spec.latent_scale)
            return decoded.add(1).div(2).clamp(0, 1).movedim(1, -1).contiguous()

    def encode_tiled(self, pixel_samples: Tensor, *args: Any, **options: Any) -> Tensor:
        """As `encode`: ours are small enough whole."""
        return self.encode(pixel_samples)

    def decode_tiled(self, samples: Tensor, *args: Any, **options: Any) -> Tensor:
        """As `decode`."""
        return self.decode(samples)

    def spacial_compression_encode(self) -> int:
        """Pixels per latent."""
        return self.downscale_ratio

    def spacial_compression_decode(self) -> int:
        """Pixels per latent."""
        return self.upscale_ratio

    def temporal_compression_decode(self) -> None:
        """Pictures have no time."""


class TextEncoderClip:
    """A text encoder of ours as a CLIP of the host: texts to conditioning."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder

    def clone(self) -> TextEncoderClip:
        """The same: nothing of it is ever changed."""
        return self

    def tokenize(self, text: str, *args: Any, **options: Any) -> dict[str, str]:
        """The text as it is; it is cut into tokens where it is encoded."""
        return {"glidewire": text}

    def encode_from_tokens(self, tokens: dict[str, str], return_pooled: Any = False, return_dict: bool = False) -> Any:
        """States "1 positions width", and no pooled state."""
        with torch.inference_mode(False), loaded(self.encoder):
            encoded, _ = self.encoder.encode_prompt(tokens["glidewire"])
        context = encoded["context"].cpu()
        if return_dict:
            return {"cond": context, "pooled_output": None}
        return (context, None) if return_pooled else context

    def encode_from_tokens_scheduled(self, tokens: dict[str, str], *args: Any, **options: Any) -> list[Any]:
        """A CONDITIONING of one entry."""
        return [[self.encode_from_tokens(tokens), {}]]

    def clip_layer(self, layer_idx: int) -> None:
        """Refused: which layer is read belongs to the encoder."""
        raise _unchangeable("its layers cannot be chosen")

    def add_patches(self, *args: Any, **options: Any) -> None:
        """Refused: our networks are never patched in place."""
        raise _unchangeable("it takes no patches (LoRA)")


def _unchangeable(what: str) -> GlidewireError:
    return GlidewireError(
        f"this CLIP is a text encoder of glidewire: {what}",
        expected="a CLIP of ComfyUI's own",
        got="a glidewire text encoder",
        hint="Load the text encoder with ComfyUI's loader.",
    )
