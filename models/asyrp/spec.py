"""Hyper-parameters of pixel diffusion U-Nets and of directions in their bottleneck, and what shapes tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...errors import GlidewireError
from ..hyper_parameters import require
from ..unet_levels import AttendingLevels

Kind = Literal["ddpm", "guided"]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class PixelUnetSpec(AttendingLevels):
    """Hyper-parameters of one unconditional pixel diffusion model.

    The defaults are the published 256-pixel DDPM's (CelebA-HQ, LSUN).

    Attributes:
        kind: DDPM's U-Net (Ho et al. 2020, appendix B) or the ablated one (Dhariwal & Nichol 2021).
        in_channels: Channels of the picture.
        out_channels: As many for eps, or twice as many for eps and the learned-range variance.
        model_channels: Width of the first level.
        channel_mult: Width of each level over `model_channels`, highest resolution first.
        num_res_blocks: Residual blocks of a level on the way down (one more on the way up).
        attention_levels: Levels that attend, 0 is the highest resolution; the middle always does.
        num_head_channels: Channels of one attention head; 0 for one head as wide as its level.
        norm_groups: Groups of every GroupNorm.
        size: Side in pixels that the model was trained at; other sizes run as well.
    """

    kind: Kind = "ddpm"
    in_channels: int = 3
    out_channels: int = 3
    model_channels: int = 128
    channel_mult: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    num_res_blocks: int = 2
    attention_levels: tuple[int, ...] = (4,)
    num_head_channels: int = 0
    norm_groups: int = 32
    size: int = 256

    def __post_init__(self) -> None:
        for name in ("in_channels", "model_channels", "num_res_blocks", "norm_groups", "size"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        both = (self.in_channels, 2 * self.in_channels)
        require(self.out_channels in both, self, "out_channels", f"{both[0]} (eps) or {both[1]} (eps and variance)")
        require(bool(self.channel_mult) and min(self.channel_mult) > 0, self, "channel_mult", "positive numbers")
        levels = range(len(self.channel_mult))
        require(set(self.attention_levels) <= set(levels), self, "attention_levels", f"levels of {list(levels)}")
        for width in sorted({self.widths[level] for level in (*self.attention_levels, -1)}):
            fits = self.num_head_channels >= 0 and (not self.num_head_channels or not width % self.num_head_channels)
            require(fits, self, "num_head_channels", f"a divisor of {width}")
        fits = not any(width % self.norm_groups for width in self.widths)
        require(fits, self, "norm_groups", f"a divisor of {sorted(set(self.widths))}")


@dataclass(frozen=True)
class DeltaBlockSpec:
    """Hyper-parameters of directions f_t that a small network computes (Kwon et al. 2023, figure 4).

    Attributes:
        kind: Which U-Net's residual block it was made of: without or with a norm before its first convolution.
        directions: How many lie in the file.
        channels: Channels of the bottleneck.
        embedding_width: Width of the U-Net's time embedding.
        ignore_timestep: Whether the time embedding is left out.
        norm_groups: Groups of every GroupNorm.
    """

    kind: Kind = "ddpm"
    directions: int = 1
    channels: int = 512
    embedding_width: int = 512
    ignore_timestep: bool = False
    norm_groups: int = 32

    def __post_init__(self) -> None:
        fits = self.norm_groups > 0 and self.channels % self.norm_groups == 0
        require(fits, self, "norm_groups", f"a divisor of {self.channels}")


@dataclass(frozen=True)
class DeltaTensorSpec:
    """Hyper-parameters of one direction stored as a tensor for each trained timestep.

    Attributes:
        timesteps: Which ones, by the original schedule's ids, increasing; 0 alone or beside others is the
            direction for all timesteps.
        shape: Of each tensor: "channels height width", or with a 1 before it.
        ignore_timestep: Whether timestep 0's direction is used throughout.
        zero_is_mean: Whether timestep 0's direction beside others is the mean over those, as in published files, and
            not that of timestep 0 itself.
    """

    timesteps: tuple[int, ...] = (0,)
    shape: tuple[int, ...] = (512, 8, 8)
    ignore_timestep: bool = False
    zero_is_mean: bool = True

    def __post_init__(self) -> None:
        right = bool(self.timesteps) and list(self.timesteps) == sorted(set(self.timesteps))
        require(right, self, "timesteps", "increasing numbers")
        right = len(self.shape) == 3 or (len(self.shape) == 4 and self.shape[0] == 1)
        require(right, self, "shape", "channels height width")
        require(not self.ignore_timestep or 0 in self.timesteps, self, "ignore_timestep", "a file with timestep 0")

    @property
    def channels(self) -> int:
        """Channels of the bottleneck."""
        return self.shape[-3]

    @property
    def directions(self) -> int:
        """How many lie in the file."""
        return 1


def told_by_ddpm_shapes(shapes: Shapes, *, where: str) -> dict[str, Any]:
    """Hyper-parameters of a U-Net under DDPM's published names.

    Raises:
        GlidewireError: The shapes are no such U-Net's.
    """
    try:
        return _told(shapes)
    except KeyError as error:
        raise GlidewireError(f"{where} is not a whole U-Net: key {error} is missing") from error
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise GlidewireError(f"{where} is not DDPM's U-Net: its tensors have other dimensions") from error


def _told(shapes: Shapes) -> dict[str, Any]:
    model_channels, in_channels = shapes["conv_in.weight"][:2]
    levels = 1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("down."))
    widths = [shapes[f"down.{level}.block.0.conv1.weight"][0] for level in range(levels)]
    if any(width % model_channels for width in widths):
        raise ValueError("widths that are not multiples of the first")
    first = {key.split(".")[3] for key in shapes if key.startswith("down.0.block.")}
    return {
        "in_channels": in_channels,
        "out_channels": shapes["conv_out.weight"][0],
        "model_channels": model_channels,
        "channel_mult": tuple(width // model_channels for width in widths),
        "num_res_blocks": len(first),
        "attention_levels": tuple(level for level in range(levels) if f"down.{level}.attn.0.q.weight" in shapes),
    }
