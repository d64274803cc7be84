"""Pixel diffusion models whose way down and way up can be run apart, over diffusers' U-Net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor

from ...errors import GlidewireError
from .. import halves
from ..additions import NOTHING, Additions
from ..halves import Encoded
from ..unet_denoiser import UnetDenoiser
from .spec import PixelUnetSpec


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


class PixelDenoiser(UnetDenoiser):
    """eps, and the learned variance where there is one, of a noised picture.

    A `Network` for the guidance expression, without any conditioning.

    Args:
        spec: Hyper-parameters.

    Source: Ho et al. 2020; Dhariwal & Nichol 2021.
    """

    prediction: Literal["eps", "x_0", "v"] = "eps"
    space = "pixels"

    def __init__(self, spec: PixelUnetSpec) -> None:
        super().__init__(spec)
        self.unet: Any = build_unet(spec)

    @property
    def channels(self) -> int:
        """Channels of x_t."""
        return self.spec.in_channels

    @property
    def learned_variance(self) -> bool:
        """Whether the second half of the output channels is learned-range variance."""
        return self.spec.out_channels > self.spec.in_channels

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing can be computed ahead."""
        return conditioning

    def way_down(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Encoded:
        """The way down and the middle; see `halves.Halved`, the rest as `forward`."""
        channels, multiple = self.spec.in_channels, self.spec.size_multiple
        if x_t.ndim != 4 or x_t.shape[1] != channels or any(side % multiple for side in x_t.shape[2:]):
            raise GlidewireError(
                "the picture does not fit the denoiser",
                expected=f"batch x {channels} channels x sides that are multiples of {multiple}",
                got=tuple(x_t.shape),
            )
        picture = x_t.to(self.unet.conv_in.weight.dtype)
        return halves.way_down(self.unet, picture, timesteps, residuals=additions.residuals)

    def way_up(
        self,
        encoded: Encoded,
        conditioning: Mapping[str, Tensor],
        additions: Additions = NOTHING,
        h: Tensor | None = None,
    ) -> Tensor:
        """The way up; see `halves.Halved`."""
        return halves.way_up(self.unet, encoded, h=h)
