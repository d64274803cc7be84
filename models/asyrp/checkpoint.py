"""Checkpoints of pixel diffusion models and of directions in their bottleneck: recognised and mapped to ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..adm_inference import told_by_shapes
from ..header import Header
from ..hyper_parameters import combined, known
from ..key_map import KeyMap
from ..registry import PUBLISHED, Family, Identity
from . import layout
from .spec import DeltaBlockSpec, DeltaTensorSpec, Kind, PixelUnetSpec, told_by_ddpm_shapes

_DDPM = ("temb.dense.0.weight", "conv_in.weight", "mid.block_1.conv1.weight", "down.0.block.0.conv1.weight")
_GUIDED = ("time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.1.qkv.weight", "out.2.weight")
_GUIDED_STARTS = ("time_embed.", "input_blocks.", "middle_block.", "output_blocks.", "out.")
_DIFFUSERS = ("conv_in.weight", "mid_block.attentions.0.to_q.weight", "down_blocks.0.resnets.0.conv1.weight")
# What tells DDPM's network from others of the same tensors in diffusers' configuration.
_CONFIGURED_DDPM = {"flip_sin_to_cos": False, "freq_shift": 1, "downsample_padding": 0, "norm_eps": 1e-6}
# The published layer of a direction that takes the time embedding.
_EMBEDDINGS: Mapping[Kind, str] = {"ddpm": "temb_proj", "guided": "emb_layers.1"}
_PUBLISHED: Mapping[Kind, PixelUnetSpec] = {
    "ddpm": PixelUnetSpec(),
    "guided": PixelUnetSpec(kind="guided", out_channels=6, num_res_blocks=1, num_head_channels=64),
}


def recognise_denoiser(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of an unconditional pixel diffusion model; None if the tensors are not one's.

    The ablated model without learned variance has the tensors of a latent denoiser and is left to that family;
    so is diffusers' layout without a configuration that tells DDPM's time embedding.

    Raises:
        GlidewireError: It is one, but what is stated contradicts its tensors.
    """
    shapes, configured = header.shapes, dict[str, Any]()
    kind: Kind
    if all(mark in shapes for mark in _DDPM):
        kind, names, told = "ddpm", PUBLISHED, told_by_ddpm_shapes(shapes, where=header.name)
    elif all(mark in shapes for mark in _GUIDED) and all(key.startswith(_GUIDED_STARTS) for key in shapes):
        if any(len(shapes[key]) < 2 for key in ("out.2.weight", _GUIDED[1])):
            return None
        if any("encoder_kv" in key for key in shapes) or shapes["out.2.weight"][0] <= shapes[_GUIDED[1]][1]:
            return None
        kind, names, told = "guided", PUBLISHED, told_by_shapes(shapes, where=header.name)
    elif all(mark in shapes for mark in _DIFFUSERS) and _CONFIGURED_DDPM.items() <= header.config.items():
        kind, names, told = "ddpm", "diffusers", told_by_shapes(shapes, where=header.name)
        configured = _configured(header.config)
    else:
        return None
    given = configured | known(PixelUnetSpec, header.metadata, stated, family="asyrp", where=header.name)
    told = {"kind": kind, **told}
    spec = combined(_PUBLISHED[kind], told, given, where=header.name)
    exact = all(getattr(_PUBLISHED[kind], name) == value for name, value in told.items())
    untold = ("norm_groups", "size", *(["num_head_channels"] if kind == "guided" else []))
    dims = {
        "channels": spec.in_channels,
        "size": spec.size,
        "bottleneck": spec.bottleneck,
        "time_embedding": spec.time_width,
    }
    assumed = () if exact else tuple(name for name in untold if name not in given)
    return Identity("asyrp", "denoiser", kind, spec, dims, header, assumed, names)


def _configured(config: Mapping[str, Any]) -> dict[str, Any]:
    """What diffusers' configuration tells, by the spec's names."""
    names = {"norm_num_groups": "norm_groups", "sample_size": "size", "attention_head_dim": "num_head_channels"}
    return {ours: config[theirs] for theirs, ours in names.items() if isinstance(config.get(theirs), int)}


def recognise_blocks(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of directions that small networks compute, under their numbers or alone; None if they are none.

    Raises:
        GlidewireError: They are, but what is stated contradicts them.
    """
    if any(_are_layers(header, layers) for layers in layout.DELTA_LAYERS.values()):
        # One direction without a number before its keys.
        header = header.view({f"0.{key}": key for key in header.shapes})
    kind = next((kind for kind, layer in _EMBEDDINGS.items() if f"0.{layer}.weight" in header.shapes), None)
    if kind is None or not all(key.split(".")[0].isdecimal() for key in header.shapes):
        return None
    weight = header.shapes[f"0.{_EMBEDDINGS[kind]}.weight"]
    if len(weight) != 2:
        return None
    told = {
        "kind": kind,
        "directions": len({key.split(".")[0] for key in header.shapes}),
        "channels": weight[0],
        "embedding_width": weight[1],
    }
    given = known(DeltaBlockSpec, header.metadata, stated, family="asyrp", where=header.name)
    spec = combined(DeltaBlockSpec(), told, given, where=header.name)
    assumed = () if weight[0] == DeltaBlockSpec.channels or "norm_groups" in given else ("norm_groups",)
    dims = {"bottleneck": spec.channels, "time_embedding": spec.embedding_width}
    return Identity("asyrp", "direction", kind, spec, dims, header, assumed)


def _are_layers(header: Header, layers: Mapping[str, str]) -> bool:
    return header.shapes.keys() == {f"{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias")}


def recognise_tensors(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a direction stored as a tensor for each timestep; None if the tensors are not one's.

    Raises:
        GlidewireError: They are, but what is stated contradicts them.
    """
    shapes = set(header.shapes.values())
    if len(shapes) != 1 or len(next(iter(shapes))) not in (3, 4) or not all(key.isdecimal() for key in header.shapes):
        return None
    told = {"timesteps": tuple(sorted(map(int, header.shapes))), "shape": shapes.pop()}
    given = known(DeltaTensorSpec, header.metadata, stated, family="asyrp", where=header.name)
    spec = combined(DeltaTensorSpec(), told, given, where=header.name)
    dims = {"bottleneck": spec.channels, "height": spec.shape[-2], "width": spec.shape[-1]}
    return Identity("asyrp", "direction", "tensors", spec, dims, header)


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a pixel denoiser or of directions in its bottleneck; None if the tensors are neither's.

    Raises:
        GlidewireError: They are, but what is stated contradicts them.
    """
    for component in (recognise_denoiser, recognise_blocks, recognise_tensors):
        identity = component(header, stated)
        if identity is not None:
            return identity
    return None


def build(spec: Any) -> nn.Module:
    """The network of a spec."""
    # Imported here, so that a file is identified without the libraries that compute.
    if isinstance(spec, PixelUnetSpec):
        from .network import PixelDenoiser

        return PixelDenoiser(spec)
    from .directions import DeltaBlocks, DeltaTensors

    return DeltaBlocks(spec) if isinstance(spec, DeltaBlockSpec) else DeltaTensors(spec)


def key_map(spec: Any) -> KeyMap:
    """The published layout of a spec and its network's."""
    if isinstance(spec, PixelUnetSpec):
        return layout.key_map(spec)
    return layout.delta_block_key_map(spec) if isinstance(spec, DeltaBlockSpec) else layout.delta_tensor_key_map(spec)


FAMILY = Family("asyrp", recognise, build, key_map, layouts={"diffusers": layout.diffusers_key_map})
