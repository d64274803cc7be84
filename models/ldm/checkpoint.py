"""Checkpoints of latent diffusion: recognised by their tensors, in both layouts, and mapped to our networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from .. import hyper_parameters
from ..header import Header
from ..key_map import KeyMap
from ..registry import Family, Identity
from . import bert, condition, layout
from .spec import Shapes, UnetSpec, infer_spec, stated_values, told_by_shapes

# Beginnings of all keys of a denoiser in the published layout and in diffusers'; others belong to other families.
_LAYOUTS = {
    "published": ("time_embed.", "input_blocks.", "middle_block.", "output_blocks.", "out.", "label_emb."),
    "diffusers": (
        "conv_in.", "time_embedding.", "class_embedding.", "down_blocks.", "mid_block.", "up_blocks.",
        "conv_norm_out.", "conv_out.",
    ),
}  # fmt: skip
# Layers of the related U-Nets that latent diffusion does not have.
_FOREIGN = ("encoder_kv.", "add_k_proj.", "norm_q.", "norm_added_k.")
# Options of diffusers' configuration that no latent diffusion model has otherwise: a value beside these makes
# another network of the same tensors.
_FIXED_OPTIONS: Mapping[str, Any] = {
    "flip_sin_to_cos": True, "freq_shift": 0, "act_fn": "silu", "norm_eps": 1e-5, "downsample_padding": 1,
    "center_input_sample": False, "mid_block_scale_factor": 1, "time_embedding_type": "positional",
    "resnet_out_scale_factor": 1.0, "dual_cross_attention": False, "addition_embed_type": None,
    "cross_attention_norm": None,
}  # fmt: skip
_PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "v": "v", "eps": "eps"}


def recognise_denoiser(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a latent denoiser; None if the tensors are not one's.

    Raises:
        GlidewireError: It is one, but what is stated or configured contradicts its tensors.
    """
    names = next((name for name, starts in _LAYOUTS.items() if _all_start(header.shapes, starts)), None)
    if names is None or any(foreign in key for key in header.shapes for foreign in _FOREIGN):
        return None
    shapes = layout.telling_shapes(header.shapes) if names == "published" else header.shapes
    if not _is_denoiser(shapes) or not as_published(header.config):
        return None
    told = told_by_shapes(shapes, where=header.name)
    carried = {
        **hyper_parameters.carried(UnetSpec, header.metadata, family="ldm", where=header.name),
        **carried_values(header, told),
    }
    given = stated_values(stated, where=f"{header.name}: stated hyper-parameters")
    if "num_heads" in given:
        carried = {name: value for name, value in carried.items() if not name.startswith("num_head")}
    variant, spec, assumed = infer_spec(told, stated={**carried, **given}, where=header.name)
    dims = {
        "latent_channels": spec.out_channels,
        "in_channels": spec.in_channels,
        "context_width": spec.context_width,
        "size": spec.size,
    }
    return Identity("ldm", "denoiser", variant, spec, dims, header, assumed, names)


def _all_start(shapes: Shapes, starts: tuple[str, ...]) -> bool:
    return bool(shapes) and all(key.startswith(starts) for key in shapes)


def _is_denoiser(shapes: Shapes) -> bool:
    """Whether the middle attends, and the output has no channels that the input has not (a learned variance)."""
    ends = shapes.get("conv_in.weight"), shapes.get("conv_out.weight")
    # The second module of the middle has a norm in any attention; without attention it is a residual block.
    middle = any(f"mid_block.attentions.0.{norm}.weight" in shapes for norm in ("norm", "group_norm"))
    return None not in ends and middle and ends[1][0] <= ends[0][1]  # pyrefly: ignore


def as_published(config: Mapping[str, Any]) -> bool:
    """Whether a folder's configuration has no option that no latent diffusion model has."""
    return all(config.get(name) in (None, value) for name, value in _FIXED_OPTIONS.items())


def carried_values(header: Header, told: Mapping[str, Any]) -> dict[str, Any]:
    """Hyper-parameters that the folder's configuration or the file's metadata tell, by the spec's names."""
    config = header.config
    carried: dict[str, Any] = {}
    if isinstance(config.get("norm_num_groups"), int):
        carried["norm_groups"] = config["norm_num_groups"]
    if isinstance(config.get("sample_size"), int):
        carried["size"] = config["sample_size"]
    if "attention_head_dim" in config:
        carried |= _heads(config["attention_head_dim"], told)
    prediction = config.get("scheduler", {}).get("prediction_type") or header.metadata.get("modelspec.prediction_type")
    if prediction in _PREDICTIONS:
        carried["prediction"] = _PREDICTIONS[prediction]
    return carried


def _heads(configured: Any, told: Mapping[str, Any]) -> dict[str, int]:
    """diffusers' `attention_head_dim`: the number of heads with a context, the channels of one without."""
    if not told["context_width"]:
        by_number, value = configured is None, configured or 1
    elif isinstance(configured, list):
        widths = [told["model_channels"] * factor for factor in told["channel_mult"]]
        by_number = len(set(configured)) == 1
        value = configured[0] if by_number else widths[-1] // configured[-1]
    else:
        by_number, value = True, configured
    return {"num_heads": value if by_number else 0, "num_head_channels": 0 if by_number else value}


class _Component(NamedTuple):
    """How the networks of one kind of spec are built and named."""

    build: Callable[[Any], nn.Module]
    key_map: Callable[[Any], KeyMap]
    diffusers_key_map: Callable[[Any], KeyMap]


def _denoiser(spec: UnetSpec) -> nn.Module:
    # Imported here, so that a file is identified without the libraries that compute.
    from .network import LatentDenoiser

    return LatentDenoiser(spec)


_COMPONENTS: Mapping[type, _Component] = {
    UnetSpec: _Component(_denoiser, layout.key_map, layout.diffusers_key_map),
    bert.BertSpec: _Component(bert.Bert, bert.key_map, partial(bert.key_map, layout="diffusers")),
    condition.ClassEmbedderSpec: _Component(condition.ClassEmbedder, condition.class_key_map, condition.class_key_map),
    condition.RescalerSpec: _Component(
        condition.SpatialRescaler, condition.rescaler_key_map, condition.rescaler_key_map
    ),
}


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a denoiser or of what conditions one; None if the tensors are neither's.

    Raises:
        GlidewireError: They are, but what is stated or configured contradicts them.
    """
    for component in (recognise_denoiser, bert.recognise, condition.recognise):
        identity = component(header, stated)
        if identity is not None:
            return identity
    return None


FAMILY = Family(
    "ldm",
    recognise,
    lambda spec: _COMPONENTS[type(spec)].build(spec),
    lambda spec: _COMPONENTS[type(spec)].key_map(spec),
    layouts={"diffusers": lambda spec: _COMPONENTS[type(spec)].diffusers_key_map(spec)},
)
