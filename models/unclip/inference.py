"""Which unCLIP model a state dict is: hyper-parameters from shapes, from a configuration, and from what is stated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from ...errors import GlidewireError
from ..hyper_parameters import combined, matching, typed
from .spec import BEHIND_TEXT, DecoderSpec, PriorSpec, UpsamplerSpec

Shapes = Mapping[str, tuple[int, ...]]
Spec = TypeVar("Spec", PriorSpec, DecoderSpec, UpsamplerSpec)


@dataclass(frozen=True)
class Options:
    """How published code and diffusers call the hyper-parameters of one kind of network.

    Attributes:
        renamed: Their names of ours.
        fixed: Options that every published model has in common, and without which the network would be another.
        other: Options that leave the network as it is, or that its shapes tell.
        untold: Ours that shapes do not tell.
    """

    renamed: Mapping[str, str]
    fixed: Mapping[str, Any]
    other: frozenset[str] = field(default_factory=frozenset)
    untold: tuple[str, ...] = ()


# Options of diffusers' U-Nets that make another network of the same tensors.
_UNET: Mapping[str, Any] = {
    "flip_sin_to_cos": True, "freq_shift": 0, "act_fn": "silu", "norm_eps": 1e-5, "mid_block_scale_factor": 1,
    "center_input_sample": False, "time_embedding_type": "positional", "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False, "only_cross_attention": False, "cross_attention_norm": None,
    "timestep_post_act": None,
}  # fmt: skip

OPTIONS: Mapping[type, Options] = {
    PriorSpec: Options(
        {
            "xf_width": "width", "xf_layers": "layers", "xf_heads": "heads", "text_ctx": "text_context",
            "clip_dim": "embedding_width", "clip_xf_width": "text_width", "num_attention_heads": "heads",
            "num_layers": "layers", "embedding_dim": "embedding_width", "num_embeddings": "text_context",
        },
        {
            "xf_final_ln": True, "xf_padding": False, "additional_embeddings": BEHIND_TEXT,
            "time_embed_act_fn": "silu", "norm_in_type": None, "embedding_proj_norm_type": None,
            "encoder_hid_proj_type": "linear", "added_emb_type": "prd",
        },
        frozenset({"attention_head_dim", "dropout"}),
        ("heads",),
    ),
    DecoderSpec: Options(
        {
            "num_channels": "model_channels", "clip_dim": "embedding_width", "clip_emb_mult": "image_tokens",
            "xf_width": "context_width", "model_dim": "context_width", "image_encoder_in_dim": "embedding_width",
            "text_encoder_in_dim1": "text_width", "text_encoder_in_dim2": "pooled_width",
            "num_image_embs": "image_tokens", "norm_num_groups": "norm_groups",
            "attention_head_dim": "num_head_channels",
        },
        {
            **_UNET, "use_scale_shift_norm": True, "resblock_updown": True, "clip_emb_type": "image",
            "pooling_type": "from_model", "resnet_time_scale_shift": "scale_shift",
        },
        frozenset({
            "image_size", "attention_resolutions", "num_heads", "num_heads_upsample", "dropout", "text_ctx",
            "learn_sigma", "clip_emb_drop",
        }),
        ("num_head_channels", "norm_groups"),
    ),
    UpsamplerSpec: Options(
        {
            "channels": "model_channels", "channels_multiple": "channel_mult", "depth": "num_res_blocks",
            "norm_num_groups": "norm_groups",
        },
        {**_UNET, "add_attention": False, "resnet_time_scale_shift": "default"},
        frozenset({"dropout"}),
        ("norm_groups",),
    ),
}  # fmt: skip


def stated_values(kind: type, stated: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Hyper-parameters by our names, from ours, the published code's or diffusers'.

    Raises:
        GlidewireError: An unknown name, a value of the wrong type, or an option that describes another network.
    """
    options = OPTIONS[kind]
    values: dict[str, Any] = {}
    for name, value in stated.items():
        if name in options.fixed and value != options.fixed[name]:
            raise GlidewireError(
                f"{where}: no published unCLIP network has {name}={value!r}", expected=options.fixed[name]
            )
        # The published code takes lists of levels as text; shapes tell them.
        as_text = name == "channel_mult" and isinstance(value, str)
        if name not in options.fixed and name not in options.other and not as_text:
            values[options.renamed.get(name, name)] = value
    return typed(kind, values, where=where)


def configured_values(kind: type, config: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """As `stated_values`, from a folder's configuration, which says much else."""
    options = OPTIONS[kind]
    ours = {field.name for field in fields(kind)}
    known = {*options.renamed, *options.fixed, *ours}
    present = {
        name: value
        for name, value in config.items()
        # diffusers writes an option that was not set as null.
        if name in known and (value is not None or name in options.fixed)
    }
    return stated_values(kind, present, where=f"{where}: config.json")


def infer_spec(
    table: Mapping[str, Spec],
    told: Mapping[str, Any],
    stated: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    where: str,
) -> tuple[str, Spec, tuple[str, ...]]:
    """The variant, its spec, and the names of hyper-parameters that were assumed.

    Args:
        table: Published specs of this kind by name.
        told: What the shapes tell.
        stated: What the user says; wins over the configuration.
        config: A folder's configuration.
        where: Named in errors.

    Raises:
        GlidewireError: What is stated or configured contradicts the shapes, or no model can have it.
    """
    kind = type(next(iter(table.values())))
    values = {
        **configured_values(kind, config, where=where),
        **stated_values(kind, stated, where=f"{where}: stated hyper-parameters"),
    }
    found = matching(table, told)
    system = {"system": told["system"]} if "system" in told else {}
    base = next(iter((found or matching(table, system)).values()))
    spec = combined(base, told, values, where=where)
    name = next(iter(found), f"{told['system']}, other sizes" if system else "other sizes")
    assumed = () if found else tuple(name for name in OPTIONS[kind].untold if name not in values)
    return name, spec, assumed
