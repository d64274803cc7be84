"""Who is who among the host's objects: texts that are equal only where the host would compute the same."""

from __future__ import annotations

import hashlib
import uuid
import weakref
from collections.abc import Mapping
from typing import Any

import torch

from ....diffusion.identity import tensor_digest

_TOKENS: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def token(thing: Any) -> str:
    """A text of this process alone that stands for an object: the host's models do not know their files' content."""
    try:
        return _TOKENS.setdefault(thing, uuid.uuid4().hex)
    except TypeError:  # it can be neither hashed nor weakly referenced
        return uuid.uuid4().hex


def model_token(patcher: Any) -> str:
    """Identity of a MODEL: the patcher itself, and the state of its patches."""
    return f"comfyui {token(patcher)} {getattr(patcher, 'patches_uuid', '')}"


def conditioning_digest(conditioning: Any) -> str:
    """sha256 of a CONDITIONING: of the content of its tensors and options, and the identity of anything else in it."""
    return hashlib.sha256(_text(conditioning).encode()).hexdigest()


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, torch.Tensor):
        return f"tensor {tensor_digest(value)}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key!r}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    return f"object {token(value)}"
