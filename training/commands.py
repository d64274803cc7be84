"""What the commands of this room share: errors without a traceback, and the choice of a device."""

from __future__ import annotations

from collections.abc import Callable

import torch
import typer
from rich.console import Console

from ..errors import GlidewireError


def run_command(command: Callable[..., None]) -> None:
    """Run a typed function as a command line; our own errors are printed in one line, with exit code 1."""
    try:
        typer.run(command)
    except GlidewireError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        raise SystemExit(1) from None


def device_named(name: str) -> torch.device:
    """The device of a name such as "cpu" or "cuda:0".

    Raises:
        GlidewireError: when there is no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise GlidewireError(
            "device", expected="cpu, or cuda where there is a GPU", got=f"{name!r} ({str(error).splitlines()[0]})"
        ) from error
    return device
