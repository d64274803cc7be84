"""GLIDE's hyper-parameters, and the values of the four published variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from ...diffusion.schedules import SCHEDULES
from ..hyper_parameters import require
from ..unet_levels import UnetLevels

Variant = Literal["base", "inpaint", "upsample", "upsample-inpaint"]

# Channels of the first convolution: x_t, then masked picture and mask (3 + 1), then the low-resolution picture (3).
IN_CHANNELS: Mapping[str, int] = {"base": 3, "inpaint": 7, "upsample": 6, "upsample-inpaint": 10}


@dataclass(frozen=True)
class GlideSpec(UnetLevels):
    """Hyper-parameters of one GLIDE text-conditional diffusion model (Nichol et al. 2021, appendix C).

    The defaults are the published 300M base model's.

    Attributes:
        variant: What the first convolution takes beside x_t: nothing, a masked picture, a low-resolution
            picture, or both.
        image_size: Side in pixels that the model was trained at; other sizes run as well.
        out_channels: 6 for eps and the learned-range variance (Nichol & Dhariwal 2021), 3 for eps alone.
        model_channels: Width of the first level.
        channel_mult: Width of each level over `model_channels`, highest resolution first.
        num_res_blocks: Residual blocks of each level on the way down (one more on the way up).
        num_head_channels: Channels of one attention head.
        attention_resolutions: Sides in pixels, at `image_size`, of the levels that attend.
        text_context: Positions of the text transformer, tokens and padding.
        text_width: Width of the text transformer.
        text_layers: Its blocks.
        text_heads: Its heads.
        vocabulary_size: Rows of the token embedding; the last id is the end token.
        schedule: Published name of the noise schedule that the model was trained with.
        norm_groups: Groups of every GroupNorm.
    """

    variant: Variant = "base"
    image_size: int = 64
    out_channels: int = 6
    model_channels: int = 192
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    num_res_blocks: int = 3
    num_head_channels: int = 64
    attention_resolutions: tuple[int, ...] = (32, 16, 8)
    text_context: int = 128
    text_width: int = 512
    text_layers: int = 16
    text_heads: int = 8
    vocabulary_size: int = 50257
    schedule: str = "squaredcos_cap_v2"
    norm_groups: int = 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "channel_mult", tuple(self.channel_mult))
        sides = tuple(sorted(self.attention_resolutions, reverse=True))
        object.__setattr__(self, "attention_resolutions", sides)
        self._require_ranges()
        self._require_fits()

    @property
    def in_channels(self) -> int:
        """Channels of the first convolution."""
        return IN_CHANNELS[self.variant]

    @property
    def attention_levels(self) -> tuple[bool, ...]:
        """Whether each level attends, highest resolution first."""
        return tuple(self.image_size >> level in self.attention_resolutions for level in range(len(self.channel_mult)))

    @property
    def takes_low_resolution(self) -> bool:
        """Whether the model is an upsampler."""
        return self.variant in ("upsample", "upsample-inpaint")

    @property
    def takes_known_pixels(self) -> bool:
        """Whether the model was fine-tuned for inpainting."""
        return self.variant in ("inpaint", "upsample-inpaint")

    def _require_ranges(self) -> None:
        require(self.variant in IN_CHANNELS, self, "variant", f"one of {', '.join(IN_CHANNELS)}")
        require(self.schedule in SCHEDULES, self, "schedule", f"one of {', '.join(SCHEDULES)}")
        require(self.out_channels in (3, 6), self, "out_channels", "3 (eps) or 6 (eps and variance)")
        for field in fields(self):
            value = getattr(self, field.name)
            require(not isinstance(value, int) or value > 0, self, field.name, "a positive number")
        factors = self.channel_mult
        positive = bool(factors) and all(type(factor) is int and factor > 0 for factor in factors)
        require(positive and factors[0] == 1, self, "channel_mult", "positive numbers, the first of them 1")

    def _require_fits(self) -> None:
        fits = self.image_size % self.size_multiple == 0
        require(fits, self, "image_size", f"a multiple of {self.size_multiple}")
        sides = [self.image_size >> level for level in range(len(self.channel_mult))]
        fits = set(self.attention_resolutions) <= set(sides)
        require(fits, self, "attention_resolutions", f"sides of the levels {sides}")
        attending = {w for w, attends in zip(self.widths, self.attention_levels, strict=True) if attends}
        for width in sorted(attending | {self.widths[-1]}):
            require(width % self.num_head_channels == 0, self, "num_head_channels", f"a divisor of {width}")
        for width in sorted(set(self.widths)):
            require(width % self.norm_groups == 0, self, "norm_groups", f"a divisor of {width}")
        require(self.text_width % self.text_heads == 0, self, "text_heads", f"a divisor of {self.text_width}")


PUBLISHED: Mapping[str, GlideSpec] = {
    "base": GlideSpec(),
    "inpaint": GlideSpec(variant="inpaint"),
    "upsample": GlideSpec(
        variant="upsample", image_size=256, channel_mult=(1, 1, 2, 2, 4, 4), num_res_blocks=2, schedule="linear"
    ),
    "upsample-inpaint": GlideSpec(
        variant="upsample-inpaint",
        image_size=256,
        channel_mult=(1, 1, 2, 2, 4, 4),
        num_res_blocks=2,
        schedule="linear",
    ),
}
