"""Checkpoints into other forms: files and pickled modules as safetensors, networks as diffusers' folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..digests import file_digest
from ..errors import GlidewireError
from .checkpoint import Identity, identify, load_identified
from .header import open_tensors, read_header
from .hyper_parameters import SPEC
from .key_map import published_state_dict
from .registry import families
from .saving import save_tensors
from .torch_archive import read_archive
from .torch_pickle import ArchiveError, NeedsCodeError

SOURCE = "glidewire.converted_from"
"""Under this name a converted file carries the sha256 of the one that it was made of."""

_DIFFUSERS = "diffusers"
_WEIGHTS = "diffusion_pytorch_model.safetensors"


def to_safetensors(source: Path, destination: Path) -> int:
    """Write the tensors of a state dict or a TorchScript program, wrappers taken off, under their published names.

    Returns:
        Their number.

    Raises:
        GlidewireError: As `read_header`, and where the file cannot be written.
    """
    header = read_header(source)
    with open_tensors(header) as read:
        tensors = {key: read(key).clone() for key in header.shapes}
    save_tensors(tensors, destination, metadata={**header.metadata, SOURCE: file_digest(source)})
    return len(tensors)


def component_to_safetensors(identity: Identity, destination: Path) -> int:
    """Write one component of a checkpoint under its published names, with its hyper-parameters beside the weights.

    What tensors do not tell is then told by the file: any loader takes it as it is.

    Args:
        identity: The component, identified with what is stated.
        destination: The file to write.

    Returns:
        The number of its tensors.

    Raises:
        GlidewireError: The component is none without the rest of its file, or the file cannot be written.
    """
    header = identity.header
    values = {"family": identity.family, **families()[identity.family].carries(identity.spec)}
    strings = {**header.metadata, SPEC: json.dumps(values), SOURCE: _digests(identity)}
    with open_tensors(header) as read:
        tensors = {key: read(key).clone() for key in header.shapes}
    save_tensors(tensors, destination, metadata=strings)
    try:
        alone = identify(destination, component=identity.component)
    except GlidewireError as error:
        destination.unlink()
        raise GlidewireError(
            f"{header.name}: its {identity.family} {identity.component} cannot stand alone", got=str(error)
        ) from error
    assert alone.spec == identity.spec, "what was written is read back as another network"
    return len(tensors)


def _digests(identity: Identity) -> str:
    return " ".join(file_digest(path) for path in identity.header.paths)


def module_to_safetensors(source: Path, destination: Path) -> int:
    """Write the tensors of a pickled module under the names of its state dict; its code is not run.

    The pickle's instructions are interpreted by `inert_pickle`, which calls nothing. Still, call this in a process
    that is confined.

    Returns:
        Their number.

    Raises:
        GlidewireError: The file is no pickled module, calls what no module needs, is damaged, or cannot be written.
    """
    try:
        tensors = {key: value.clone() for key, value in read_archive(source).mapped().items()}
    except NeedsCodeError as error:
        raise GlidewireError(
            f"checkpoint {source.name} is no plain module: it holds code that would be run",
            expected="a pickled module",
            got=f"a call of {error.name[:100]}",
            hint="Do not trust this file.",
        ) from error
    except ArchiveError as error:
        raise GlidewireError(f"checkpoint {source.name} is no pickled module", got=str(error)) from error
    if not tensors:
        raise GlidewireError(f"checkpoint {source.name} holds a pickled object without tensors")
    save_tensors(tensors, destination, metadata={SOURCE: file_digest(source)})
    return len(tensors)


def to_diffusers(identity: Identity, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write a network as the folder that diffusers' own class loads: config.json and weights.

    Args:
        identity: The network's checkpoint.
        folder: Made if it is not there.
        dtype: What floating-point weights become; None keeps them.

    Raises:
        GlidewireError: diffusers has no class that computes the same from a configuration; or as `load`, and where
            the folder cannot be written to.
    """
    family = families()[identity.family]
    if _DIFFUSERS not in family.layouts:
        raise _no_class(identity, "its family has no such layout")
    network = load_identified(identity, dtype=dtype)
    tensors = published_state_dict(network, family.layouts[_DIFFUSERS](identity.spec))
    inside = _own_class(network, set(tensors))
    if inside is None:
        raise _no_class(identity, "no class of diffusers holds all of its layers")
    factor = getattr(identity.spec, "latent_scale", None)
    if factor is not None and "scaling_factor" in inside.config:
        inside.register_to_config(scaling_factor=factor)
    if difference := _difference(inside):
        raise _no_class(identity, f"a configuration does not tell {difference}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        inside.save_config(folder)
    except OSError as error:
        raise GlidewireError(f"the folder {folder.name} cannot be written to", got=error.strerror) from error
    metadata = {"format": "pt", SOURCE: _digests(identity)}
    save_tensors(tensors, folder / _WEIGHTS, metadata=metadata)


def _no_class(identity: Identity, reason: str) -> GlidewireError:
    return GlidewireError(
        f"{identity.header.name}: diffusers has no class for its {identity.family} {identity.component}",
        expected="a network that is one of diffusers' own classes",
        got=reason,
        hint="Convert it to safetensors.",
    )


def _own_class(network: nn.Module, keys: set[str]) -> Any:
    """The part of a network that is diffusers' own and has exactly these keys."""
    from diffusers.models.modeling_utils import ModelMixin

    owns = (part for part in network.modules() if isinstance(part, ModelMixin))
    return next((part for part in owns if set(part.state_dict()) == keys), None)


def _difference(network: Any) -> str | None:
    """What a network of diffusers' has that one made from its configuration has not."""
    with torch.device("meta"):
        fresh = type(network).from_config(network.config)
    ours, theirs = dict(network.named_modules()), dict(fresh.named_modules())
    for name, part in ours.items():
        other = theirs.get(name)
        if other is None or type(part) is not type(other) or part.extra_repr() != other.extra_repr():
            return f"the layer {name}"
        for number in ("heads", "scale"):
            if getattr(part, number, None) != getattr(other, number, None):
                return f"the {number} of {name}"
    return None
