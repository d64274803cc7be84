"""A latent denoiser's hyper-parameters: the published models, and their inference from a state dict's shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from ...errors import GlidewireError
from ..hyper_parameters import combined, matching, require, typed
from ..unet_levels import AttendingLevels

Prediction = Literal["eps", "v"]
Shapes = Mapping[str, tuple[int, ...]]

# What shapes cannot tell.
UNTOLD = ("size", "num_heads", "num_head_channels", "norm_groups", "prediction", "betas")

# What a denoiser with more input than output channels takes beside x_t, in this order, by both numbers.
# Stable Diffusion's inpainting and latent diffusion's differ in the order, the mask's range and the colour of holes.
BESIDE: Mapping[tuple[int, int], tuple[tuple[str, int], ...]] = {
    (9, 4): (("mask", 1), ("masked_latents", 4)),
    (7, 3): (("masked_latents", 3), ("mask", 1)),
    (8, 4): (("picture_latents", 4),),
    (7, 4): (("low_res", 3),),
    (6, 3): (("low_res", 3),),
    (5, 4): (("depth", 1),),
}


@dataclass(frozen=True)
class UnetSpec(AttendingLevels):
    """Hyper-parameters of one latent denoiser (Rombach et al. 2022, appendix E).

    The defaults are Stable Diffusion 1's.

    Attributes:
        in_channels: Channels of the first convolution: x_t, and what `beside` tells.
        out_channels: Channels of the prediction and of x_t.
        model_channels: Width of the first level.
        channel_mult: Width of each level over `model_channels`, highest resolution first.
        num_res_blocks: Residual blocks of a level on the way down (one more on the way up).
        attention_levels: Levels that attend, 0 is the highest resolution; the middle always does.
        context_width: Width of the context that is attended to; 0 for a model without context.
        transformer_depth: Blocks of each transformer.
        linear_projection: Whether transformers begin and end with linear layers instead of 1x1 convolutions.
        context_only_levels: Levels whose transformers attend to the context in place of themselves.
        num_heads: Heads of every attention layer; 0 where `num_head_channels` counts.
        num_head_channels: Channels of one head; 0 where `num_heads` counts.
        residual_resampling: Whether residual blocks down- and upsample, instead of convolutions.
        scale_shift: Whether the time embedding scales and shifts, instead of being added.
        classes: Rows of the class embedding that is added to the time embedding; 0 for none.
        vector_width: Width of a vector that is projected and added to the time embedding; 0 for none.
        norm_groups: Groups of every GroupNorm.
        size: Side in latents that the model was trained at; other sizes run as well.
        prediction: What the output is.
        betas: First and last beta of its 1000 steps, linear in the square root.
    """

    in_channels: int = 4
    out_channels: int = 4
    model_channels: int = 320
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    attention_levels: tuple[int, ...] = (0, 1, 2)
    context_width: int = 768
    transformer_depth: int = 1
    linear_projection: bool = False
    context_only_levels: tuple[int, ...] = ()
    num_heads: int = 8
    num_head_channels: int = 0
    residual_resampling: bool = False
    scale_shift: bool = False
    classes: int = 0
    vector_width: int = 0
    norm_groups: int = 32
    size: int = 64
    prediction: Prediction = "eps"
    betas: tuple[float, ...] = (0.00085, 0.012)

    def __post_init__(self) -> None:
        for name in ("out_channels", "model_channels", "num_res_blocks", "transformer_depth", "size"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        require(self.in_channels >= self.out_channels, self, "in_channels", f"at least {self.out_channels}")
        require(bool(self.channel_mult) and min(self.channel_mult) > 0, self, "channel_mult", "positive numbers")
        levels = range(len(self.channel_mult))
        require(set(self.attention_levels) <= set(levels), self, "attention_levels", f"levels of {list(levels)}")
        require((self.num_heads > 0) != (self.num_head_channels > 0), self, "num_heads", "it or num_head_channels")
        name = "num_heads" if self.num_heads else "num_head_channels"
        for width in sorted({self.widths[level] for level in (*self.attention_levels, -1)}):
            require(width % getattr(self, name) == 0, self, name, f"a divisor of {width}")
        fits = self.norm_groups > 0 and not any(width % self.norm_groups for width in self.widths)
        require(fits, self, "norm_groups", f"a divisor of {sorted(set(self.widths))}")
        require(self.prediction in get_args(Prediction), self, "prediction", get_args(Prediction))
        right = len(self.betas) == 2 and 0 < self.betas[0] < self.betas[1] < 1
        require(right, self, "betas", "two numbers between 0 and 1, the smaller first")

    @property
    def beside(self) -> tuple[tuple[str, int], ...]:
        """Names and channels of what is concatenated to x_t, in order."""
        more = self.in_channels - self.out_channels
        return BESIDE.get((self.in_channels, self.out_channels), (("concatenated", more),) if more else ())

    def heads(self, width: int) -> int:
        """Heads of an attention layer of a width."""
        return self.num_heads or width // self.num_head_channels


_SD1 = UnetSpec()
_SD2 = replace(_SD1, context_width=1024, linear_projection=True, num_heads=0, num_head_channels=64)
_LDM = UnetSpec(
    in_channels=3,
    out_channels=3,
    channel_mult=(1, 2, 3, 4),
    attention_levels=(1, 2, 3),
    context_width=0,
    num_heads=0,
    num_head_channels=32,
    betas=(0.0015, 0.0195),
)

# Where two have the same shapes, what they differ in is assumed to be the first one's.
PUBLISHED: Mapping[str, UnetSpec] = {
    "stable-diffusion-1": _SD1,
    "stable-diffusion-1-inpaint": replace(_SD1, in_channels=9),
    "instruct-pix2pix": replace(_SD1, in_channels=8),
    "stable-diffusion-2": replace(_SD2, prediction="v", size=96),
    "stable-diffusion-2-base": _SD2,
    "stable-diffusion-2-inpaint": replace(_SD2, in_channels=9),
    "stable-diffusion-2-depth": replace(_SD2, in_channels=5),
    "stable-unclip-l": replace(_SD2, vector_width=1536, prediction="v", size=96),
    "stable-unclip-h": replace(_SD2, vector_width=2048, prediction="v", size=96),
    "stable-diffusion-x4-upscaler": replace(
        _SD2,
        in_channels=7,
        model_channels=256,
        channel_mult=(1, 2, 2, 4),
        attention_levels=(1, 2, 3),
        context_only_levels=(1, 2),
        num_heads=8,
        num_head_channels=0,
        classes=1000,
        size=128,
        prediction="v",
        betas=(0.0001, 0.02),
    ),
    "txt2img-1.4B": replace(_SD1, context_width=1280, size=32),
    "text2img256": replace(_LDM, model_channels=192, channel_mult=(1, 2, 3, 5), context_width=640),
    "cin256-v2": replace(
        _LDM, model_channels=192, channel_mult=(1, 2, 3, 5), context_width=512, num_heads=1, num_head_channels=0
    ),
    "cin256": replace(
        _LDM,
        in_channels=4,
        out_channels=4,
        model_channels=256,
        channel_mult=(1, 2, 4),
        attention_levels=(0, 1, 2),
        context_width=512,
        size=32,
    ),
    "layout2img": replace(_LDM, model_channels=128, context_width=512, transformer_depth=3, betas=(0.0015, 0.0205)),
    "retrieval-augmented-768": replace(
        _LDM,
        in_channels=16,
        out_channels=16,
        model_channels=448,
        attention_levels=(0, 1, 2),
        context_width=768,
        size=48,
        betas=(0.0015, 0.015),
    ),
    "unconditional-vq-f4": replace(_LDM, model_channels=224),
    "churches-kl-f8": replace(
        _LDM,
        in_channels=4,
        out_channels=4,
        model_channels=192,
        channel_mult=(1, 2, 2, 4, 4),
        attention_levels=(0, 1, 2, 3),
        num_heads=8,
        num_head_channels=0,
        residual_resampling=True,
        scale_shift=True,
        size=32,
        betas=(0.0015, 0.0155),
    ),
    "super-resolution": replace(
        _LDM,
        in_channels=6,
        model_channels=160,
        channel_mult=(1, 2, 2, 4),
        attention_levels=(3,),
        betas=(0.0015, 0.0155),
    ),
    "semantic-synthesis": replace(
        _LDM,
        in_channels=6,
        model_channels=128,
        channel_mult=(1, 4, 8),
        attention_levels=(),
        num_heads=8,
        num_head_channels=0,
        betas=(0.0015, 0.0205),
    ),
    "inpainting-big": replace(
        _LDM,
        in_channels=7,
        model_channels=256,
        num_heads=8,
        num_head_channels=0,
        residual_resampling=True,
        betas=(0.0015, 0.0205),
    ),
}


def stated_values(stated: Mapping[str, Any], *, where: str, spec: type[UnetSpec] = UnetSpec) -> dict[str, Any]:
    """Hyper-parameters by the spec's names; stating heads in one way unstates the other.

    Raises:
        GlidewireError: An unknown name or a value of the wrong type.
    """
    values = typed(spec, stated, where=where)
    for name, other in (("num_heads", "num_head_channels"), ("num_head_channels", "num_heads")):
        if values.get(name):
            values.setdefault(other, 0)
    return values


def infer_spec(
    told: Mapping[str, Any], *, stated: Mapping[str, Any], where: str
) -> tuple[str, UnetSpec, tuple[str, ...]]:
    """The variant and spec from what shapes tell (see `told_by_shapes`) and from what is stated beside them.

    Returns:
        The published name, or a name by what it takes; the spec; and the names of hyper-parameters that were
        assumed: neither told, nor stated, nor the same in all published models of these shapes.

    Raises:
        GlidewireError: What is stated contradicts the shapes, or no model can have it.
    """
    found = matching(PUBLISHED, told)
    base = next(iter(found.values()), _SD1 if told["context_width"] else _LDM)
    agreeing = [n for n, spec in found.items() if all(getattr(spec, field) == v for field, v in stated.items())]
    spec = combined(base, told, stated, where=where)
    differing = [name for name in UNTOLD if len({getattr(row, name) for row in found.values()}) > 1]
    assumed = tuple(name for name in (differing if found else UNTOLD) if name not in stated)
    if "num_heads" in stated:
        assumed = tuple(name for name in assumed if name != "num_head_channels")
    name = (agreeing or list(found) or [_name(spec)])[0]
    return name, spec, assumed


def _name(spec: UnetSpec) -> str:
    """What a model of shapes that were never published is called."""
    kind = "with context" if spec.context_width else "without context"
    beside = f", beside {' and '.join(name for name, _ in spec.beside)}" if spec.beside else ""
    return f"latent denoiser {kind}{beside}"


def told_by_shapes(shapes: Shapes, *, where: str) -> dict[str, Any]:
    """What the keys and shapes of diffusers' layout tell.

    Args:
        shapes: Shape of each tensor by diffusers' key.
        where: Named in errors.

    Raises:
        GlidewireError: The shapes are no such model's.
    """
    try:
        return _told(shapes)
    except (KeyError, ValueError, IndexError) as error:
        raise GlidewireError(f"{where} is not a latent denoiser: key {error} is missing") from error


def _told(shapes: Shapes) -> dict[str, Any]:
    model_channels, in_channels = shapes["conv_in.weight"][:2]
    levels = 1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("down_blocks."))
    first = [f"down_blocks.{level}.resnets.0" for level in range(levels)]
    widths = [shapes[f"{block}.conv1.weight"][0] for block in first]
    if any(width % model_channels for width in widths):
        raise ValueError("widths that are not multiples of the first")
    attention = [level for level in range(levels) if f"down_blocks.{level}.attentions.0." in _starts(shapes, 4)]
    middle = "mid_block.attentions.0"
    context = shapes.get(f"{middle}.transformer_blocks.0.attn2.to_k.weight", (0, 0))[1]
    return {
        "in_channels": in_channels,
        "out_channels": shapes["conv_out.weight"][0],
        "model_channels": model_channels,
        "channel_mult": tuple(width // model_channels for width in widths),
        "num_res_blocks": _count(r"down_blocks\.0\.resnets\.(\d+)\.conv1\.weight", shapes),
        "attention_levels": tuple(attention),
        "context_width": context,
        "transformer_depth": max(1, _count(rf"{middle}\.transformer_blocks\.(\d+)\.attn1\.to_k\.weight", shapes)),
        "linear_projection": len(shapes.get(f"{middle}.proj_in.weight", ())) == 2,
        "context_only_levels": tuple(level for level in attention if _context_only(shapes, level, widths[level])),
        "residual_resampling": "down_blocks.0.downsamplers.0.conv1.weight" in shapes,
        "scale_shift": shapes[f"{first[0]}.time_emb_proj.weight"][0] == 2 * widths[0],
        "classes": shapes.get("class_embedding.weight", (0,))[0],
        "vector_width": shapes.get("class_embedding.linear_1.weight", (0, 0))[1],
    }


def _starts(shapes: Shapes, parts: int) -> set[str]:
    return {".".join(key.split(".")[:parts]) + "." for key in shapes}


def _count(pattern: str, keys: Iterable[str]) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in keys)


def _context_only(shapes: Shapes, level: int, width: int) -> bool:
    key = f"down_blocks.{level}.attentions.0.transformer_blocks.0.attn1.to_k.weight"
    # Where the context is as wide as the level, both readings have these shapes; published models attend to
    # themselves there.
    return key in shapes and shapes[key][1] != width
