"""DeepFloyd IF's denoisers: diffusers' U-Net as the guidance expression evaluates it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from ...errors import GlidewireError
from ..additions import NOTHING, Additions
from ..halves import Encoded
from ..text_image_unet import TextImageAttention, attentions, projected_text, unet_way_down, unet_way_up
from ..unet_denoiser import UnetDenoiser
from .spec import ImagenSpec


def build_unet(spec: ImagenSpec) -> Any:
    """diffusers' U-Net of a spec."""
    down = ["SimpleCrossAttnDownBlock2D" if attends else "ResnetDownsampleBlock2D" for attends in spec.attends]
    up = ["SimpleCrossAttnUpBlock2D" if attends else "ResnetUpsampleBlock2D" for attends in spec.attends]
    options: dict[str, Any] = {}
    if spec.upsampler:
        options = {"class_embed_type": "timestep", "time_embedding_act_fn": "gelu", "resnet_skip_time_act": True}
    unet = UNet2DConditionModel(
        sample_size=spec.size,
        in_channels=spec.in_channels,
        out_channels=spec.out_channels,
        down_block_types=tuple(down),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=tuple(reversed(up)),
        block_out_channels=spec.widths,
        layers_per_block=spec.num_res_blocks,
        norm_num_groups=spec.norm_groups,
        norm_eps=1e-5,
        act_fn="gelu",
        attention_head_dim=spec.num_head_channels,
        cross_attention_dim=spec.context_width,
        cross_attention_norm="group_norm",
        only_cross_attention=not spec.self_attention,
        encoder_hid_dim=spec.text_width,
        encoder_hid_dim_type="text_proj",
        addition_embed_type="text",
        addition_embed_type_num_heads=spec.pool_heads,
        time_embedding_dim=spec.time_width,
        resnet_time_scale_shift="scale_shift",
        resnet_out_scale_factor=spec.residual_scale,
        mid_block_scale_factor=spec.residual_scale,
        **options,
    )
    for layer, attention in enumerate(attentions(unet)):
        attention.set_processor(TextImageAttention(layer))
    return unet


class ImagenDenoiser(UnetDenoiser):
    """eps and variance of a noised picture given T5's states of a text (Saharia et al. 2022; DeepFloyd IF).

    A `Network` for the guidance expression. Its conditioning is a mapping of batch-first tensors: `text_states`
    "batch positions text_width", every position of which is seen; for an upsampler `low_res`
    "batch 3 height width", noised and of x_t's size, and `noise_level` "batch", its step
    (see `diffusion.augmentation`).

    Args:
        spec: Hyper-parameters.
    """

    prediction: Literal["eps", "x_0", "v"] = "eps"
    space = "pixels"

    def __init__(self, spec: ImagenSpec) -> None:
        super().__init__(spec)
        self.unet: Any = build_unet(spec)

    @property
    def channels(self) -> int:
        """Channels of x_t."""
        return self.spec.channels

    @property
    def learned_variance(self) -> bool:
        """Whether the second half of the output channels is learned-range variance."""
        return self.spec.out_channels > self.spec.channels

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Conditioning with every layer's keys and values of the text projected, once per sampling run."""
        states = self.unet.encoder_hid_proj(self._states(conditioning))
        return {**conditioning, **projected_text(self.unet, states)}

    def pooled_text(self, text_states: Tensor) -> Tensor:
        """What the text adds to the time embedding: "batch positions text_width" to "batch time_width"."""
        return self.unet.add_embedding(text_states.to(self.unet.conv_in.weight.dtype))

    def way_down(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Encoded:
        """The way down and the middle; see `halves.Halved`, the rest as `forward`."""
        channels, multiple = self.spec.channels, self.spec.size_multiple
        if x_t.ndim != 4 or x_t.shape[1] != channels or any(side % multiple for side in x_t.shape[2:]):
            raise GlidewireError(
                "the picture does not fit IF's denoiser",
                expected=f"batch x {channels} channels x sides that are multiples of {multiple}",
                got=tuple(x_t.shape),
            )
        level, picture, states = None, x_t, self._states(conditioning)
        if self.spec.upsampler:
            low_res, level = self._low_res(x_t, conditioning)
            picture = torch.cat([x_t, low_res], dim=1)
        return unet_way_down(self.unet, picture, timesteps, conditioning, additions, added=level, states=states)

    def way_up(
        self,
        encoded: Encoded,
        conditioning: Mapping[str, Tensor],
        additions: Additions = NOTHING,
        h: Tensor | None = None,
    ) -> Tensor:
        """The way up; see `halves.Halved`."""
        return unet_way_up(self.unet, encoded, conditioning, additions, h)

    def _states(self, conditioning: Mapping[str, Tensor]) -> Tensor:
        states, width = conditioning.get("text_states"), self.spec.text_width
        if states is None or states.ndim != 3 or states.shape[2] != width:
            raise GlidewireError(
                "IF's condition 'text_states' does not fit",
                expected=f"batch x positions x {width}",
                got="nothing" if states is None else tuple(states.shape),
                hint="It comes from the T5 encoder that belongs to the model.",
            )
        return states.to(self.unet.conv_in.weight.dtype)

    def _low_res(self, x_t: Tensor, conditioning: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        low_res, level = conditioning.get("low_res"), conditioning.get("noise_level")
        if low_res is None or low_res.shape[1:] != x_t.shape[1:] or level is None:
            raise GlidewireError(
                "IF's upsampler needs 'low_res' and 'noise_level'",
                expected=f"a picture of {' x '.join(map(str, x_t.shape[1:]))} and its step",
                got=f"{'nothing' if low_res is None else tuple(low_res.shape)} and "
                f"{'nothing' if level is None else tuple(level.shape)}",
                hint="Enlarge and noise the picture of the stage before.",
            )
        count = len(x_t)
        return low_res.to(x_t).expand(count, -1, -1, -1), level.reshape(-1).expand(count)
