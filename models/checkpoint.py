"""The public way from a file to a network: identify it by its header, load it strictly, write it back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ..digests import file_digest
from ..errors import GlidewireError
from .header import Header, read_header
from .hyper_parameters import UnfitError
from .key_map import KeyMap, published_state_dict
from .parts import read_parts
from .registry import Identity, families
from .saving import save_tensors
from .strict import StrictLoadError, load_strict

__all__ = [
    "Header",
    "Identity",
    "StrictLoadError",
    "file_digest",
    "identify",
    "identify_all",
    "load",
    "load_identified",
    "load_strict",
    "read_header",
    "save_published",
]


def identify(
    path: str | Path,
    *,
    component: str | None = None,
    family: str | None = None,
    averaged: bool | None = None,
    stated: Mapping[str, Any] | None = None,
) -> Identity:
    """Tell what a checkpoint is from its header alone; no weight is read.

    Args:
        path: A file, or a folder of one (see `parts.read_parts`).
        component: Which one, where the file holds several.
        family: Whose it must be; other families call their components by the same names.
        averaged: Whether to take the moving average of the weights; None takes it if it is there.
        stated: Hyper-parameters that the user knows and the file does not tell, by the spec's names or the
            published code's; they win over the file's metadata and the published defaults.

    Raises:
        GlidewireError: The file cannot be read, holds no known component or not the one asked for, holds
            several and none is asked for, or contradicts what is stated.
    """
    headers = read_parts(path, averaged=averaged)
    found, problems = _recognised(headers, stated or {}, family)
    wanted = [one for one in found if component in (None, one.component) and family in (None, one.family)]
    # What is stated for one component may be nonsense for another.
    if len(wanted) == 1 and (component or not problems):
        return wanted[0]
    if problems and not wanted:
        raise problems[0]
    name = f"checkpoint {Path(path).name}"
    if found:
        raise GlidewireError(
            f"{name} holds {', '.join(f'{one.family} {one.component}' for one in found)}",
            expected=(f"a component {component!r}" if component else "one component")
            + (f" of {family}" if family else ""),
            hint="`glidewire models inspect` says which loaders take it." if component else "Name one of those.",
        )
    keys = sorted(key for header in headers for key in header.shapes)
    raise GlidewireError(
        f"{name} belongs to no known family",
        expected=f"one of {', '.join(families())}",
        got=f"{len(keys)} tensors, {', '.join(keys[:6])}{', ...' if len(keys) > 6 else ''}",
    )


def identify_all(
    path: str | Path, *, averaged: bool | None = None, stated: Mapping[str, Any] | None = None
) -> tuple[Identity, ...]:
    """Every known component that a checkpoint holds; none if it holds none. Arguments and errors as `identify`."""
    found, problems = _recognised(read_parts(path, averaged=averaged), stated or {})
    if problems:
        raise problems[0]
    return found


def _recognised(
    headers: Iterable[Header], stated: Mapping[str, Any], whose: str | None = None
) -> tuple[tuple[Identity, ...], list[GlidewireError]]:
    """The components of known families, and what is wrong with those that contradict themselves.

    What is stated is told to the family `whose` it is, else to all.
    """
    found: dict[tuple[str, str], Identity] = {}
    problems: list[GlidewireError] = []
    for header in headers:
        for family in families().values():
            try:
                identity = family.recognise(header, stated if whose in (None, family.name) else {})
            except UnfitError as problem:
                problems.append(problem.of(header.name, f"a network of {family.name}", stated=problem.name in stated))
                continue
            except GlidewireError as problem:
                problems.append(problem)
                continue
            if identity is not None:
                # An inpainting model's first stage lies in its file once more, as what encodes its condition.
                found.setdefault((identity.family, identity.component), identity)
    return tuple(found.values()), problems


def load(
    path: str | Path,
    *,
    component: str | None = None,
    averaged: bool | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
    stated: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Identify a checkpoint and load its network, frozen and in evaluation mode.

    Args:
        path: See `identify`.
        component: See `identify`.
        averaged: See `identify`.
        device: Where the weights go.
        dtype: What floating-point weights become; None keeps each as it is stored.
        stated: See `identify`.

    Raises:
        GlidewireError: As `identify`; StrictLoadError lists every key that does not fit.
    """
    identity = identify(path, component=component, averaged=averaged, stated=stated)
    return load_identified(identity, device=device, dtype=dtype)


def load_identified(
    identity: Identity, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> nn.Module:
    """Load the network of a checkpoint that was identified; see `load`."""
    family = families()[identity.family]
    with torch.inference_mode(False):
        with torch.device("meta"):
            module = family.build(identity.spec)
        key_map = family.key_map_of(identity)
        load_strict(
            module,
            identity.header,
            key_map,
            device=device,
            dtype=dtype,
            ignored=family.ignored,
            exact=family.exact,
        )
        # Every network says what decides its numbers; a loaded one need not read its weights for that.
        cast(Any, module).content_digest = content_digest(identity)
        identity.header.require_unchanged()
        return module.eval().requires_grad_(False)


def content_digest(identity: Identity) -> str:
    """What decides a network's numbers: its files' content and the hyper-parameters it is read with."""
    header = identity.header
    files = [file_digest(path) for path in header.paths]
    whole = files[0] if len(files) == 1 else hashlib.sha256(" ".join(files).encode()).hexdigest()
    spec = hashlib.sha256(f"{identity.spec!r}{header.part}".encode()).hexdigest()
    return f"{whole}:{spec[:16]}"


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
    tensors = {
        key: value.detach().to("cpu", dtype if value.is_floating_point() else None).contiguous().clone()
        for key, value in published_state_dict(module, key_map).items()
    }
    save_tensors(tensors, Path(path), metadata=metadata)
