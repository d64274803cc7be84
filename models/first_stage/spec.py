"""A first stage's hyper-parameters: the published autoencoders, and their inference from a state dict's shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ...errors import GlidewireError
from ..hyper_parameters import combined, matching, require, typed

Kind = Literal["kl", "vq", "gumbel"]
Shapes = Mapping[str, tuple[int, ...]]

# What shapes cannot tell.
UNTOLD = ("norm_groups", "latent_scale")


@dataclass(frozen=True)
class FirstStageSpec:
    """Hyper-parameters of one autoencoder (Esser et al. 2021; Rombach et al. 2022, appendix G).

    The defaults are kl-f8's, which Stable Diffusion uses.

    Attributes:
        kind: How latents are bounded: a Gaussian posterior, the nearest code, or the likeliest code.
        channels: Width of the first level.
        channel_mult: Width of each level over `channels`, highest resolution first.
        num_res_blocks: Residual blocks of a level in the encoder (one more in the decoder).
        attention_levels: Levels that attend, 0 is the highest resolution.
        middle_attention: Whether the middle block attends.
        picture_channels: Channels of the picture.
        latent_channels: Channels between encoder and decoder.
        code_channels: Channels of a latent outside of the autoencoder, or of a code.
        codes: Number of codes; 0 for a Gaussian posterior.
        norm_groups: Groups of every GroupNorm.
        latent_scale: A diffusion model over these latents sees them times this.
    """

    kind: Kind = "kl"
    channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    attention_levels: tuple[int, ...] = ()
    middle_attention: bool = True
    picture_channels: int = 3
    latent_channels: int = 4
    code_channels: int = 4
    codes: int = 0
    norm_groups: int = 32
    latent_scale: float = 0.18215

    def __post_init__(self) -> None:
        require(self.kind in get_args(Kind), self, "kind", get_args(Kind))
        require(bool(self.channel_mult) and min(self.channel_mult) > 0, self, "channel_mult", "positive numbers")
        for name in ("channels", "num_res_blocks", "picture_channels", "latent_channels", "code_channels"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        require((self.codes > 0) == (self.kind != "kl"), self, "codes", "a positive number, or 0 for kl")
        levels = range(len(self.channel_mult))
        require(set(self.attention_levels) <= set(levels), self, "attention_levels", f"levels of {list(levels)}")
        fits = self.norm_groups > 0 and not any(width % self.norm_groups for width in self.widths)
        require(fits, self, "norm_groups", f"a divisor of {sorted(set(self.widths))}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, highest resolution first."""
        return tuple(self.channels * factor for factor in self.channel_mult)

    @property
    def factor(self) -> int:
        """Pixels of the picture's side per latent."""
        return 2 ** (len(self.channel_mult) - 1)


def _kl(channel_mult: tuple[int, ...], latent: int, scale: float, attention: tuple[int, ...] = ()) -> FirstStageSpec:
    return FirstStageSpec(
        channel_mult=channel_mult,
        latent_channels=latent,
        code_channels=latent,
        attention_levels=attention,
        latent_scale=scale,
    )


def _vq(
    channel_mult: tuple[int, ...],
    latent: int,
    codes: int,
    attention: tuple[int, ...] = (),
    *,
    kind: Kind = "vq",
    middle: bool = True,
) -> FirstStageSpec:
    return FirstStageSpec(
        kind=kind,
        channel_mult=channel_mult,
        latent_channels=latent,
        code_channels=latent,
        codes=codes,
        attention_levels=attention,
        middle_attention=middle,
        latent_scale=1.0,
    )


# The scale of a KL model is measured for each diffusion model over it: Stable Diffusion's for f8, its upscaler's
# for f4, the retrieval-augmented model's for f16.
PUBLISHED: Mapping[str, FirstStageSpec] = {
    "kl-f4": _kl((1, 2, 4), 3, 1.0),
    "kl-f4 of the upscaler": _kl((1, 2, 4), 4, 0.08333),
    "kl-f8": _kl((1, 2, 4, 4), 4, 0.18215),
    "kl-f16": _kl((1, 1, 2, 2, 4), 16, 0.22765929, (4,)),
    "kl-f32": _kl((1, 1, 2, 2, 4, 4), 64, 1.0, (4, 5)),
    "vq-f4": _vq((1, 2, 4), 3, 8192),
    "vq-f4-noattn": _vq((1, 2, 4), 3, 8192, middle=False),
    "vq-f8": _vq((1, 2, 2, 4), 4, 16384, (3,)),
    "vq-f8-n256": _vq((1, 2, 2, 4), 4, 256, (3,)),
    "vq-f16": _vq((1, 1, 2, 2, 4), 8, 16384, (4,)),
    "ruDALL-E f8": _vq((1, 1, 2, 4), 256, 8192, (3,), kind="gumbel"),
}


@dataclass(frozen=True)
class Names:
    """Where one layout keeps what tells the hyper-parameters; `{}` is the level."""

    first: str
    width: str
    block: str
    attention: str
    middle_attention: str


LAYOUTS: Mapping[str, Names] = {
    "published": Names(
        first="encoder.conv_in.weight",
        width="encoder.down.{}.block.0.conv1.weight",
        block=r"encoder\.down\.0\.block\.(\d+)\.conv1\.weight",
        attention="encoder.down.{}.attn.0.norm.weight",
        middle_attention="encoder.mid.attn_1.norm.weight",
    ),
    "diffusers": Names(
        first="encoder.conv_in.weight",
        width="encoder.down_blocks.{}.resnets.0.conv1.weight",
        block=r"encoder\.down_blocks\.0\.resnets\.(\d+)\.conv1\.weight",
        attention="encoder.down_blocks.{}.attentions.0.group_norm.weight",
        middle_attention="encoder.mid_block.attentions.0.group_norm.weight",
    ),
}


def infer_spec(
    shapes: Shapes, names: Names, *, stated: Mapping[str, Any] | None = None, where: str = "checkpoint"
) -> tuple[str, FirstStageSpec, tuple[str, ...]]:
    """The variant and spec of a state dict, from its keys and shapes and from what is stated beside them.

    Args:
        shapes: Shape of each tensor by its key.
        names: The layout of the keys.
        stated: Hyper-parameters by the spec's names.
        where: Named in errors.

    Returns:
        The published name, or what the shapes say; the spec; and the names of hyper-parameters that were
        assumed: neither told, nor stated, in a model whose shapes are not the published ones.

    Raises:
        GlidewireError: The shapes are no first stage's, or contradict what is stated.
    """
    given = typed(FirstStageSpec, stated or {}, where=f"{where}: stated hyper-parameters")
    try:
        told = _told(shapes, names)
    except (KeyError, ValueError) as error:
        raise GlidewireError(f"{where} is not a first stage: key {error} is missing") from error
    unknown = FirstStageSpec(kind=told["kind"], codes=told["codes"], latent_scale=1.0)
    name, published = next(iter(matching(PUBLISHED, told).items()), ("", unknown))
    spec = combined(published, told, given, where=where)
    assumed = () if name else tuple(field for field in UNTOLD if field not in given)
    return name or f"{spec.kind}-f{spec.factor}", spec, assumed


def _told(shapes: Shapes, names: Names) -> dict[str, Any]:
    channels, picture_channels = shapes[names.first][:2]
    levels = 0
    while names.width.format(levels) in shapes:
        levels += 1
    if not levels:
        raise KeyError(names.width.format(0))
    widths = [shapes[names.width.format(level)][0] for level in range(levels)]
    if any(width % channels for width in widths):
        raise GlidewireError("a first stage's widths are multiples of its first", expected=channels, got=widths)
    latent, code = shapes["post_quant_conv.weight"][:2]
    codebook = shapes.get("quantize.embedding.weight") or shapes.get("quantize.embed.weight")
    kind = "kl" if codebook is None else "vq" if "quantize.embedding.weight" in shapes else "gumbel"
    return {
        "kind": kind,
        "channels": channels,
        "channel_mult": tuple(width // channels for width in widths),
        "num_res_blocks": sum(re.fullmatch(names.block, key) is not None for key in shapes),
        "attention_levels": tuple(n for n in range(levels) if names.attention.format(n) in shapes),
        "middle_attention": names.middle_attention in shapes,
        "picture_channels": picture_channels,
        "latent_channels": latent,
        "code_channels": code,
        "codes": codebook[0] if codebook else 0,
    }
