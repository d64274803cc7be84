"""Exact text and digests for what enters a sampling run, so that equal runs can be recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def tensor_digest(tensor: Tensor) -> str:
    """sha256 of a tensor's dtype, shape and bytes, as 64 hexadecimal digits; the device does not matter."""
    values = tensor.detach().to("cpu").contiguous()
    digest = hashlib.sha256(f"{values.dtype}{list(values.shape)}".encode())
    # Empty and 0-d tensors cannot be viewed as bytes in their own shape.
    digest.update(values.reshape(-1).view(torch.uint8).numpy().data if values.numel() else b"")
    return digest.hexdigest()


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of named tensors; the order of the names does not matter."""
    lines = "\n".join(f"{name!r}:{tensor_digest(tensors[name])}" for name in sorted(tensors))
    return hashlib.sha256(lines.encode()).hexdigest()


def value_text(value: float | str) -> str:
    """Exact, type-tagged text of a parameter: True, 1, 1.0 and "1" all differ."""
    if isinstance(value, float):
        return f"float:{value.hex()}"
    return f"{type(value).__name__}:{value!r}"


def call_text(name: str, parameters: Mapping[str, float | str], inputs: Mapping[str, str] | None = None) -> str:
    """Canonical text of a named call: name(parameter=value, input=its text); a long text becomes its sha256."""
    parts = [f"{key}={value_text(parameters[key])}" for key in sorted(parameters)]
    parts += [f"{key}={inputs[key]}" for key in sorted(inputs)] if inputs else []
    text = f"{name}({', '.join(parts)})"
    # Expressions share sub-expressions: without this bound their text could double at every level.
    return text if len(text) <= 1000 else f"{name}(sha256:{hashlib.sha256(text.encode()).hexdigest()})"
