"""Checkpoints of DeepFloyd IF: denoisers in both layouts and the T5 encoder, recognised and mapped to ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..header import Header
from ..hyper_parameters import combined, known
from ..key_map import KeyMap
from ..registry import PUBLISHED, Family, Identity
from . import layout, t5
from .spec import STAGES, UNTOLD, ImagenSpec, told_by_shapes

_MARKS = {
    PUBLISHED: ("encoder_pooling.0.weight", "encoder_proj.weight", "input_blocks.0.0.weight"),
    "diffusers": ("add_embedding.pool.positional_embedding", "encoder_hid_proj.weight", "conv_in.weight"),
}
# Fields of diffusers' configuration that shapes do not tell, and ours.
_CONFIGURED = {
    "attention_head_dim": "num_head_channels",
    "addition_embed_type_num_heads": "pool_heads",
    "norm_num_groups": "norm_groups",
    "sample_size": "size",
    "resnet_out_scale_factor": "residual_scale",
}
# The published code's option names, and ours; shapes tell its other options.
_OPTIONS = {"att_pool_heads": "pool_heads", "image_size": "size"}


def recognise_denoiser(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a stage of IF; None if the tensors are not one's.

    Raises:
        GlidewireError: It is one, but what is stated contradicts its tensors.
    """
    names = next((name for name, marks in _MARKS.items() if all(mark in header.shapes for mark in marks)), None)
    if names is None:
        return None
    told = told_by_shapes(header.shapes, where=header.name)
    renamed = {_OPTIONS.get(name, name): value for name, value in stated.items()}
    config = {ours: header.config.get(theirs) for theirs, ours in _CONFIGURED.items()}
    configured = {name: value for name, value in config.items() if isinstance(value, int | float)}
    given = configured | known(ImagenSpec, header.metadata, renamed, family="imagen", where=header.name)
    stage = "stage II" if told["upsampler"] else "stage I"
    spec = combined(STAGES[stage], told, given, where=header.name)
    exact = all(getattr(STAGES[stage], name) == value for name, value in told.items())
    dims = {
        "channels": spec.channels,
        "size": spec.size,
        "text_width": spec.text_width,
    }
    assumed = () if exact else tuple(name for name in UNTOLD if name not in given)
    return Identity("imagen", "denoiser", stage, spec, dims, header, assumed, names)


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a stage of IF or of a T5 encoder; None if the tensors are neither's.

    Raises:
        GlidewireError: They are, but what is stated or configured contradicts them.
    """
    return recognise_denoiser(header, stated) or t5.recognise(header, stated)


def build(spec: Any) -> nn.Module:
    """The network of a spec."""
    # Imported here, so that a file is identified without the libraries that compute.
    if isinstance(spec, ImagenSpec):
        from .network import ImagenDenoiser

        return ImagenDenoiser(spec)
    from .text import T5Text

    return T5Text(spec)


def key_map(spec: Any) -> KeyMap:
    """The published layout of a spec and its network's."""
    return layout.key_map(spec) if isinstance(spec, ImagenSpec) else t5.key_map(spec)


FAMILY = Family("imagen", recognise, build, key_map, layouts={"diffusers": layout.diffusers_key_map})
