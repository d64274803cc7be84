"""GLIDE's hyper-parameters: the four published variants, and their inference from a state dict's shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from ...errors import GlidewireError

Variant = Literal["base", "inpaint", "upsample", "upsample-inpaint"]
Shapes = Mapping[str, tuple[int, ...]]

# Channels of the first convolution: x_t, then masked picture and mask (3 + 1), then the low-resolution picture (3).
IN_CHANNELS: Mapping[str, int] = {"base": 3, "inpaint": 7, "upsample": 6, "upsample-inpaint": 10}


@dataclass(frozen=True)
class GlideSpec:
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
        for name in ("channel_mult", "attention_resolutions"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for problem in _problems(self):
            raise problem

    @property
    def in_channels(self) -> int:
        """Channels of the first convolution."""
        return IN_CHANNELS[self.variant]

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, highest resolution first."""
        return tuple(self.model_channels * factor for factor in self.channel_mult)

    @property
    def embedding_width(self) -> int:
        """Width of the time embedding, to which the text embedding is added."""
        return 4 * self.model_channels

    @property
    def size_multiple(self) -> int:
        """Height and width of every input must be multiples of this: the picture is halved between levels."""
        return 2 ** (len(self.channel_mult) - 1)

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

    def to_json(self) -> str:
        """The JSON that a checkpoint carries as `glidewire.spec`."""
        return json.dumps({"family": "glide", **asdict(self)})

    @classmethod
    def from_json(cls, text: str, *, where: str = "spec") -> GlideSpec:
        """Read `to_json`'s form; raises GlidewireError on anything else, naming `where`."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise GlidewireError(f"{where} is not JSON", got=str(error)) from error
        if not isinstance(values, dict) or values.pop("family", "glide") != "glide":
            raise GlidewireError(f"{where} is not a GLIDE spec", expected='an object with "family": "glide"')
        return cls(**_typed(values, where))

    @classmethod
    def from_published_options(cls, options: Mapping[str, Any]) -> GlideSpec:
        """The spec that the published code's option names describe (`xf_width`, `super_res`, ...).

        A self-trained checkpoint usually comes with these options rather than with a spec of ours.
        """
        variant: Variant = "base"
        if options.get("super_res"):
            variant = "upsample-inpaint" if options.get("inpaint") else "upsample"
        elif options.get("inpaint"):
            variant = "inpaint"
        published = PUBLISHED[variant]
        values = {ours: options[theirs] for theirs, ours in _PUBLISHED_OPTIONS.items() if theirs in options}
        for name in ("channel_mult", "attention_resolutions"):
            if isinstance(values.get(name), str):
                values[name] = tuple(int(part) for part in values[name].split(",") if part) or getattr(published, name)
        return replace(published, **values)


def _problems(spec: GlideSpec) -> list[GlidewireError]:
    """What makes a spec impossible to build, in reading order."""
    found: list[GlidewireError] = []

    def require(holds: bool, name: str, expected: object) -> None:
        if not holds:
            found.append(
                GlidewireError(
                    f"GLIDE spec: {name} does not fit",
                    expected=expected,
                    got=getattr(spec, name),
                    hint="State the model's own value in the checkpoint's metadata `glidewire.spec`.",
                )
            )

    require(spec.variant in get_args(Variant), "variant", get_args(Variant))
    require(spec.out_channels in (3, 6), "out_channels", "3 (eps) or 6 (eps and variance)")
    counts = ("image_size", "model_channels", "num_res_blocks", "num_head_channels", "norm_groups")
    for name in (*counts, "text_context", "text_width", "text_layers", "text_heads", "vocabulary_size"):
        require(getattr(spec, name) > 0, name, "a positive number")
    factors = spec.channel_mult
    require(bool(factors) and min(factors, default=0) > 0, "channel_mult", "positive numbers")
    if found:
        return found
    require(spec.image_size % spec.size_multiple == 0, "image_size", f"a multiple of {spec.size_multiple}")
    sides = [spec.image_size >> level for level in range(len(factors))]
    require(set(spec.attention_resolutions) <= set(sides), "attention_resolutions", f"sides of the levels {sides}")
    attending = {w for w, attends in zip(spec.widths, spec.attention_levels, strict=True) if attends}
    for width in sorted(attending | {spec.widths[-1]}):
        require(width % spec.num_head_channels == 0, "num_head_channels", f"a divisor of {width}")
    for width in sorted(set(spec.widths)):
        require(width % spec.norm_groups == 0, "norm_groups", f"a divisor of {width}")
    require(spec.text_width % spec.text_heads == 0, "text_heads", f"a divisor of {spec.text_width}")
    return found


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

_PUBLISHED_OPTIONS: Mapping[str, str] = {
    "image_size": "image_size",
    "num_channels": "model_channels",
    "channel_mult": "channel_mult",
    "num_res_blocks": "num_res_blocks",
    "num_head_channels": "num_head_channels",
    "attention_resolutions": "attention_resolutions",
    "text_ctx": "text_context",
    "xf_width": "text_width",
    "xf_layers": "text_layers",
    "xf_heads": "text_heads",
    "n_vocab": "vocabulary_size",
    "noise_schedule": "schedule",
    "norm_groups": "norm_groups",
}


def infer_spec(shapes: Shapes, *, where: str = "checkpoint") -> GlideSpec:
    """The spec that a published-layout state dict has, from its keys and shapes alone.

    Shapes tell everything but six things, which take the published values of the variant: image size (64, or
    256 for upsamplers; with it the pixels that `attention_resolutions` counts in), head channels (64), text
    heads (8), norm groups (32) and the schedule. A checkpoint that differs says so in its metadata.

    Args:
        shapes: Shape of each tensor by its key.
        where: Named in the error.

    Raises:
        GlidewireError: The first convolution has no variant's number of input channels, or a key that carries
            a hyper-parameter is missing.
    """
    try:
        return _infer(shapes, where)
    except KeyError as error:
        raise GlidewireError(f"{where} is not a GLIDE model: key {error} is missing") from error


def _infer(shapes: Shapes, where: str) -> GlideSpec:
    model_channels, in_channels = shapes["input_blocks.0.0.weight"][:2]
    variant = next((name for name, channels in IN_CHANNELS.items() if channels == in_channels), None)
    if variant is None:
        raise GlidewireError(
            f"{where} has a first convolution that no GLIDE variant has",
            expected=f"input channels {IN_CHANNELS}",
            got=in_channels,
        )
    published = PUBLISHED[variant]
    blocks = 1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("input_blocks."))
    # An output block with a residual block behind its first one ends in an upsampler: one between levels.
    levels = 1 + sum(
        key.startswith("output_blocks.") and key.split(".")[2] != "0" and key.endswith(".in_layers.0.weight")
        for key in shapes
    )
    stride = blocks // levels  # residual blocks of a level and its downsampler
    first = [1 + level * stride for level in range(levels)]
    widths = [shapes[f"input_blocks.{index}.0.out_layers.3.weight"][0] for index in first]
    if any(width % model_channels for width in widths):
        raise GlidewireError(
            f"{where} has level widths that are not multiples of its first", expected=model_channels, got=widths
        )
    return replace(
        published,
        out_channels=shapes["out.2.weight"][0],
        model_channels=model_channels,
        channel_mult=tuple(width // model_channels for width in widths),
        num_res_blocks=stride - 1,
        attention_resolutions=tuple(
            published.image_size >> level
            for level, index in enumerate(first)
            if f"input_blocks.{index}.1.qkv.weight" in shapes
        ),
        text_context=shapes["positional_embedding"][0],
        text_width=shapes["positional_embedding"][1],
        text_layers=len({key.split(".")[2] for key in shapes if key.startswith("transformer.resblocks.")}),
        vocabulary_size=shapes["token_embedding.weight"][0],
    )


def _typed(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`values` with lists as tuples, each checked against the type of its field's default."""
    defaults = {field.name: field.default for field in fields(GlideSpec)}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in defaults:
            raise GlidewireError(f"{where} has an unknown field {name!r}", expected=sorted(defaults))
        kind = type(defaults[name])
        if kind is tuple:
            right = isinstance(value, list | tuple) and all(type(item) is int for item in value)
            value = tuple(value) if right else value
        else:
            right = type(value) is kind
        if not right:
            raise GlidewireError(f"{where}: {name} has the wrong type", expected=kind.__name__, got=repr(value))
        checked[name] = value
    return checked
