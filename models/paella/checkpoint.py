"""Paella's published checkpoints: recognised by their tensors and mapped to our networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from ..header import Header
from ..hyper_parameters import carried
from ..key_map import Entry, KeyMap, renamed
from ..registry import PUBLISHED, Family, Identity
from .inference import infer_spec
from .spec import PaellaV1Spec, PaellaV3Spec, PriorSpec, Spec, VqganSpec

Keys = Iterator[Entry]

_V1_BLOCK = {
    "depthwise.1": "depthwise",
    "ln.ln": "norm",
    "cond_mapper": "modulate",
    "channelwise.0": "expand",
    "channelwise.2": "contract",
}
_V1_NUMBERS = {"ln.gamma": "scale", "ln.beta": "shift", "gamma": "layer_scale"}
_V3_CONV = {"depthwise": "depthwise", "channelwise.0": "expand", "channelwise.4": "contract"}
_V3_ENDS = {
    "embedding.1": "conv_in",
    "byt5_mapper": "byt5_mapper",
    "clip_mapper": "clip_mapper",
    "clip_image_mapper": "clip_image_mapper",
    "clf.1": "conv_out",
}
_VQGAN_BLOCK = {"depthwise.1": "depthwise", "channelwise.0": "expand", "channelwise.2": "contract"}
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def _v1(spec: PaellaV1Spec) -> Keys:
    yield Entry("embedding.weight", ("embedding.weight",))
    last = len(spec.widths) - 1
    for level, blocks in enumerate(spec.down_blocks):
        if level:
            yield from renamed(f"down_blocks.{level}.0", f"downsample.{level - 1}")
        for index in range(blocks):
            yield from _v1_block(f"down_blocks.{level}.{index + (level > 0)}", f"down.{level}.{index}")
    for level, blocks in enumerate(spec.up_blocks):
        for index in range(blocks):
            yield from _v1_block(f"up_blocks.{level}.{index}", f"up.{level}.{index}")
        if level < last:
            yield from renamed(f"up_blocks.{level}.{blocks}", f"upsample.{level}")
    yield from renamed("clf", "head")


def _v1_block(source: str, target: str) -> Keys:
    for theirs, ours in _V1_BLOCK.items():
        yield from renamed(f"{source}.{theirs}", f"{target}.{ours}")
    for theirs, ours in _V1_NUMBERS.items():
        yield Entry(f"{source}.{theirs}", (f"{target}.{ours}",))


def _v3(spec: PaellaV3Spec) -> Keys:
    yield Entry("in_mapper.0.weight", ("embedding.weight",))
    yield Entry("out_mapper.1.weight", ("head.weight",))
    for theirs, ours in _V3_ENDS.items():
        yield from renamed(theirs, ours)
    last = len(spec.widths) - 1
    for level in range(last + 1):
        program = spec.programs[level] * spec.blocks[level]
        up = last - level
        if level:
            yield from renamed(f"down_blocks.{level}.0.1", f"downsample.{level - 1}")
            yield from renamed(f"up_blocks.{up}.{len(program)}.1", f"upsample.{up}")
        for index, kind in enumerate(program):
            yield from _V3_BLOCKS[kind](f"down_blocks.{level}.{index + (level > 0)}", f"down.{level}.{index}")
            yield from _V3_BLOCKS[kind](f"up_blocks.{up}.{index}", f"up.{up}.{index}")


def _v3_convolution(source: str, target: str) -> Keys:
    for theirs, ours in _V3_CONV.items():
        yield from renamed(f"{source}.{theirs}", f"{target}.{ours}")
    yield from renamed(f"{source}.channelwise.2", f"{target}.response", ("gamma", "beta"))


def _v3_time(source: str, target: str) -> Keys:
    yield from renamed(f"{source}.mapper", f"{target}.mapper")


def _v3_attention(source: str, target: str) -> Keys:
    for theirs, leaf in (("in_proj_weight", "weight"), ("in_proj_bias", "bias")):
        targets = tuple(f"{target}.to_{part}.{leaf}" for part in "qkv")
        yield Entry(f"{source}.attention.attn.{theirs}", targets, lambda rows: rows.chunk(3), _stacked)
    yield from renamed(f"{source}.attention.attn.out_proj", f"{target}.to_out")
    yield from renamed(f"{source}.kv_mapper.1", f"{target}.context")


def _stacked(parts: Any) -> torch.Tensor:
    return torch.cat(list(parts))


_V3_BLOCKS: Mapping[str, Callable[[str, str], Keys]] = {"C": _v3_convolution, "T": _v3_time, "A": _v3_attention}


def _vqgan(spec: VqganSpec, codebook: str = "vquantizer.codebook.weight") -> Keys:
    yield Entry(codebook, ("codes.weight",))
    yield from renamed("in_block.1", "conv_in")
    yield from renamed("out_block.0", "conv_out")
    for level in range(spec.levels):
        # A level is a strided convolution, but for the first, and a block.
        yield from _vqgan_block(f"down_blocks.{2 * level}", f"down.{level}")
        if level:
            yield from renamed(f"down_blocks.{2 * level - 1}", f"downsample.{level - 1}")
            place = spec.bottleneck_blocks + 2 * level
            yield from renamed(f"up_blocks.{place - 1}", f"upsample.{level - 1}")
            yield from _vqgan_block(f"up_blocks.{place}", f"up.{level - 1}")
    end = 2 * spec.levels - 1
    yield Entry(f"down_blocks.{end}.0.weight", ("to_latent.weight",))
    yield from renamed(f"down_blocks.{end}.1", "latent_norm", _BATCH_NORM)
    yield from renamed("up_blocks.0.0", "from_latent")
    for index in range(spec.bottleneck_blocks):
        yield from _vqgan_block(f"up_blocks.{index + 1}", f"bottleneck.{index}")


def _vqgan_block(source: str, target: str) -> Keys:
    for theirs, ours in _VQGAN_BLOCK.items():
        yield from renamed(f"{source}.{theirs}", f"{target}.{ours}")
    yield Entry(f"{source}.gammas", (f"{target}.gammas",))


def _prior(spec: PriorSpec) -> Keys:
    yield from renamed("blocks.0", "first")
    for index in range(spec.blocks):
        source, target = f"blocks.{index + 1}", f"blocks.{index}"
        yield Entry(f"{source}.0.weight", (f"{target}.expand.weight",))
        yield from renamed(f"{source}.1", f"{target}.expand_norm")
        yield Entry(f"{source}.3.weight", (f"{target}.contract.weight",))
        yield from renamed(f"{source}.4", f"{target}.contract_norm")
    yield from renamed(f"blocks.{spec.blocks + 1}", "last")


@dataclass(frozen=True)
class _Component:
    """One of Paella's networks: keys that no other network of this line has together, and their names here."""

    name: str
    marks: tuple[str, ...]
    keys: Callable[[Any], Keys]
    dims: Callable[[Any], Mapping[str, int]]


_COMPONENTS: Mapping[type[Spec], _Component] = {
    PaellaV1Spec: _Component(
        "token_denoiser",
        ("embedding.weight", "clf.weight", "down_blocks.0.0.cond_mapper.weight"),
        _v1,
        lambda spec: {"codes": spec.codes, "clip_width": spec.clip_width},
    ),
    PaellaV3Spec: _Component(
        "token_denoiser",
        ("in_mapper.0.weight", "byt5_mapper.weight", "out_mapper.1.weight"),
        _v3,
        lambda spec: {"codes": spec.codes, "clip_width": spec.clip_width, "byt5_width": spec.byt5_width},
    ),
    VqganSpec: _Component(
        "first_stage",
        ("vquantizer.codebook.weight", "in_block.1.weight", "down_blocks.0.gammas"),
        _vqgan,
        lambda spec: {
            "channels": 3, "latent_channels": spec.latent_channels, "factor": spec.factor, "codes": spec.codes,
        },
    ),
    PriorSpec: _Component(
        "prior",
        ("blocks.0.weight", "blocks.1.0.weight", "blocks.1.1.weight", "blocks.1.3.weight", "blocks.1.4.weight"),
        _prior,
        lambda spec: {"clip_width": spec.clip_width},
    ),
}  # fmt: skip
_V1_REMARKS = (
    "Its tensors do not tell whether it was trained with CLIP's text vectors (ViT-g-14) or, fine-tuned, with its "
    "image vectors (ViT-H-14).",
)
# diffusers writes the same network with this key for the codebook, and its scale in the configuration.
_DIFFUSERS, _DIFFUSERS_CODEBOOK = "diffusers", "vquantizer.embedding.weight"


def key_map(spec: Spec) -> KeyMap:
    """The published layout of a spec's network and ours."""
    return tuple(_COMPONENTS[type(spec)].keys(spec))


def diffusers_key_map(spec: Spec) -> KeyMap:
    """diffusers' layout of the VQGAN, the only network of the family that it has, and ours."""
    return tuple(_vqgan(cast(VqganSpec, spec), _DIFFUSERS_CODEBOOK))


def build(spec: Spec) -> nn.Module:
    """The network of a spec."""
    # Imported here, so that a file is identified without the libraries that compute.
    from .prior import PaellaPrior
    from .v1 import PaellaV1
    from .v3 import PaellaV3
    from .vqgan import PaellaVqgan

    networks: Mapping[type[Spec], Callable[[Any], nn.Module]] = {
        PaellaV1Spec: PaellaV1,
        PaellaV3Spec: PaellaV3,
        VqganSpec: PaellaVqgan,
        PriorSpec: PaellaPrior,
    }
    return networks[type(spec)](spec)


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of one of Paella's networks; None if the tensors are not one's.

    Raises:
        GlidewireError: It is one, but what is stated contradicts its tensors.
    """
    layout, shapes = PUBLISHED, header.shapes
    if _DIFFUSERS_CODEBOOK in shapes:
        layout = _DIFFUSERS
        shapes = {key.replace(_DIFFUSERS_CODEBOOK, "vquantizer.codebook.weight"): s for key, s in shapes.items()}
    for kind, component in _COMPONENTS.items():
        if all(mark in shapes for mark in component.marks):
            inside = dict(carried(kind, header.metadata, family="paella", where=header.name))
            if kind is VqganSpec and isinstance(header.config.get("scale_factor"), float):
                inside["scale_factor"] = header.config["scale_factor"]
            variant, spec, assumed = infer_spec(kind, shapes, stated={**inside, **stated}, where=header.name)
            name = variant or f"unpublished {kind.__name__.removesuffix('Spec')}"
            remarks = _V1_REMARKS if kind is PaellaV1Spec else ()
            dims = component.dims(spec)
            return Identity("paella", component.name, name, spec, dims, header, assumed, layout, remarks)
    return None


FAMILY = Family("paella", recognise, build, key_map, layouts={_DIFFUSERS: diffusers_key_map})
