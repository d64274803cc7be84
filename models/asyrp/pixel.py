"""Unconditional pixel diffusion models as leaves of guidance expressions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ...diffusion.denoiser import Leaf
from ...errors import GlidewireError
from ..checkpoint import identify, load_identified
from ..registry import Identity


def identify_pixel(path: str | Path) -> Identity:
    """The model in a file; raises GlidewireError as `identify`, or if it is another family's."""
    identity = identify(path, component="denoiser")
    if identity.family != "asyrp":
        raise GlidewireError(
            f"{identity.header.name} is no unconditional pixel diffusion model",
            expected="DDPM's U-Net, or the ablated one with learned variance",
            got=f"{identity.family} {identity.component}",
        )
    return identity


def load_pixel(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> Leaf:
    """Load a model, strictly; errors as `identify_pixel` and `models.checkpoint.load`."""
    network: Any = load_identified(identify_pixel(path), device=device, dtype=dtype)
    return Leaf(network)
