"""A mini in half the room: its matrices in eight bits, in the layout that it has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from ..models.header import read_header
from ..models.saving import save_tensors, stored_tensors
from .commands import run_command

_FEWEST = 1024  # numbers in a tensor that is worth it


def eight_bits(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name, matrices and kernels as float8 e4m3: 4 bits of exponent, 3 of fraction.

    Norms, biases and small tensors stay as they are. Rounding moves a weight by 2^-4 of itself at most, and by 2^-10
    where it is below 2^-6; loaders turn it back into the precision they are asked for.

    Args:
        tensors: Floating-point or not, of any shape.

    Source: Micikevicius et al. 2022 (FP8 formats for deep learning), section 3.
    """
    return {
        name: value.to(torch.float8_e4m3fn)
        if value.is_floating_point() and value.ndim > 1 and value.numel() >= _FEWEST
        else value
        for name, value in tensors.items()
    }


def command(
    weights: Annotated[Path, typer.Argument(help="A safetensors file of ours.")],
    out: Annotated[Path, typer.Argument(help="Where to; may be the same file.")],
) -> None:
    """Write a mini's matrices in eight bits; its metadata stays."""
    header = read_header(weights)
    save_tensors(eight_bits(stored_tensors(header)), out, metadata=header.metadata)


if __name__ == "__main__":
    run_command(command)
