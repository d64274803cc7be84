"""The mean of two minis' weights: what a network knew, and what it learnt in a run that began with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor

from ..errors import GlidewireError
from ..models.header import Header, read_header
from ..models.saving import save_tensors, stored_tensors
from .commands import run_command


def average(first: Header, second: Header) -> dict[str, Tensor]:
    """(a + b) / 2 of each tensor of two files, in the first's precision; what is no float is the first's.

    Raises:
        GlidewireError: The files hold other tensors; or as `stored_tensors`.

    Source: Wortsman et al. 2022 (Robust fine-tuning of zero-shot models), section 3, at a half.
    """
    ours, theirs = stored_tensors(first), stored_tensors(second)
    if {name: value.shape for name, value in ours.items()} != {name: value.shape for name, value in theirs.items()}:
        raise GlidewireError(
            f"{first.path.name} and {second.path.name} are not one network's",
            expected="tensors of the same names and shapes",
            hint="Give a mini, and one that a run made which began with it.",
        )
    return {
        name: ((value.float() + theirs[name].float()) / 2).to(value) if value.is_floating_point() else value
        for name, value in ours.items()
    }


def command(
    first: Annotated[Path, typer.Argument(help="A safetensors file of ours, whose metadata stay.")],
    second: Annotated[Path, typer.Argument(help="What a run made of it.")],
    out: Annotated[Path, typer.Argument(help="Where to; may be one of them.")],
) -> None:
    """Write the mean of two minis' weights."""
    header = read_header(first)
    save_tensors(average(header, read_header(second)), out, metadata=header.metadata)


if __name__ == "__main__":
    run_command(command)
