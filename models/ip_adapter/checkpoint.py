"""Checkpoints of adapters: recognised by their tensors, as `.bin` or `.safetensors`, and mapped to our network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..header import Header
from ..hyper_parameters import known
from ..key_map import Entry, KeyMap, renamed
from ..registry import Family, Identity
from .spec import ATTENTION, PARTS, PROJECTION, IpAdapterSpec, infer_spec

# Published layers of each projection, and ours; resamplers follow.
_LAYERS: Mapping[str, Mapping[str, str]] = {
    "base": {"proj": "image_embeds", "norm": "norm"},
    "plus": {},
    "full": {"proj.0": "ff.net.0.proj", "proj.2": "ff.net.2", "proj.3": "norm"},
    "face": {"proj.0": "ff.net.0.proj", "proj.2": "ff.net.2", "norm": "norm"},
    "face_plus": {"proj.0": "face.ff.net.0.proj", "proj.2": "face.ff.net.2", "norm": "face.norm"},
}
_RESAMPLERS = {"plus": "", "face_plus": "perceiver_resampler."}
_ENDS = ("proj_in", "proj_out", "norm_out")
_BLOCK = {"0.norm1": "ln0", "0.norm2": "ln1", "1.0": "ff.0"}
_BLOCK_WITHOUT_BIAS = {
    "0.to_q": "attn.to_q",
    "0.to_out": "attn.to_out.0",
    "1.1": "ff.1.net.0.proj",
    "1.3": "ff.1.net.2",
}


def key_map(spec: IpAdapterSpec) -> KeyMap:
    """The published layout and `IpAdapter`'s."""
    return (*_projection(spec), *_attention(spec))


def _projection(spec: IpAdapterSpec) -> Iterator[Entry]:
    for theirs, ours in _LAYERS[spec.kind].items():
        yield from renamed(PROJECTION + theirs, f"projection.{ours}")
    if spec.kind == "plus":
        yield Entry(f"{PROJECTION}latents", ("projection.latents",))
    if spec.resamples:
        yield from _resampler(spec, PROJECTION + _RESAMPLERS[spec.kind])


def _resampler(spec: IpAdapterSpec, prefix: str) -> Iterator[Entry]:
    for layer in _ENDS:
        yield from renamed(prefix + layer, f"projection.{layer}")
    for index in range(spec.depth):
        source, target = f"{prefix}layers.{index}", f"projection.layers.{index}"
        for theirs, ours in _BLOCK.items():
            yield from renamed(f"{source}.{theirs}", f"{target}.{ours}")
        for theirs, ours in _BLOCK_WITHOUT_BIAS.items():
            yield from renamed(f"{source}.{theirs}", f"{target}.{ours}", ("weight",))
        halves = (f"{target}.attn.to_k.weight", f"{target}.attn.to_v.weight")
        yield Entry(f"{source}.0.to_kv.weight", halves, _halves, _whole)


def _halves(rows: Tensor) -> tuple[Tensor, ...]:
    """Keys stand above values."""
    return rows.chunk(2)


def _whole(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts))


def _attention(spec: IpAdapterSpec) -> Iterator[Entry]:
    for number in range(2 * len(spec.channels)):
        layers = ["to_k_ip", "to_v_ip"] if number % 2 else []
        if spec.lora_rank:
            layers += [f"to_{part}_lora.{way}" for part in PARTS for way in ("down", "up")]
        for layer in layers:
            yield from renamed(f"{ATTENTION}{number}.{layer}", f"layers.{number}.{layer}", ("weight",))


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of an adapter; None if the tensors are not one's.

    Raises:
        GlidewireError: It is one, but what is stated contradicts its tensors.
    """
    if not header.shapes or not all(key.startswith((PROJECTION, ATTENTION)) for key in header.shapes):
        return None
    given = known(IpAdapterSpec, header.metadata, stated, family="ip_adapter", where=header.name)
    variant, spec, assumed = infer_spec(header.shapes, stated=given, where=header.name)
    dims = {"context_width": spec.context_width, "tokens": spec.tokens}
    dims |= {"image_width": spec.image_width, "face_width": spec.face_width}
    dims = {name: size for name, size in dims.items() if size}
    return Identity("ip_adapter", "adapter", variant, spec, dims, header, assumed)


def build(spec: IpAdapterSpec) -> nn.Module:
    """The network of a spec."""
    # Imported here, so that a file is identified without the libraries that compute.
    from .network import IpAdapter

    return IpAdapter(spec)


FAMILY = Family("ip_adapter", recognise, build, key_map)
