"""Noised CLIP's checkpoints: one file for each tower, whose keys overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from ..header import Header
from ..hyper_parameters import carried
from ..key_map import Entry, KeyMap, Merge, transposed
from ..registry import Family, Identity
from .spec import NoisedImageSpec, NoisedTextSpec, image_spec, text_spec

# Keys that only one tower has, and keys that both have.
_IMAGE, _TEXT = "blocks.input.patch_proj", "blocks.input.w_voc"
_MARKS = ("blocks.input.w_pos", "blocks.block_0.f_attn.f_q.w", "blocks.output.f.w")
# Leaves of a layer here, and there: norms, and linear layers.
_NORM, _LINEAR = (("g", "weight"), ("b", "bias")), (("w", "weight"), ("b", "bias"))


def _layer(source: str, target: str, leaves: tuple[tuple[str, str], ...]) -> Iterator[Entry]:
    for theirs, ours in leaves:
        yield Entry(f"{source}.{theirs}", (f"{target}.{ours}",))


def _block(source: str, target: str) -> Iterator[Entry | Merge]:
    attention, mlp = f"{source}.f_attn", f"{source}.f_mlp"
    yield from _layer(f"{attention}.ln", f"{target}.ln_1", _NORM)
    yield Merge(tuple(f"{attention}.f_{part}.w" for part in "qkv"), f"{target}.attn.in_proj_weight")
    # Keys have no bias.
    yield Merge((f"{attention}.f_q.b", f"{attention}.f_v.b"), f"{target}.attn.in_proj_bias", zeros=(1,))
    yield from _layer(f"{attention}.f_c", f"{target}.attn.out_proj", _LINEAR)
    yield from _layer(f"{mlp}.ln", f"{target}.ln_2", _NORM)
    yield from _layer(f"{mlp}.f_1", f"{target}.mlp.c_fc", _LINEAR)
    yield from _layer(f"{mlp}.f_2", f"{target}.mlp.c_proj", _LINEAR)


def key_map(spec: NoisedImageSpec | NoisedTextSpec) -> KeyMap:
    """The published layout of a tower and ours."""
    entries: list[Entry | Merge] = [Entry("blocks.input.w_pos", ("tower.positional_embedding",))]
    if isinstance(spec, NoisedImageSpec):
        entries.append(Entry("blocks.input.w_t", ("time_embedding.weight",)))
        entries.append(Entry(_IMAGE, ("tower.conv1.weight",)))
        entries += _layer("blocks.input.ln", "tower.ln_pre", _NORM)
        norm, projection = "ln_post", "proj"
    else:
        entries.append(Entry(_TEXT, ("tower.token_embedding.weight",)))
        norm, projection = "ln_final", "text_projection"
    for layer in range(spec.layers):
        entries += _block(f"blocks.block_{layer}", f"tower.transformer.resblocks.{layer}")
    entries += _layer("blocks.output.ln", f"tower.{norm}", _NORM)
    entries.append(transposed("blocks.output.f.w", f"tower.{projection}"))
    return tuple(entries)


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of one of the towers; None if the tensors are neither's.

    Raises:
        GlidewireError: They are, but contradict themselves or what is stated.
    """
    if not all(mark in header.shapes for mark in _MARKS):
        return None
    kind = NoisedImageSpec if _IMAGE in header.shapes else NoisedTextSpec
    stated = {**carried(kind, header.metadata, family="noised_clip", where=header.name), **stated}
    if _IMAGE in header.shapes:
        image, assumed = image_spec(header.shapes, stated, where=header.name)
        dims = {"image_size": image.image_size, "channels": 3, "embedding_width": image.embedding_width}
        return Identity("noised_clip", "image_encoder", "noised ViT", image, dims, header, assumed)
    if _TEXT in header.shapes:
        text, assumed = text_spec(header.shapes, stated, where=header.name)
        dims = {
            "text_context": text.context,
            "vocabulary": text.vocabulary_size,
            "embedding_width": text.embedding_width,
        }
        return Identity("noised_clip", "text_encoder", "causal transformer", text, dims, header, assumed)
    return None


def build(spec: NoisedImageSpec | NoisedTextSpec) -> nn.Module:
    """The tower of a spec."""
    # Imported here, so that a file is identified without the libraries that compute.
    from .network import NoisedImageEncoder, NoisedTextEncoder

    return NoisedImageEncoder(spec) if isinstance(spec, NoisedImageSpec) else NoisedTextEncoder(spec)


FAMILY = Family("noised_clip", recognise, build, key_map)
