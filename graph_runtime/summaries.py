"""Summaries of values in plain JSON: what the tensors in them are, with their range and histogram."""

from __future__ import annotations

import math
from typing import Any, Final

import torch

from . import codec

BINS: Final = 32
_MOST_ELEMENTS: Final = 2**22
"""Of a larger tensor, statistics are those of evenly spaced elements."""


def summary(value: Any) -> dict[str, Any]:
    """A value as plain JSON.

    Returns:
        "text" (one line), "nbytes", and "tensors": of each its name in the value, and what `tensor_summary` says.
    """
    tensors = [{"name": name, **tensor_summary(tensor)} for name, tensor in codec.named_tensors(value)]
    return {"text": codec.describe(value), "nbytes": codec.nbytes(value), "tensors": tensors}


def tensor_summary(tensor: torch.Tensor) -> dict[str, Any]:
    """Shape, dtype, device, size and, where it has numbers, their range, moments and histogram.

    Returns:
        "shape", "dtype", "device", "nbytes"; for a tensor of real numbers also "min", "max", "mean", "std" over its
        finite elements, "not_finite" (how many are not), "sampled" (whether only some were looked at) and
        "histogram": counts in `BINS` equal bins from min to max.
    """
    told: dict[str, Any] = {
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "device": str(tensor.device),
        "nbytes": tensor.numel() * tensor.element_size(),
    }
    if tensor.numel() == 0 or tensor.is_complex() or tensor.is_meta:
        return told
    flat = tensor.detach().reshape(-1)
    stride = math.ceil(flat.numel() / _MOST_ELEMENTS)
    numbers = flat[::stride].double().cpu()
    finite = numbers[numbers.isfinite()]
    told |= {"sampled": stride > 1, "not_finite": numbers.numel() - finite.numel()}
    if finite.numel():
        low, high = (bound.item() for bound in torch.aminmax(finite))
        counts = torch.histc(finite, BINS, low, high) if high > low else torch.tensor([float(finite.numel())])
        told |= {
            "min": low,
            "max": high,
            "mean": finite.mean().item(),
            "std": finite.std(correction=0).item(),
            "histogram": [int(count) for count in counts],
        }
    return told
