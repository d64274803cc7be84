"""The public way from a file to a network: identify it by its header, load it strictly, write it back."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import nn

from ..errors import GlidewireError
from .digest import file_digest
from .header import Header, read_header
from .key_map import KeyMap, published_state_dict
from .registry import Identity, families
from .strict import StrictLoadError, load_strict

__all__ = [
    "Header",
    "Identity",
    "StrictLoadError",
    "file_digest",
    "identify",
    "load",
    "load_identified",
    "load_strict",
    "read_header",
    "save_published",
]


def identify(path: str | Path, *, stated: Mapping[str, Any] | None = None) -> Identity:
    """Tell what a checkpoint is from its header alone; no weight is read.

    Args:
        path: The file.
        stated: Hyper-parameters that the user knows and the file does not tell, by the spec's names or the
            published code's; they win over the file's metadata and the published defaults.

    Raises:
        GlidewireError: The file cannot be read, belongs to no family, or contradicts what is stated.
    """
    header = read_header(path)
    for family in families().values():
        identity = family.recognise(header, stated or {})
        if identity is not None:
            return identity
    keys = sorted(header.shapes)
    raise GlidewireError(
        f"checkpoint {header.path.name} belongs to no known family",
        expected=f"one of {', '.join(families())}",
        got=f"{len(keys)} tensors, {', '.join(keys[:6])}{', ...' if len(keys) > 6 else ''}",
    )


def load(
    path: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
    stated: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Identify a checkpoint and load its network, frozen and in evaluation mode.

    Args:
        path: The file.
        device: Where the weights go.
        dtype: What floating-point weights become; None keeps each as it is stored.
        stated: See `identify`.

    Raises:
        GlidewireError: As `identify`; StrictLoadError lists every key that does not fit.
    """
    return load_identified(identify(path, stated=stated), device=device, dtype=dtype)


def load_identified(
    identity: Identity, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> nn.Module:
    """Load the network of a checkpoint that was identified; see `load`."""
    family = families()[identity.family]
    with torch.inference_mode(False):
        with torch.device("meta"):
            module = family.build(identity.spec)
        load_strict(module, identity.header, family.key_map(identity.spec), device=device, dtype=dtype)
        # Every network says what decides its numbers; a loaded one need not read its weights for that.
        cast(Any, module).content_digest = content_digest(identity)
        return module.eval().requires_grad_(False)


def content_digest(identity: Identity) -> str:
    """What decides a network's numbers: its file's content and the hyper-parameters it is read with."""
    spec = hashlib.sha256(repr(identity.spec).encode()).hexdigest()
    return f"{file_digest(identity.header.path)}:{spec[:16]}"


def save_published(
    module: nn.Module,
    key_map: KeyMap,
    path: str | Path,
    *,
    metadata: Mapping[str, str],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a module as safetensors in the published layout; the file appears whole or not at all.

    Args:
        module: Its state dict's keys are the targets of `key_map`.
        key_map: Published keys to the module's.
        path: Where to; an existing file is replaced.
        metadata: Strings that the file carries.
        dtype: What floating-point weights are stored as; None keeps them.

    Raises:
        GlidewireError: The folder cannot be written to.
    """
    path = Path(path)
    tensors = {
        key: value.detach().to("cpu", dtype if value.is_floating_point() else None).contiguous().clone()
        for key, value in published_state_dict(module, key_map).items()
    }
    partial = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        partial = Path(name)
        save_file(tensors, partial, metadata=dict(metadata))
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise GlidewireError(
            f"checkpoint {path.name} cannot be written", got=f"{path.parent}: {error.strerror or error}"
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
