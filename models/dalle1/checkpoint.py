"""Checkpoints of DALL-E's discrete autoencoder: the state dicts of its two published halves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from ..header import Header
from ..key_map import Entry, KeyMap
from ..registry import Family, Identity
from .spec import DvaeSpec, infer_spec

_MARKS = ("blocks.input.w", "blocks.output.conv.w", "blocks.group_1.block_1.res_path.conv_4.w")


def key_map(spec: DvaeSpec) -> KeyMap:
    """The published layout and `DvaeHalf`'s."""
    layers = {"blocks.input": "input", "blocks.output.conv": "output", **dict(_blocks(spec))}
    return tuple(
        Entry(f"{theirs}.{short}", (f"{ours}.{leaf}",))
        for theirs, ours in layers.items()
        for short, leaf in (("w", "weight"), ("b", "bias"))
    )


def _blocks(spec: DvaeSpec) -> Iterator[tuple[str, str]]:
    before = spec.first
    for group, width in enumerate(spec.widths):
        for block in range(spec.blocks):
            source, target = f"blocks.group_{group + 1}.block_{block + 1}", f"groups.{group}.{block}"
            if before != width:
                yield f"{source}.id_path", f"{target}.identity"
            for layer in range(4):
                yield f"{source}.res_path.conv_{layer + 1}", f"{target}.path.{layer}"
            before = width


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of one half; None if the tensors are not one's.

    Raises:
        GlidewireError: They are, but contradict what is stated.
    """
    if not all(mark in header.shapes for mark in _MARKS):
        return None
    spec = infer_spec(header.shapes, stated=stated, where=header.name)
    dims = {"channels": spec.channels, "codes": spec.codes, "factor": spec.factor}
    return Identity("dalle1", spec.half, "DALL-E dVAE", spec, dims, header)


def build(spec: DvaeSpec) -> nn.Module:
    """The half of a spec."""
    # Imported here, so that a file is identified without the libraries that compute.
    from .network import DvaeHalf

    return DvaeHalf(spec)


FAMILY = Family("dalle1", recognise, build, key_map)
