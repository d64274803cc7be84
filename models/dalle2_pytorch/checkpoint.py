"""Checkpoints of LAION's diffusion prior: recognised by their tensors, and mapped to our network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from ...diffusion.schedules import SCHEDULES
from ...errors import GlidewireError
from ..header import Header, open_tensors
from ..hyper_parameters import carried
from ..key_map import Entry, KeyMap
from ..registry import Family, Identity
from .spec import DiffusionPriorSpec, infer_spec, stated_values

_MARKS = ("net.learned_query", "net.null_text_encodings", "net.causal_transformer.layers.0.0.to_kv.weight")
_SCHEDULE = "noise_scheduler.alphas_cumprod"
# Tensors outside of the blocks; the second group is there or not.
_ENDS = {
    "learned_query": "query",
    "null_text_encodings": "null_text_states",
    "null_text_embeds": "null_text_embedding",
    "null_image_embed": "null_image_embedding",
    "to_time_embeds.0.weight": "time_embedding.weight",
    "causal_transformer.rel_pos_bias.relative_attention_bias.weight": "relative_bias.weight",
}
_OPTIONAL_ENDS = {
    "norm_in": ("causal_transformer.init_norm.g", "norm_in.gain"),
    "norm_out": ("causal_transformer.norm.g", "norm_out.gain"),
    "final_projection": ("causal_transformer.project_out.weight", "projection.weight"),
}
_BLOCK = {
    "0.norm.g": "attention.norm.gain",
    "0.null_kv": "attention.null_key_value",
    "0.to_q.weight": "attention.to_query.weight",
    "0.to_kv.weight": "attention.to_key_value.weight",
    "0.to_out.0.weight": "attention.to_out.weight",
    "0.to_out.1.g": "attention.norm_out.gain",
    "1.0.g": "mlp.norm.gain",
    "1.1.weight": "mlp.to_value_gate.weight",
    "1.5.weight": "mlp.to_out.weight",
}
_OPTIONAL_BLOCK = {
    "rotary_channels": ("0.rotary_emb.freqs", "attention.frequencies"),
    "norm_inside": ("1.3.g", "mlp.norm_inside.gain"),
}


def key_map(spec: DiffusionPriorSpec) -> KeyMap:
    """The published layout and `DiffusionPrior`'s."""
    return tuple(Entry(f"net.{source}", (target,)) for source, target in _names(spec))


def _names(spec: DiffusionPriorSpec) -> Iterator[tuple[str, str]]:
    yield from _ENDS.items()
    yield from (names for part, names in _OPTIONAL_ENDS.items() if getattr(spec, part))
    block = [*_BLOCK.items(), *(names for part, names in _OPTIONAL_BLOCK.items() if getattr(spec, part))]
    for layer in range(spec.layers):
        yield from ((f"causal_transformer.layers.{layer}.{source}", f"blocks.{layer}.{ours}") for source, ours in block)


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a diffusion prior; None if the tensors are not one's.

    Raises:
        GlidewireError: It is one, but contradicts itself or what is stated, or was trained with an unknown schedule.
    """
    if not all(mark in header.shapes for mark in _MARKS):
        return None
    given = carried(DiffusionPriorSpec, header.metadata, family="dalle2_pytorch", where=header.name)
    given |= stated_values(stated, where=f"{header.name}: stated hyper-parameters")
    known = {"schedule": _schedule(header)} if _SCHEDULE in header.shapes else {}
    spec, assumed = infer_spec(header.shapes, given, where=header.name, known=known)
    dims = {
        "embedding_width": spec.width,
        "text_width": spec.width,
        "text_context": spec.text_positions,
    }
    return Identity("dalle2_pytorch", "prior", "diffusion prior", spec, dims, header, assumed)


def _schedule(header: Header) -> str:
    """The name of the schedule that the file carries."""
    with open_tensors(header) as read:
        found = read(_SCHEDULE).double().flatten()
    for name, schedule in SCHEDULES.items():
        with suppress(GlidewireError):  # there is no such schedule of so few steps
            if torch.allclose(schedule(len(found)).alpha_bar, found, rtol=0, atol=1e-4):
                return name
    ends = f"alpha_bar from {found[0].item():.4g} to {found[-1].item():.4g}" if len(found) else "alpha_bar"
    raise GlidewireError(
        f"{header.name} was trained with an unknown noise schedule",
        expected=f"one of {', '.join(SCHEDULES)}",
        got=f"{ends} in {len(found)} steps",
    )


def build(spec: DiffusionPriorSpec) -> nn.Module:
    """The network of a spec."""
    # Imported here, so that a file is identified without the libraries that compute.
    from .network import DiffusionPrior

    return DiffusionPrior(spec)


# The schedule's tables follow from its name; CLIP lies beside the prior in some files.
FAMILY = Family("dalle2_pytorch", recognise, build, key_map, ignored=("noise_scheduler.", "clip."))
