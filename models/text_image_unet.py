"""diffusers' U-Net whose attention sees a text beside the picture: what GLIDE and its descendants have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from . import halves
from .additions import NOTHING, Additions, AttentionAddition, found, output
from .halves import Encoded

# Conditioning carries the projected text of attention layer i under this prefix and i.
_TEXT_KEYS_VALUES = "text_keys_values."


class TextImageAttention:
    """Attention over [text, picture] positions, with the text's keys and values projected ahead if given.

    softmax(q [k_text, k_image]^T / sqrt(d)) [v_text, v_image], residual; text positions that the mask hides have
    weight 0. A layer may see the text alone, and may normalise it first. diffusers' own processor projects the
    text again at every step; a sampling run of 100 steps needs it once.

    Source: Nichol et al. 2021, section 3.
    """

    def __init__(self, layer: int) -> None:
        self.layer = layer

    def __call__(
        self,
        attn: Any,  # an Attention, whose layers diffusers types as optional
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        text_keys_values: Mapping[int, Tensor] | None = None,
        text_mask: Tensor | None = None,
        additions: tuple[AttentionAddition, ...] = (),
    ) -> Tensor:
        """Picture states "batch channels height width" in and out; the mask "batch positions" is True for seen."""
        residual, spatial = hidden_states, hidden_states.shape[2:]
        h = attn.group_norm(hidden_states.flatten(2)).transpose(1, 2)
        if text_keys_values is None:
            assert encoder_hidden_states is not None
            text = project_text(attn, encoder_hidden_states)
        else:
            text = text_keys_values[self.layer]
        text_key, text_value = text.chunk(2, dim=-1)
        key, value = text_key, text_value
        if not attn.only_cross_attention:
            key, value = torch.cat([key, attn.to_k(h)], dim=1), torch.cat([value, attn.to_v(h)], dim=1)
        query, key, value = (
            rows.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for rows in (attn.to_q(h), key, value)
        )
        seen = None
        if text_mask is not None:
            seen = F.pad(text_mask, (0, key.shape[2] - text_mask.shape[1]), value=True)[:, None, None]
        kind = "cross" if attn.only_cross_attention else "joint"
        h = found(self.layer, kind, (query, key, value), text.shape[1], seen, additions).transpose(1, 2).flatten(2)
        out = output(self.layer, attn.to_out[0](h), additions)
        return out.transpose(1, 2).unflatten(2, spatial) + residual


def project_text(attn: Any, text_states: Tensor) -> Tensor:
    """Keys and values of the text in one layer: "batch positions 2*channels"."""
    if attn.norm_cross is not None:
        text_states = attn.norm_encoder_hidden_states(text_states)
    return torch.cat([attn.add_k_proj(text_states), attn.add_v_proj(text_states)], dim=-1)


def text_image_unet(
    *,
    in_channels: int,
    out_channels: int,
    widths: Sequence[int],
    attention_levels: Sequence[bool],
    num_res_blocks: int,
    num_head_channels: int,
    norm_groups: int,
    text_width: int,
    dropout: float = 0.0,
) -> Any:
    """diffusers' U-Net with GLIDE's blocks: residual up- and downsampling, scale-shift norm, added text keys.

    Args:
        in_channels: Channels of the first convolution.
        out_channels: Channels of the last one.
        widths: Channels of each level, highest resolution first.
        attention_levels: Whether each level attends; the middle always does.
        num_res_blocks: Residual blocks of a level on the way down.
        num_head_channels: Channels of one attention head.
        norm_groups: Groups of every GroupNorm.
        text_width: Width of the text states.
        dropout: Rate inside residual blocks, for training.

    Source: Dhariwal & Nichol 2021, section 3; Nichol et al. 2021, section 3.
    """
    down = ["SimpleCrossAttnDownBlock2D" if attends else "ResnetDownsampleBlock2D" for attends in attention_levels]
    up = ["SimpleCrossAttnUpBlock2D" if attends else "ResnetUpsampleBlock2D" for attends in attention_levels]
    unet = UNet2DConditionModel(
        in_channels=in_channels,
        out_channels=out_channels,
        down_block_types=tuple(down),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=tuple(reversed(up)),
        block_out_channels=tuple(widths),
        layers_per_block=num_res_blocks,
        dropout=dropout,
        norm_num_groups=norm_groups,
        norm_eps=1e-5,
        cross_attention_dim=text_width,
        attention_head_dim=num_head_channels,
        class_embed_type="identity",
        resnet_time_scale_shift="scale_shift",
    )
    for layer, attention in enumerate(attentions(unet)):
        attention.set_processor(TextImageAttention(layer))
    return unet


def attentions(unet: Any) -> list[Any]:
    """The U-Net's attention layers in a fixed order."""
    return [module for module in unet.modules() if isinstance(module, Attention)]


def projected_text(unet: Any, text_states: Tensor) -> dict[str, Tensor]:
    """Every layer's keys and values of text states "batch positions width", as entries of a conditioning."""
    states = text_states.to(unet.conv_in.weight.dtype)
    return {
        f"{_TEXT_KEYS_VALUES}{layer}": project_text(attention, states)
        for layer, attention in enumerate(attentions(unet))
    }


def prepared_text(conditioning: Mapping[str, Tensor], dtype: torch.dtype) -> dict[int, Tensor] | None:
    """What `projected_text` added to a conditioning, by layer; None if it did not."""
    prepared = {
        int(name.removeprefix(_TEXT_KEYS_VALUES)): value.to(dtype)
        for name, value in conditioning.items()
        if name.startswith(_TEXT_KEYS_VALUES)
    }
    return prepared or None


def unet_way_down(
    unet: Any,
    picture: Tensor,
    timesteps: Tensor,
    conditioning: Mapping[str, Tensor],
    additions: Additions = NOTHING,
    *,
    added: Tensor | None,
    states: Tensor,
    mask: Tensor | None = None,
) -> Encoded:
    """The way down and the middle of one batched evaluation, in the dtype of the weights.

    Args:
        unet: From `text_image_unet`, or of its kind.
        picture: "batch in_channels height width".
        timesteps: Ids of the original schedule, "batch".
        conditioning: The entries of `projected_text`, where it was called.
        additions: What a view adds.
        added: What the class embedding takes, such as what is added to the time embedding "batch 4*widths[0]".
        states: Text states, "batch positions width".
        mask: True for the positions that are seen, "batch positions" bool; None for all.
    """
    dtype = unet.conv_in.weight.dtype
    return halves.way_down(
        unet,
        picture.to(dtype),
        timesteps,
        states=states.to(dtype),
        class_labels=added,
        attention=_attention(unet, conditioning, additions, mask),
        residuals=tuple(residual.to(dtype) for residual in additions.residuals),
    )


def unet_way_up(
    unet: Any,
    encoded: Encoded,
    conditioning: Mapping[str, Tensor],
    additions: Additions = NOTHING,
    h: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The way up, "batch out_channels height width" in the dtype of the weights; see `halves.Halved`."""
    return halves.way_up(unet, encoded, h=h, attention=_attention(unet, conditioning, additions, mask))


def _attention(
    unet: Any, conditioning: Mapping[str, Tensor], additions: Additions, mask: Tensor | None
) -> dict[str, Any]:
    projected = prepared_text(conditioning, unet.conv_in.weight.dtype)
    return {"text_keys_values": projected, "text_mask": mask, "additions": additions.attention}
