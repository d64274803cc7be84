"""A few tiny nodes for the tests of the doors: several outputs, lists, a slow one, one that fails."""

from __future__ import annotations

import signal
import time
from typing import Annotated, NamedTuple

import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.graph_runtime.declaration import INJECTED, node
from glidewire.graph_runtime.sockets import Socket, socket_type
from glidewire.graph_runtime.widgets import File, Number, Seed, Text
from PIL import Image as Picture


class Grain(torch.Tensor):
    """A type of wire for these tests alone."""


socket_type("GRAIN", Grain, "A tensor of the tests.")


class Pair(NamedTuple):
    left: Socket[Grain, "count"]
    right: Socket[Grain, "count"]


@node(category="tiny")
def tiny_noise(
    count: Annotated[int, Number(min=1, max=64)] = 4, seed: Annotated[int, Seed()] = 0
) -> Socket[Grain, "count"]:
    """Noise."""
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


@node(category="tiny")
def tiny_scale(grain: Socket[Grain, "count"], by: float = 2.0, offset: int = 0) -> Socket[Grain, "count"]:
    """A multiple."""
    return grain * by + offset


@node(category="tiny")
def tiny_split(grain: Socket[Grain, "count"], low: bool = True) -> Pair:
    """The grain, twice."""
    return Pair(grain.clamp(max=0) if low else grain, grain.clamp(min=0))


@node(category="tiny")
def tiny_join(
    left: Socket[Grain, "count"], right: Socket[Grain, "count"] | None = None, label: str = "sum"
) -> Socket[Grain, "count"]:
    """The sum."""
    return left if right is None else left + right


@node(category="tiny")
def tiny_read(file: Annotated[str, File(suffixes=(".txt",))], context: Context = INJECTED) -> str:
    """The text of a file."""
    return context.folders.find("input", file).read_text()


@node(category="tiny")
def tiny_fail(grain: Socket[Grain, "count"]) -> Socket[Grain, "count"]:
    """Fails."""
    raise GlidewireError("the tiny node fails", expected="success", got="failure", hint="It always does.")


@node(category="tiny")
def tiny_crash(grain: Socket[Grain, "count"]) -> Socket[Grain, "count"]:
    """Raises what is none of our errors."""
    return grain / {}["nothing"]


@node(category="tiny")
def tiny_steps(
    grain: Socket[Grain, "count"],
    steps: int = 20,
    interrupt: int = -1,
    pause: float = 0.0,
    context: Context = INJECTED,
) -> Socket[Grain, "count"]:
    """Goes on step by step with a picture of each, and at one of them the user presses Ctrl-C."""
    for step in range(steps):
        if step == interrupt:
            signal.raise_signal(signal.SIGINT)
        time.sleep(pause)
        context.progress(step + 1, steps, "step", preview=lambda: Picture.new("RGB", (4, 4), (200, 10, 10)))
    context.warn("the steps are over")
    return grain


@node(category="tiny", effect=True)
def tiny_keep(
    grain: Socket[Grain, "count"], name: Annotated[str, Text(cosmetic=True)] = "grain", context: Context = INJECTED
) -> None:
    """Write the sum into a file."""
    context.folders.destination(f"{name}.txt").write_text(repr(grain.sum().item()))
    context.show(text=[name])
