"""GLIDE's hyper-parameters: the four published variants, and their inference from a state dict's shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from ...diffusion.schedules import SCHEDULES
from ...errors import GlidewireError

Variant = Literal["base", "inpaint", "upsample", "upsample-inpaint"]
Shapes = Mapping[str, tuple[int, ...]]

# What shapes cannot tell: two models with other values have the same tensors.
UNTOLD = ("image_size", "num_head_channels", "text_heads", "norm_groups", "schedule")
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
    require(spec.schedule in SCHEDULES, "schedule", f"one of {', '.join(SCHEDULES)}")
    require(spec.out_channels in (3, 6), "out_channels", "3 (eps) or 6 (eps and variance)")
    counts = ("image_size", "model_channels", "num_res_blocks", "num_head_channels", "norm_groups")
    for name in (*counts, "text_context", "text_width", "text_layers", "text_heads", "vocabulary_size"):
        require(getattr(spec, name) > 0, name, "a positive number")
    factors = spec.channel_mult
    positive = bool(factors) and min(factors) > 0
    require(positive and factors[0] == 1, "channel_mult", "positive numbers, the first of them 1")
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

# The published code's option names. Shapes tell the lists, which it takes as text.
_PUBLISHED_OPTIONS: Mapping[str, str] = {
    "num_channels": "model_channels",
    "text_ctx": "text_context",
    "xf_width": "text_width",
    "xf_layers": "text_layers",
    "xf_heads": "text_heads",
    "n_vocab": "vocabulary_size",
    "noise_schedule": "schedule",
}
# Options that every published model has in common, and without which the network would be another one.
_FIXED_OPTIONS: Mapping[str, Any] = {
    "use_scale_shift_norm": True,
    "resblock_updown": True,
    "xf_final_ln": True,
    "xf_padding": True,
    "xf_ar": 0.0,
    "diffusion_steps": 1000,
}
# Options that leave the network as it is, or that its shapes tell.
_OTHER_OPTIONS = frozenset(
    {"num_heads", "num_heads_upsample", "dropout", "timestep_respacing", "use_fp16", "cache_text_emb"}
    | {"inpaint", "super_res"}
)


def stated_values(stated: Mapping[str, Any], *, where: str = "stated hyper-parameters") -> dict[str, Any]:
    """Hyper-parameters by our names, from our names or the published code's options (`xf_heads`, `n_vocab`).

    Raises:
        GlidewireError: An unknown name, a value of the wrong type, or an option that describes another network.
    """
    values: dict[str, Any] = {}
    for name, value in stated.items():
        if name in _FIXED_OPTIONS and value != _FIXED_OPTIONS[name]:
            raise GlidewireError(f"{where}: no GLIDE network has {name}={value!r}", expected=_FIXED_OPTIONS[name])
        text_list = name in ("channel_mult", "attention_resolutions") and isinstance(value, str)
        if name not in _FIXED_OPTIONS and name not in _OTHER_OPTIONS and not text_list:
            values[_PUBLISHED_OPTIONS.get(name, name)] = value
    return _typed(values, where)


def infer_spec(
    shapes: Shapes, *, stated: Mapping[str, Any] | None = None, where: str = "checkpoint"
) -> tuple[GlideSpec, tuple[str, ...]]:
    """The spec of a published-layout state dict, from its keys and shapes and from what is stated beside them.

    Shapes tell everything but `UNTOLD`, which take the variant's published values unless stated; with the
    image size go the pixels that `attention_resolutions` counts in.

    Args:
        shapes: Shape of each tensor by its key.
        stated: What `stated_values` gives.
        where: Named in errors.

    Returns:
        The spec, and the names of hyper-parameters that were assumed: neither told, nor stated, in a model
        whose shapes are not the published ones.

    Raises:
        GlidewireError: The shapes are no GLIDE model's, or contradict what is stated.
    """
    try:
        told, levels = _told(shapes, where)
    except (KeyError, ValueError) as error:
        raise GlidewireError(f"{where} is not a GLIDE model: key {error} is missing") from error
    published = PUBLISHED[told["variant"]]
    values = dict(stated or {})
    size = values.get("image_size", published.image_size)
    told["attention_resolutions"] = tuple(size >> level for level in levels)
    for name, value in told.items():
        if values.get(name, value) != value:
            raise GlidewireError(
                f"{where} contradicts the stated {name}", expected=f"{value}, from its tensors", got=values[name]
            )
    spec = replace(published, **{**values, **told})
    exactly = all(getattr(published, name) == value for name, value in told.items())
    return spec, () if exactly else tuple(name for name in UNTOLD if name not in values)


def _told(shapes: Shapes, where: str) -> tuple[dict[str, Any], list[int]]:
    """What the shapes tell, and the levels that attend."""
    model_channels, in_channels = shapes["input_blocks.0.0.weight"][:2]
    variant = next((name for name, channels in IN_CHANNELS.items() if channels == in_channels), None)
    if variant is None:
        raise GlidewireError(
            f"{where} has a first convolution that no GLIDE variant has",
            expected=f"input channels {dict(IN_CHANNELS)}",
            got=in_channels,
        )
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
    told = {
        "variant": variant,
        "out_channels": shapes["out.2.weight"][0],
        "model_channels": model_channels,
        "channel_mult": tuple(width // model_channels for width in widths),
        "num_res_blocks": stride - 1,
        "text_context": shapes["positional_embedding"][0],
        "text_width": shapes["positional_embedding"][1],
        "text_layers": len({key.split(".")[2] for key in shapes if key.startswith("transformer.resblocks.")}),
        "vocabulary_size": shapes["token_embedding.weight"][0],
    }
    attending = [level for level, n in enumerate(first) if f"input_blocks.{n}.1.qkv.weight" in shapes]
    return told, attending


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
            if right and name == "attention_resolutions":
                value = tuple(sorted(value, reverse=True))
        else:
            right = type(value) is kind
        if not right:
            raise GlidewireError(f"{where}: {name} has the wrong type", expected=kind.__name__, got=repr(value))
        checked[name] = value
    return checked
