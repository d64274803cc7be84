"""GLIDE's checkpoints: recognised by their tensors, mapped to our network, and written back as published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...errors import GlidewireError
from ..adm import unet_key_map
from ..checkpoint import save_published
from ..header import Header
from ..hyper_parameters import SPEC, carried, to_json
from ..key_map import Entry, KeyMap, renamed
from ..registry import Family, Identity
from .inference import infer_spec, stated_values
from .spec import GlideSpec
from .tokenizer import GlideTokenizer

if TYPE_CHECKING:
    from .network import GlideTextToImage

COMPONENT = "text_to_image"
MERGES = "glidewire.merges"

# No other family of this line has all of these.
_MARKS = (
    "padding_embedding",
    "token_embedding.weight",
    "transformer_proj.weight",
    "transformer.resblocks.0.attn.c_qkv.weight",
    "input_blocks.0.0.weight",
)
_TEXT_BLOCK = ("attn.c_qkv", "attn.c_proj", "ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj")


def key_map(spec: GlideSpec) -> KeyMap:
    """The published GLIDE layout and `GlideTextToImage`'s."""
    embeddings = ("positional_embedding", "padding_embedding", "token_embedding.weight")
    entries = [Entry(name, (f"text.{name}",)) for name in embeddings]
    layers = [f"transformer.resblocks.{i}.{part}" for i in range(spec.text_layers) for part in _TEXT_BLOCK]
    for layer in (*layers, "final_ln", "transformer_proj"):
        entries += renamed(layer, f"text.{layer}")
    unet = unet_key_map(spec.widths, spec.attention_levels, spec.num_res_blocks, spec.num_head_channels)
    return (*entries, *unet)


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a GLIDE text-to-picture checkpoint; None if the tensors are not one's.

    Raises:
        GlidewireError: It is one, but its metadata or what is stated contradicts its tensors.
    """
    if not all(mark in header.shapes for mark in _MARKS):
        return None
    where = f"checkpoint {header.path.name}"
    given = stated_values(stated, where=f"{where}: stated hyper-parameters")
    inside = carried(GlideSpec, header.metadata, family="glide", where=where)
    spec, assumed = infer_spec(header.shapes, stated={**inside, **given}, where=where)
    dims = {
        "image_size": spec.image_size,
        "channels": 3,
        "text_context": spec.text_context,
        "text_width": spec.text_width,
        "text_embedding": spec.time_width,
        "vocabulary": spec.vocabulary_size,
    }
    return Identity("glide", COMPONENT, spec.variant, spec, dims, header, assumed)


def tokenizer(identity: Identity) -> GlideTokenizer:
    """The tokenizer of a checkpoint: the merges that it carries, else GPT-2's.

    Raises:
        GlidewireError: The vocabulary is not the one of the model's token embedding.
    """
    carried = identity.header.metadata.get(MERGES)
    if carried is None:
        found = GlideTokenizer.published()
    else:
        found = GlideTokenizer.from_merges(carried.split("\n"))
    expected = identity.dims["vocabulary"]
    if found.vocabulary_size != expected:
        raise GlidewireError(
            f"checkpoint {identity.header.path.name}: the vocabulary does not fit its token embedding",
            expected=f"{expected} ids",
            got=f"{found.vocabulary_size} from {'the file' if carried is not None else 'GPT-2'}",
            hint=f"A model with a vocabulary of its own carries its merges in the metadata `{MERGES}`.",
        )
    return found


def save(
    model: GlideTextToImage,
    path: str | Path,
    *,
    merges: GlideTokenizer | None = None,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model in the published layout, with its spec and its vocabulary.

    Args:
        model: Any variant.
        path: A safetensors file; replaced if it exists.
        merges: The model's own tokenizer; None for GPT-2's.
        dtype: What weights are stored as; None keeps them.
        metadata: More strings to carry.
    """
    strings = {**(metadata or {}), SPEC: to_json("glide", model.spec)}
    if merges is not None:
        strings[MERGES] = "\n".join(merges.merges)
    save_published(model, key_map(model.spec), path, metadata=strings, dtype=dtype)


def build(spec: GlideSpec) -> nn.Module:
    """The network of a spec."""
    # Imported here, so that a file is identified without the libraries that compute.
    from .network import GlideTextToImage

    return GlideTextToImage(spec)


FAMILY = Family("glide", recognise, build, key_map)
