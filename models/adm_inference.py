"""What the shapes of an ablated diffusion model's U-Net tell, under its published and under diffusers' names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import GlidewireError

Shapes = Mapping[str, tuple[int, ...]]

_UPSAMPLER = re.compile(r"output_blocks\.\d+\.[12]\.in_layers\.0\.weight")
_FIRST_RESIDUAL = re.compile(r"down_blocks\.0\.resnets\.\d+\.conv1\.weight")


def told_by_shapes(shapes: Shapes, *, where: str) -> dict[str, Any]:
    """Hyper-parameters of a U-Net with residual up- and downsampling (Dhariwal & Nichol 2021).

    Args:
        shapes: Shape of each tensor by its key; other tensors may lie beside the U-Net's.
        where: Named in errors.

    Returns:
        `in_channels`, `out_channels`, `model_channels`, `channel_mult` and `attention_levels` (highest resolution
        first), and `num_res_blocks`.

    Raises:
        GlidewireError: The shapes are no such U-Net's.
    """
    try:
        return _published(shapes) if "input_blocks.0.0.weight" in shapes else _diffusers(shapes)
    except KeyError as error:
        raise GlidewireError(f"{where} is not a whole U-Net: key {error} is missing") from error
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise GlidewireError(f"{where} is not a U-Net of this kind: its tensors have other dimensions") from error


def _published(shapes: Shapes) -> dict[str, Any]:
    """Blocks are numbered through all levels: a level is its residual blocks and a downsampler."""
    blocks = 1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("input_blocks."))
    levels = 1 + sum(_UPSAMPLER.fullmatch(key) is not None for key in shapes)
    stride = blocks // levels
    first = [f"input_blocks.{1 + level * stride}" for level in range(levels)]
    return _told(
        shapes["input_blocks.0.0.weight"],
        shapes["out.2.weight"],
        [shapes[f"{block}.0.out_layers.3.weight"][0] for block in first],
        [f"{block}.1.qkv.weight" in shapes for block in first],
        stride - 1,
    )


def _diffusers(shapes: Shapes) -> dict[str, Any]:
    levels = 1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("down_blocks."))
    first = [f"down_blocks.{level}" for level in range(levels)]
    return _told(
        shapes["conv_in.weight"],
        shapes["conv_out.weight"],
        [shapes[f"{block}.resnets.0.conv1.weight"][0] for block in first],
        [f"{block}.attentions.0.to_q.weight" in shapes for block in first],
        sum(_FIRST_RESIDUAL.fullmatch(key) is not None for key in shapes),
    )


def _told(
    first: tuple[int, ...], last: tuple[int, ...], widths: list[int], attends: list[bool], num_res_blocks: int
) -> dict[str, Any]:
    model_channels, in_channels = first[:2]
    if any(width % model_channels for width in widths):
        raise ValueError("widths that are not multiples of the first")
    return {
        "in_channels": in_channels,
        "out_channels": last[0],
        "model_channels": model_channels,
        "channel_mult": tuple(width // model_channels for width in widths),
        "num_res_blocks": num_res_blocks,
        "attention_levels": tuple(level for level, attending in enumerate(attends) if attending),
    }
