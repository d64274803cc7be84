"""Hyper-parameters of DeepFloyd IF's denoisers, and what the shapes of both layouts tell of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ...errors import GlidewireError
from ..hyper_parameters import require
from ..unet_levels import AttendingLevels

Shapes = Mapping[str, tuple[int, ...]]

# What shapes cannot tell.
UNTOLD = ("num_head_channels", "pool_heads", "norm_groups", "size")
_UPSAMPLER = re.compile(r"output_blocks\.(\d+)\.[12]\.in_layers\.0\.weight")


@dataclass(frozen=True)
class ImagenSpec(AttendingLevels):
    """Hyper-parameters of one stage of DeepFloyd IF.

    The defaults are those of the first stage's largest model, IF-I-XL.

    Attributes:
        upsampler: Whether it is a later stage, given a noised picture of low resolution beside x_t. Its residual
            blocks see the time embedding activated once, and scale their sums.
        in_channels: Channels of the first convolution: the picture's, twice for an upsampler.
        out_channels: eps and the learned-range variance.
        model_channels: Width of the first level.
        channel_mult: Width of each level over `model_channels`, highest resolution first.
        num_res_blocks: Residual blocks of each level on the way down (one more on the way up).
        attention_levels: Levels that attend, 0 is the highest resolution; the middle always does.
        self_attention: Whether pixels attend to each other beside the text.
        num_head_channels: Channels of one attention head.
        text_width: Width of the T5 encoder's states.
        context_width: What they are projected to.
        pool_heads: Heads of the attention that pools them.
        time_width: Width of the time embedding.
        residual_scale: What the sum of a residual block is divided by.
        norm_groups: Groups of every GroupNorm of pictures.
        size: Side in pixels that the model was trained at; other sizes run as well.
    """

    upsampler: bool = False
    in_channels: int = 3
    out_channels: int = 6
    model_channels: int = 704
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    num_res_blocks: tuple[int, ...] = (3, 3, 3, 3)
    attention_levels: tuple[int, ...] = (1, 2, 3)
    self_attention: bool = True
    num_head_channels: int = 64
    text_width: int = 4096
    context_width: int = 2816
    pool_heads: int = 64
    time_width: int = 2816
    residual_scale: float = 1.0
    norm_groups: int = 32
    size: int = 64

    def __post_init__(self) -> None:
        for name in ("model_channels", "num_head_channels", "pool_heads", "time_width", "norm_groups", "size"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        parts = 2 if self.upsampler else 1
        require(self.in_channels % parts == 0 < self.in_channels, self, "in_channels", f"a multiple of {parts}")
        both = (self.channels, 2 * self.channels)
        require(self.out_channels in both, self, "out_channels", f"{both[0]} (eps) or {both[1]} (eps and variance)")
        levels = len(self.channel_mult)
        require(levels > 0 and min(self.channel_mult) > 0, self, "channel_mult", "positive numbers")
        require(len(self.num_res_blocks) == levels, self, "num_res_blocks", f"{levels} numbers")
        require(set(self.attention_levels) <= set(range(levels)), self, "attention_levels", f"below {levels}")
        for width in sorted({self.widths[level] for level in (*self.attention_levels, -1)}):
            require(width % self.num_head_channels == 0, self, "num_head_channels", f"a divisor of {width}")
        fits = not any(width % self.norm_groups for width in self.widths)
        require(fits, self, "norm_groups", f"a divisor of {sorted(set(self.widths))}")
        require(self.text_width % self.pool_heads == 0, self, "pool_heads", f"a divisor of {self.text_width}")
        require(self.residual_scale > 0, self, "residual_scale", "a positive number")

    @property
    def channels(self) -> int:
        """Channels of the picture."""
        return self.in_channels // 2 if self.upsampler else self.in_channels


_STAGE_I = ImagenSpec()
# The published code multiplies by 0.7071, and not by the root of a half.
_STAGE_II = replace(_STAGE_I, upsampler=True, in_channels=6, residual_scale=1 / 0.7071, size=256, self_attention=False)
STAGES: Mapping[str, ImagenSpec] = {"stage I": _STAGE_I, "stage II": _STAGE_II}


def told_by_shapes(shapes: Shapes, *, where: str) -> dict[str, Any]:
    """Hyper-parameters that the keys and shapes of the published or of diffusers' layout tell.

    Raises:
        GlidewireError: The shapes are no such model's.
    """
    try:
        return _published(shapes) if "input_blocks.0.0.weight" in shapes else _diffusers(shapes)
    except KeyError as error:
        raise GlidewireError(f"{where} is not a whole denoiser of DeepFloyd IF: key {error} is missing") from error
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise GlidewireError(f"{where} is not a denoiser of DeepFloyd IF: its tensors have other shapes") from error


def _published(shapes: Shapes) -> dict[str, Any]:
    """Blocks are numbered through all levels; on the way up, a level ends in its upsampler."""
    last = max(int(key.split(".")[1]) for key in shapes if key.startswith("output_blocks."))
    ends = sorted(int(found[1]) for found in map(_UPSAMPLER.fullmatch, shapes) if found)
    blocks = [end - before - 1 for before, end in pairwise([-1, *ends, last])][::-1]
    first = [1 + sum(count + 1 for count in blocks[:level]) for level in range(len(blocks))]
    return _told(
        shapes["input_blocks.0.0.weight"],
        shapes["out.2.weight"],
        [shapes[f"input_blocks.{block}.0.out_layers.3.weight"][0] for block in first],
        blocks,
        [f"input_blocks.{block}.1.qkv.weight" in shapes for block in first],
        {
            "upsampler": "aug_proj.0.weight" in shapes,
            "self_attention": shapes["middle_block.1.qkv.weight"][0] != shapes["middle_block.1.norm.weight"][0],
            "text_width": shapes["encoder_proj.weight"][1],
            "context_width": shapes["encoder_proj.weight"][0],
            "time_width": shapes["time_embed.0.weight"][0],
        },
    )


def _diffusers(shapes: Shapes) -> dict[str, Any]:
    levels = 1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("down_blocks."))
    first = [f"down_blocks.{level}" for level in range(levels)]
    counted = [re.compile(rf"down_blocks\.{level}\.resnets\.\d+\.conv1\.weight") for level in range(levels)]
    return _told(
        shapes["conv_in.weight"],
        shapes["conv_out.weight"],
        [shapes[f"{block}.resnets.0.conv1.weight"][0] for block in first],
        [sum(pattern.fullmatch(key) is not None for key in shapes) for pattern in counted],
        [f"{block}.attentions.0.to_q.weight" in shapes for block in first],
        {
            "upsampler": "class_embedding.linear_1.weight" in shapes,
            "self_attention": "mid_block.attentions.0.to_k.weight" in shapes,
            "text_width": shapes["encoder_hid_proj.weight"][1],
            "context_width": shapes["encoder_hid_proj.weight"][0],
            "time_width": shapes["time_embedding.linear_1.weight"][0],
        },
    )


def _told(
    first: tuple[int, ...],
    last: tuple[int, ...],
    widths: list[int],
    blocks: list[int],
    attends: list[bool],
    rest: Mapping[str, Any],
) -> dict[str, Any]:
    model_channels, in_channels = first[:2]
    if any(width % model_channels for width in widths):
        raise ValueError("widths that are not multiples of the first")
    return {
        **rest,
        "in_channels": in_channels,
        "out_channels": last[0],
        "model_channels": model_channels,
        "channel_mult": tuple(width // model_channels for width in widths),
        "num_res_blocks": tuple(blocks),
        "attention_levels": tuple(level for level, attending in enumerate(attends) if attending),
    }
