"""Pixel diffusion models whose way down and way up can be run apart, over diffusers' U-Net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from ...errors import GlidewireError
from ..digest import network_digest
from .spec import PixelUnetSpec


class Encoded(NamedTuple):
    """What the way up needs of the way down.

    Attributes:
        h: The middle block's output, "batch channels height width".
        embedding: The time embedding, "batch embedding_width".
        skips: In the order of the way down, "batch channels height width" each.
    """

    h: Tensor
    embedding: Tensor
    skips: tuple[Tensor, ...]

    def repeated(self, times: int) -> Encoded:
        """The batch behind itself, `times` times."""
        if times == 1:
            return self
        h, embedding, *skips = (torch.cat([value] * times) for value in (self.h, self.embedding, *self.skips))
        return Encoded(h, embedding, tuple(skips))


def build_unet(spec: PixelUnetSpec) -> Any:
    """diffusers' U-Net of a spec."""
    shared: dict[str, Any] = {
        "sample_size": spec.size,
        "in_channels": spec.in_channels,
        "out_channels": spec.out_channels,
        "block_out_channels": spec.widths,
        "layers_per_block": spec.num_res_blocks,
        "norm_num_groups": spec.norm_groups,
        "attn_norm_num_groups": spec.norm_groups,
        "attention_head_dim": spec.num_head_channels or None,
    }
    if spec.kind == "ddpm":
        # Ho et al. 2020: sines before cosines, frequencies to the last; pads below and right before a stride.
        options: dict[str, Any] = {
            "flip_sin_to_cos": False, "freq_shift": 1, "downsample_padding": 0, "norm_eps": 1e-6,
        }  # fmt: skip
        plain = "{}Block2D"
    else:
        options = {
            "norm_eps": 1e-5, "resnet_time_scale_shift": "scale_shift",
            "downsample_type": "resnet", "upsample_type": "resnet",
        }  # fmt: skip
        plain = "Resnet{}sampleBlock2D"
    down, up = (
        tuple(f"Attn{way}Block2D" if attends else plain.format(way) for attends in spec.attends)
        for way in ("Down", "Up")
    )
    return UNet2DModel(**shared, **options, down_block_types=down, up_block_types=up[::-1])


class PixelDenoiser(nn.Module):
    """eps, and the learned variance where there is one, of a noised picture.

    A `Network` for the guidance expression, without any conditioning.

    Args:
        spec: Hyper-parameters.

    Source: Ho et al. 2020; Dhariwal & Nichol 2021.
    """

    prediction: Literal["eps", "x_0", "v"] = "eps"

    def __init__(self, spec: PixelUnetSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader: the file's digest stands for the weights
        self.unet: Any = build_unet(spec)

    @property
    def learned_variance(self) -> bool:
        """Whether the second half of the output channels is learned-range variance."""
        return self.spec.out_channels > self.spec.in_channels

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing can be computed ahead."""
        return conditioning

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)

    def forward(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """One batched evaluation.

        Args:
            x_t: "batch in_channels height width" in [-1, 1] plus noise; sides are multiples of
                `spec.size_multiple`.
            timesteps: Ids of the original schedule, "batch".
            conditioning: Not used.

        Returns:
            "batch out_channels height width" in x_t's dtype.

        Raises:
            GlidewireError: Sides or channels that do not fit.
        """
        return self.decode(self.encode(x_t, timesteps)).to(x_t.dtype)

    def encode(self, x_t: Tensor, timesteps: Tensor) -> Encoded:
        """The way down and the middle, in the dtype of the weights; arguments and errors as `forward`."""
        channels, multiple = self.spec.in_channels, self.spec.size_multiple
        if x_t.ndim != 4 or x_t.shape[1] != channels or any(side % multiple for side in x_t.shape[2:]):
            raise GlidewireError(
                "the picture does not fit the denoiser",
                expected=f"batch x {channels} channels x sides that are multiples of {multiple}",
                got=tuple(x_t.shape),
            )
        dtype = self.unet.conv_in.weight.dtype
        embedding = self.unet.time_embedding(self.unet.time_proj(timesteps).to(dtype))
        h = self.unet.conv_in(x_t.to(dtype))
        skips = [h]
        for block in self.unet.down_blocks:
            h, passed = block(hidden_states=h, temb=embedding)
            skips += passed
        return Encoded(self.unet.mid_block(h, embedding), embedding, tuple(skips))

    def decode(self, encoded: Encoded, h: Tensor | None = None) -> Tensor:
        """The way up.

        Args:
            encoded: From `encode`.
            h: Stands in for the middle block's output; None keeps it.

        Returns:
            "batch out_channels height width" in the dtype of the weights.
        """
        h = encoded.h if h is None else h
        skips = encoded.skips
        for block in self.unet.up_blocks:
            count = len(block.resnets)
            h = block(h, skips[-count:], encoded.embedding)
            skips = skips[:-count]
        return self.unet.conv_out(self.unet.conv_act(self.unet.conv_norm_out(h)))
