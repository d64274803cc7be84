"""Checkpoints of the autoregressive prior, in our own layout: the network's names, its spec beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..checkpoint import save_published
from ..header import Header
from ..hyper_parameters import SPEC, carried, to_json
from ..key_map import Entry, KeyMap
from ..registry import Family, Identity
from .spec import FAMILY_NAME, AutoregressivePriorSpec, infer_spec

if TYPE_CHECKING:
    from .network import AutoregressivePrior

_MARKS = ("codec.basis", "codec.dot_edges", "code_embedding.weight", "dot_embedding.weight")


def key_map(spec: AutoregressivePriorSpec) -> KeyMap:
    """The network's own names."""
    with torch.device("meta"):
        names = build(spec).state_dict()
    return tuple(Entry(name, (name,)) for name in names)


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of an autoregressive prior; None if the tensors are not one's.

    Raises:
        GlidewireError: It is one, but its metadata or what is stated contradicts its tensors.
    """
    if not all(mark in header.shapes for mark in _MARKS):
        return None
    inside = carried(AutoregressivePriorSpec, header.metadata, family=FAMILY_NAME, where=header.name)
    spec, assumed = infer_spec(header.shapes, {**inside, **stated}, where=header.name)
    dims = {
        "embedding_width": spec.embedding_width,
        "text_width": spec.text_width,
        "text_context": spec.text_positions,
    }
    return Identity(FAMILY_NAME, "prior", "autoregressive prior", spec, dims, header, assumed)


def save(model: AutoregressivePrior, path: str | Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write a model with its spec, as safetensors; replaces a file.

    Raises:
        GlidewireError: The folder cannot be written to.
    """
    strings = {**(metadata or {}), SPEC: to_json(FAMILY_NAME, model.spec)}
    save_published(model, key_map(model.spec), path, metadata=strings)


def build(spec: AutoregressivePriorSpec) -> nn.Module:
    """The network of a spec."""
    # Imported here, so that a file is identified without the libraries that compute.
    from .network import AutoregressivePrior

    return AutoregressivePrior(spec)


FAMILY = Family(FAMILY_NAME, recognise, build, key_map, exact=("codec.",))
