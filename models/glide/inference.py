"""Which GLIDE a state dict is: its hyper-parameters from keys and shapes, and from what is stated beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import GlidewireError
from ..hyper_parameters import combined, typed
from .spec import IN_CHANNELS, PUBLISHED, GlideSpec

Shapes = Mapping[str, tuple[int, ...]]

# What shapes cannot tell: two models with other values have the same tensors.
UNTOLD = ("image_size", "num_head_channels", "text_heads", "norm_groups", "schedule")
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
    return typed(GlideSpec, values, where=where)


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
    except KeyError as error:
        raise GlidewireError(f"{where} is not a GLIDE model: key {error} is missing") from error
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise GlidewireError(f"{where} is not a GLIDE model: its tensors have other dimensions") from error
    published = PUBLISHED[told["variant"]]
    values = dict(stated or {})
    size = values.get("image_size", published.image_size)
    told["attention_resolutions"] = tuple(size >> level for level in levels)
    if "attention_resolutions" in values:
        values["attention_resolutions"] = tuple(sorted(values["attention_resolutions"], reverse=True))
    spec = combined(published, told, values, where=where)
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
