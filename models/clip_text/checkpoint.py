"""CLIP text encoders' checkpoints: OpenAI's and open_clip's names, and transformers' with and without its prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from .. import hyper_parameters
from ..header import Header
from ..key_map import Entry, KeyMap, Merge, renamed, unprefixed
from ..registry import Family, Identity
from .spec import ClipTextSpec, infer_spec, told_by_shapes

PREFIX = "encoder."
# What stands before all keys inside of other files, and in files of transformers before its version 5.
_PREFIXES = {
    "transformer.text_model.": "",
    "transformer.text_projection.": "text_projection.",
    "text_model.": "",
    "model.": "",
}
# Buffers and other towers' scalars that files carry.
_LEFTOVERS = ("embeddings.position_ids", "attn_mask", "logit_scale")
_ENDS = {
    "embeddings.token_embedding": ("token_embedding", ("weight",)),
    "final_layer_norm": ("ln_final", ("weight", "bias")),
}
_BLOCK = {
    "layer_norm1": "ln_1",
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def transformers_key_map(spec: ClipTextSpec) -> KeyMap:
    """transformers' layout, without prefix, and `ClipText`'s."""
    entries: list[Entry | Merge] = [
        Entry("embeddings.position_embedding.weight", (f"{PREFIX}positional_embedding",)),
    ]
    for theirs, (ours, leaves) in _ENDS.items():
        entries += renamed(theirs, PREFIX + ours, leaves)
    for index in range(spec.layers):
        source, target = f"encoder.layers.{index}", f"{PREFIX}transformer.resblocks.{index}"
        for theirs, ours in _BLOCK.items():
            entries += renamed(f"{source}.{theirs}", f"{target}.{ours}")
        for leaf in ("weight", "bias"):
            parts = tuple(f"{source}.self_attn.{part}_proj.{leaf}" for part in "qkv")
            entries.append(Merge(parts, f"{target}.attn.in_proj_{leaf}"))
    if spec.projection:
        entries.append(Entry("text_projection.weight", (f"{PREFIX}text_projection",), lambda w: (w.T,), _transposed))
    return tuple(entries)


def _transposed(parts: Sequence[Tensor]) -> Tensor:
    return parts[0].T


def key_map(spec: ClipTextSpec) -> KeyMap:
    """OpenAI's and open_clip's layout and `ClipText`'s."""
    return unprefixed(transformers_key_map(spec), PREFIX)


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a text encoder; None if the tensors are not one's, or those of both of CLIP's encoders.

    Raises:
        GlidewireError: It is one, but what is stated or configured contradicts its tensors.
    """
    header = _bare(header)
    if "transformer.resblocks.0.attn.in_proj_weight" in header.shapes and "ln_final.weight" in header.shapes:
        layout, shapes = "published", header.shapes
    elif "encoder.layers.0.self_attn.q_proj.weight" in header.shapes and "final_layer_norm.weight" in header.shapes:
        layout, shapes = "transformers", _open_clip_shapes(header)
    else:
        return None
    if any(key.startswith(("visual.", "vision_model.")) for key in header.shapes):
        return None
    carried = hyper_parameters.carried(ClipTextSpec, header.metadata, family="clip_text", where=header.name)
    if header.config.get("hidden_act") in ("quick_gelu", "gelu"):
        carried["quick_gelu"] = header.config["hidden_act"] == "quick_gelu"
    if isinstance(header.config.get("num_attention_heads"), int):
        carried["heads"] = header.config["num_attention_heads"]
    told = told_by_shapes(shapes, where=header.name)
    variant, spec, assumed = infer_spec(told, stated={**carried, **stated}, where=header.name)
    dims = {
        "context_width": spec.width,
        "positions": spec.positions,
        "vocabulary": spec.vocabulary_size,
        "embedding": spec.projection,
    }
    return Identity("clip_text", "text_encoder", variant, spec, dims, header, assumed, layout)


def _bare(header: Header) -> Header:
    """The header without prefixes and leftovers."""
    names = {}
    for key in header.shapes:
        prefix = next((prefix for prefix in _PREFIXES if key.startswith(prefix)), "")
        name = _PREFIXES.get(prefix, "") + key.removeprefix(prefix)
        if name not in _LEFTOVERS:
            names[name] = key
    return header.view(names)


def _open_clip_shapes(header: Header) -> dict[str, tuple[int, ...]]:
    """The shapes that tell a spec, by open_clip's names."""
    names = {
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
    }
    told = {names[key]: shape for key, shape in header.shapes.items() if key in names}
    for key, shape in header.shapes.items():
        if key.endswith(".mlp.fc1.weight"):
            told[key.replace("encoder.layers", "transformer.resblocks").replace("fc1", "c_fc")] = shape
    if "text_projection.weight" in header.shapes:
        told["text_projection"] = header.shapes["text_projection.weight"][::-1]
    return told


def build(spec: ClipTextSpec) -> nn.Module:
    """The network of a spec."""
    # Imported here, so that a file is identified without the libraries that compute.
    from .network import ClipText

    return ClipText(spec)


FAMILY = Family("clip_text", recognise, build, key_map, layouts={"transformers": transformers_key_map})
