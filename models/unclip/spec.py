"""Hyper-parameters of published unCLIP models: diffusion priors, decoders, and Karlo's upsamplers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from ...diffusion.schedules import NoiseSchedule, linear, squared_cosine
from ..hyper_parameters import require
from ..unet_levels import AttendingLevels, UnetLevels

System = Literal["karlo", "kandinsky-2.1", "kandinsky-2.2"]

# Positions behind the text's: its embedding, the time, the noised embedding, and the query (Ramesh et al. 2022).
BEHIND_TEXT = 4


@dataclass(frozen=True)
class PriorSpec:
    """Hyper-parameters of one diffusion prior (Ramesh et al. 2022, section 2.2). The defaults are Karlo's.

    Attributes:
        width: Width of the transformer.
        layers: Its blocks.
        heads: Its heads.
        text_context: Positions of the text.
        text_width: Width of the text states.
        embedding_width: Width of the text's and of the picture's embedding.
        carries_statistics: Whether the file has mean and deviation of embeddings in it (diffusers' layout has).
    """

    width: int = 2048
    layers: int = 20
    heads: int = 32
    text_context: int = 77
    text_width: int = 768
    embedding_width: int = 768
    carries_statistics: bool = False

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "text_context", "text_width", "embedding_width"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        require(self.width % self.heads == 0, self, "heads", f"a divisor of {self.width}")

    @property
    def noise_schedule(self) -> NoiseSchedule:
        """The schedule that it was trained with."""
        return squared_cosine()

    @property
    def x_0_bound(self) -> float:
        """Bound of |x_0| in the published sampler: embeddings are normalised, not pixels."""
        return 10.0


@dataclass(frozen=True)
class DecoderSpec(AttendingLevels):
    """Hyper-parameters of one decoder (Ramesh et al. 2022, section 2.1). The defaults are Karlo's.

    Attributes:
        system: Whose way of turning embeddings into context and time.
        in_channels: Channels of the first convolution: x_t, and for inpainting a masked picture and its mask.
        out_channels: Twice x_t's channels: eps and the learned-range variance (Nichol & Dhariwal 2021).
        model_channels: Width of the first level.
        channel_mult: Width of each level over `model_channels`, highest resolution first.
        num_res_blocks: Residual blocks of a level on the way down (one more on the way up).
        attention_levels: Levels that attend, 0 is the highest resolution; the middle always does.
        num_head_channels: Channels of one attention head.
        context_width: Width of the context that is attended to.
        image_tokens: Positions of the context that the picture's embedding becomes.
        embedding_width: Width of the picture's embedding.
        text_width: Width of the text states; 0 without text.
        pooled_width: Width of the text's embedding; 0 without text.
        norm_groups: Groups of every GroupNorm.
    """

    system: System = "karlo"
    in_channels: int = 3
    out_channels: int = 6
    model_channels: int = 320
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    num_res_blocks: int = 3
    attention_levels: tuple[int, ...] = (1, 2, 3)
    num_head_channels: int = 64
    context_width: int = 1536
    image_tokens: int = 4
    embedding_width: int = 768
    text_width: int = 768
    pooled_width: int = 768
    norm_groups: int = 32

    def __post_init__(self) -> None:
        require(self.system in get_args(System), self, "system", f"one of {', '.join(get_args(System))}")
        counts = ("model_channels", "num_res_blocks", "context_width", "image_tokens", "embedding_width")
        for name in counts:
            require(getattr(self, name) > 0, self, name, "a positive number")
        require(self.out_channels > 0 and self.out_channels % 2 == 0, self, "out_channels", "an even number")
        channels = self.channels
        fits = self.in_channels in (channels, 2 * channels + 1)
        require(fits, self, "in_channels", f"{channels}, or {2 * channels + 1} for inpainting")
        _require_levels(self)
        levels = range(len(self.channel_mult))
        require(set(self.attention_levels) <= set(levels), self, "attention_levels", f"levels of {list(levels)}")
        attending = {self.widths[level] for level in (*self.attention_levels, -1)}
        for width in sorted(attending):
            fits = self.num_head_channels > 0 and width % self.num_head_channels == 0
            require(fits, self, "num_head_channels", f"a divisor of {width}")

    @property
    def channels(self) -> int:
        """Channels of x_t."""
        return self.out_channels // 2

    @property
    def takes_known_pixels(self) -> bool:
        """Whether the model was fine-tuned for inpainting."""
        return self.in_channels != self.channels

    @property
    def takes_text(self) -> bool:
        """Whether it is conditioned on text beside the picture's embedding."""
        return self.system != "kandinsky-2.2"

    @property
    def noise_schedule(self) -> NoiseSchedule:
        """The schedule that it was trained with."""
        return squared_cosine() if self.system == "karlo" else linear(1000, 0.00085, 0.012)

    @property
    def x_0_bound(self) -> float:
        """Bound of |x_0| in the published sampler."""
        return 1.0 if self.system == "karlo" else 2.0


@dataclass(frozen=True)
class UpsamplerSpec(UnetLevels):
    """Hyper-parameters of one of Karlo's two super-resolution networks; the defaults are the published ones.

    Attributes:
        in_channels: Channels of the first convolution: x_t and the low-resolution picture.
        out_channels: Channels of eps.
        model_channels: Width of the first level.
        channel_mult: Width of each level over `model_channels`, highest resolution first.
        num_res_blocks: Residual blocks of a level on the way down (one more on the way up).
        norm_groups: Groups of every GroupNorm.
    """

    in_channels: int = 6
    out_channels: int = 3
    model_channels: int = 320
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    num_res_blocks: int = 3
    norm_groups: int = 32

    def __post_init__(self) -> None:
        for name in ("model_channels", "num_res_blocks", "out_channels"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        require(self.in_channels == 2 * self.out_channels, self, "in_channels", f"{2 * self.out_channels}")
        _require_levels(self)

    @property
    def noise_schedule(self) -> NoiseSchedule:
        """The schedule that it was trained with."""
        return squared_cosine()

    @property
    def x_0_bound(self) -> float:
        """Bound of |x_0| in the published sampler."""
        return 1.0


def _require_levels(spec: DecoderSpec | UpsamplerSpec) -> None:
    factors = spec.channel_mult
    positive = bool(factors) and all(type(factor) is int and factor > 0 for factor in factors)
    require(positive, spec, "channel_mult", "positive numbers")
    fits = spec.norm_groups > 0 and not any(width % spec.norm_groups for width in spec.widths)
    require(fits, spec, "norm_groups", f"a divisor of {sorted(set(spec.widths))}")


# Karlo's and Kandinsky 2.1's prior have the same tensors and compute the same: files do not tell them apart.
PRIORS: Mapping[str, PriorSpec] = {
    "karlo or kandinsky-2.1": PriorSpec(),
    "karlo or kandinsky-2.1, with statistics": PriorSpec(carries_statistics=True),
    "kandinsky-2.2": PriorSpec(text_width=1280, embedding_width=1280, carries_statistics=True),
}
_KANDINSKY = DecoderSpec(
    system="kandinsky-2.1",
    in_channels=4,
    out_channels=8,
    model_channels=384,
    context_width=768,
    image_tokens=10,
    text_width=1024,
)
_KANDINSKY_22 = replace(
    _KANDINSKY, system="kandinsky-2.2", image_tokens=32, embedding_width=1280, text_width=0, pooled_width=0
)
DECODERS: Mapping[str, DecoderSpec] = {
    "karlo": DecoderSpec(),
    "kandinsky-2.1": _KANDINSKY,
    "kandinsky-2.1-inpaint": replace(_KANDINSKY, in_channels=9),
    "kandinsky-2.2": _KANDINSKY_22,
    "kandinsky-2.2-inpaint": replace(_KANDINSKY_22, in_channels=9),
}
UPSAMPLERS: Mapping[str, UpsamplerSpec] = {"karlo": UpsamplerSpec()}
