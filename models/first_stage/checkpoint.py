"""First stages' checkpoints, as published and as diffusers writes them: recognised and mapped to the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from ..header import Header
from ..hyper_parameters import carried
from ..key_map import Entry, KeyMap, renamed, unfolded, unprefixed
from ..parts import SCALE
from ..registry import Family, Identity
from .spec import LAYOUTS, FirstStageSpec, infer_spec

PREFIX = "autoencoder."
_CONFIGURED = {"scaling_factor": "latent_scale", "norm_num_groups": "norm_groups"}


def key_map(spec: FirstStageSpec) -> KeyMap:
    """The published layout and `FirstStage`'s."""
    entries: list[Entry] = []
    for layer in ("quant_conv", "post_quant_conv"):
        entries += renamed(layer, PREFIX + layer)
    for half in ("encoder", "decoder"):
        for layer, ours in (("conv_in", "conv_in"), ("norm_out", "conv_norm_out"), ("conv_out", "conv_out")):
            entries += renamed(f"{half}.{layer}", f"{PREFIX}{half}.{ours}")
        entries += _middle(half, attends=spec.middle_attention)
        entries += _levels(spec, half)
    codes = f"{PREFIX}quantize.embedding.weight"
    if spec.kind == "vq":
        entries += [Entry("quantize.embedding.weight", (codes,))]
    if spec.kind == "gumbel":
        entries += [Entry("quantize.embed.weight", (codes,)), *renamed("quantize.proj", "projection")]
    return tuple(entries)


def _levels(spec: FirstStageSpec, half: str) -> Iterator[Entry]:
    """Every level of the encoder or the decoder; diffusers counts the decoder's from the lowest resolution."""
    widths, last = spec.widths, len(spec.widths) - 1
    encodes = half == "encoder"
    before = widths[0] if encodes else widths[-1]
    for level in range(last + 1) if encodes else reversed(range(last + 1)):
        published = f"{half}.{'down' if encodes else 'up'}.{level}"
        ours = f"{PREFIX}{half}." + (f"down_blocks.{level}" if encodes else f"up_blocks.{last - level}")
        for index in range(spec.num_res_blocks + (not encodes)):
            yield from _residual(f"{published}.block.{index}", f"{ours}.resnets.{index}", before != widths[level])
            if level in spec.attention_levels:
                yield from _attention(f"{published}.attn.{index}", f"{ours}.attentions.{index}")
            before = widths[level]
        if encodes and level < last:
            yield from renamed(f"{published}.downsample.conv", f"{ours}.downsamplers.0.conv")
        if not encodes and level:
            yield from renamed(f"{published}.upsample.conv", f"{ours}.upsamplers.0.conv")


def _middle(half: str, *, attends: bool) -> Iterator[Entry]:
    middle = f"{PREFIX}{half}.mid_block"
    yield from _residual(f"{half}.mid.block_1", f"{middle}.resnets.0", skip=False)
    if attends:
        yield from _attention(f"{half}.mid.attn_1", f"{middle}.attentions.0")
    yield from _residual(f"{half}.mid.block_2", f"{middle}.resnets.1", skip=False)


def _residual(source: str, target: str, skip: bool) -> Iterator[Entry]:
    for layer in ("norm1", "conv1", "norm2", "conv2"):
        yield from renamed(f"{source}.{layer}", f"{target}.{layer}")
    if skip:
        yield from renamed(f"{source}.nin_shortcut", f"{target}.conv_shortcut")


def _attention(source: str, target: str) -> Iterator[Entry]:
    yield from renamed(f"{source}.norm", f"{target}.group_norm")
    for theirs, ours in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")):
        yield from unfolded(f"{source}.{theirs}", f"{target}.{ours}", sides=2)


def diffusers_key_map(spec: FirstStageSpec) -> KeyMap:
    """diffusers' layout and `FirstStage`'s."""
    return unprefixed(key_map(spec), PREFIX)


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a first stage; None if the tensors are not one's.

    Raises:
        GlidewireError: It is one, but what is stated contradicts its tensors.
    """
    layout = next((name for name, names in LAYOUTS.items() if names.width.format(0) in header.shapes), None)
    if layout is None or "post_quant_conv.weight" not in header.shapes:
        return None
    told = carried(FirstStageSpec, header.metadata, family="first_stage", where=header.name)
    told |= {
        ours: header.config[theirs] for theirs, ours in _CONFIGURED.items() if header.config.get(theirs) is not None
    }
    if SCALE in header.metadata:
        told["latent_scale"] = float(header.metadata[SCALE])
    variant, spec, assumed = infer_spec(header.shapes, LAYOUTS[layout], stated={**told, **stated}, where=header.name)
    dims = {
        "channels": spec.picture_channels,
        "latent_channels": spec.code_channels,
        "factor": spec.factor,
        "codes": spec.codes,
    }
    return Identity("first_stage", "first_stage", variant, spec, dims, header, assumed, layout)


def build(spec: FirstStageSpec) -> nn.Module:
    """The network of a spec."""
    # Imported here, so that a file is identified without the libraries that compute.
    from .network import FirstStage

    return FirstStage(spec)


FAMILY = Family(
    "first_stage",
    recognise,
    build,
    key_map,
    layouts={"diffusers": diffusers_key_map},
    # Discriminator and perceptual network of the training, and its moving average.
    ignored=("loss.", "model_ema."),
)
