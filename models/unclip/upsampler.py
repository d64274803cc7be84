"""Karlo's super-resolution: two U-Nets without attention, of which the second makes the last step alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from ..digest import network_digest
from .shapes import check_sides, required
from .spec import UpsamplerSpec


class Upsampler(nn.Module):
    """eps of x_t given a low-resolution picture; no text, no guidance (Ramesh et al. 2022, section 2.1).

    A `Network` for the guidance expression. Its conditioning is `low_res` "batch 3 h w" in [-1, 1], at any size.
    The published run has seven steps: six with the first network, the last with the other one.

    Args:
        spec: Hyper-parameters.
    """

    prediction: Literal["eps", "x_0", "v"] = "eps"
    learned_variance = False

    def __init__(self, spec: UpsamplerSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader: the file's digest stands for the weights
        self.unet: Any = UNet2DModel(
            in_channels=spec.in_channels,
            out_channels=spec.out_channels,
            down_block_types=("ResnetDownsampleBlock2D",) * len(spec.widths),
            up_block_types=("ResnetUpsampleBlock2D",) * len(spec.widths),
            block_out_channels=spec.widths,
            layers_per_block=spec.num_res_blocks,
            norm_num_groups=spec.norm_groups,
            norm_eps=1e-5,
            add_attention=False,
        )

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The conditioning itself, if it fits; raises GlidewireError if not."""
        required(conditioning.get("low_res"), "low_res", "batch", self.spec.out_channels, "height", "width")
        return conditioning

    def forward(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """One batched evaluation.

        Args:
            x_t: Noised picture, "batch 3 height width"; sides are multiples of `spec.size_multiple`.
            timesteps: Ids of the original schedule, "batch" (0 ... 999).
            conditioning: See the class.

        Returns:
            eps in x_t's shape and dtype; the network computes in the dtype of its weights.

        Raises:
            GlidewireError: Sides, channels or conditioning that do not fit.
        """
        check_sides(x_t, self.spec.out_channels, self.spec.size_multiple)
        low = enlarged(self.prepare(conditioning)["low_res"], x_t.shape[2:])
        picture = torch.cat([x_t, low.to(x_t)], dim=1).to(self.unet.conv_in.weight.dtype)
        return self.unet(picture, timesteps, return_dict=False)[0].to(x_t.dtype)

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)


def enlarged(picture: Tensor, size: torch.Size | tuple[int, ...]) -> Tensor:
    """A picture "batch channels h w" at another size, bicubic and antialiased, not clamped."""
    if tuple(picture.shape[2:]) == tuple(size):
        return picture
    return F.interpolate(picture.float(), tuple(size), mode="bicubic", align_corners=False, antialias=True)
