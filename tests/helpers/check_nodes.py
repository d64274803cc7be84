"""Nodes that are only ever checked, and how the tests of `check` write graphs of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypeVar

from glidewire.graph_runtime.check import Report
from glidewire.graph_runtime.declaration import node
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.registry import Registry
from glidewire.graph_runtime.sockets import Socket, socket_type
from glidewire.graph_runtime.widgets import Choice, File, Number, Seed, Wired
from torch import Tensor

Picture = NewType("Picture", Tensor)
Latent = NewType("Latent", Tensor)
Embedding = NewType("Embedding", Tensor)
socket_type("CHECK_PICTURE", Picture, "batch height width 3")
socket_type("CHECK_LATENT", Latent, "batch channels height width")
socket_type("CHECK_EMBEDDING", Embedding, "batch width")
T = TypeVar("T")


class Encoder(NamedTuple):
    embedding: Socket[Embedding, "batch width @clip"]
    count: int


def header(checkpoint: Path) -> dict[str, int | str]:
    return json.loads(checkpoint.read_text())


@node(category="check", static_dims=header)
def load_encoder(checkpoint: Annotated[str, File(folder="models")], batch: int = 1) -> Encoder:
    """Load an encoder."""


@node(category="check", static_dims=header)
def load_prior(checkpoint: Annotated[str, File(folder="models")] = "prior.json") -> Socket[Latent, "width _ _ _"]:
    """Load a prior."""


@node(category="check")
def use_prior(
    prior: Socket[Latent, "width _ _ _"], embedding: Socket[Embedding, "batch width @clip"]
) -> Socket[Embedding, "batch width @clip"]:
    """Use a prior."""


@node(category="check")
def project(
    embedding: Socket[Embedding, "batch _"], width: Annotated[int, Number(min=1)] = 512
) -> Socket[Embedding, "batch width"]:
    """Project an embedding."""


@node(category="check")
def empty(
    height: Annotated[int, Number(min=8, max=512)] = 64,
    width: Annotated[int, Number(min=8, max=512)] = 64,
    seed: Annotated[int, Seed()] = 0,
) -> Socket[Latent, "1 4 height/8 width/8 @space"]:
    """Make an empty latent."""


@node(category="check", static_dims=lambda **_: {"space": "small"})
def encode(picture: Socket[Picture, "batch height width 3"]) -> Socket[Latent, "batch 4 height/8 width/8 @space"]:
    """Encode a picture."""


@node(category="check")
def decode(
    latent: Socket[Latent, "batch 4 h w @space"],
    space: Literal["small", "large"] = "small",
    tile: Annotated[float, Number(min=0.0)] = 1.0,
) -> Socket[Picture, "batch h*8 w*8 3"]:
    """Decode a latent."""


@node(category="check")
def blend(
    first: Socket[Latent, "batch channels h w"], second: Socket[Latent, "batch channels h w"], share: float = 0.5
) -> Socket[Latent, "batch channels h w"]:
    """Blend two latents."""


@node(category="check", effect=True)
def save(picture: Socket[Picture, "_ _ _ 3"], name: str = "x", quality: Annotated[int, Number(max=100)] = 90) -> None:
    """Save a picture."""


@node(category="check", effect=True)
def show(
    value: Annotated[str, Wired()],
    choice: Annotated[str, Choice(options=lambda: ["alpha", "beta"])] = "alpha",
    loud: bool = False,
    latent: Socket[Latent, "..."] | None = None,
) -> None:
    """Show a text."""


@node(category="check", effect=True)
def keep(value: Any) -> None:
    """Keep anything."""


@node(category="check")
def either(first: Socket[T, "..."] | None = None, second: Socket[T, "..."] | None = None) -> Socket[T, "..."]:
    """Pass one on."""


@node(
    category="check",
    lazy=lambda condition: ["yes"] if condition else ["no"],
    lazy_inputs=["yes", "no"],
)
def switch(condition: bool = True, yes: T | None = None, no: T | None = None) -> T:
    """Pass one on, lazily."""


@node(category="check")
def stack(pictures: list[Socket[Picture, "_ h w 3"]], weights: list[float] | None = None) -> Socket[Picture, "_ h w 3"]:
    """Stack pictures."""


@node(category="check")
def text(value: str = "") -> str:
    """A text."""


@node(category="check")
def whole(value: int = 1) -> int:
    """A whole number."""


@node(category="check")
def real(value: float = 1.0) -> float:
    """A real number."""


@node(category="check")
def texts(lines: str = "") -> list[str]:
    """Some texts."""


@node(category="check")
def paint(red: Annotated[float, Number(min=0, max=1)]) -> Socket[Picture | Latent, "1 c h w"]:
    """Paint something."""


NODES = (
    load_encoder, load_prior, use_prior, project, empty, encode, decode, blend, save, show, keep, either, switch, stack,
    text, whole, real, texts, paint,
)  # fmt: skip
REGISTRY = Registry(function.declaration for function in NODES)


def graph(**nodes: tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], str]) -> Graph:
    """`n1=("decode", {"latent": "n2.0"})`: a text `node.output` is a wire."""
    calls = []
    for name, (kind, inputs, *title) in nodes.items():
        wired = {
            key: Wire(value[:2], int(value[3:])) if isinstance(value, str) and value[2:3] == "." else value
            for key, value in inputs.items()
        }
        calls.append(NodeCall(name, kind, wired, *title))
    return Graph(calls)


def problems(report: Report) -> list[str]:
    return [str(problem) for problem in report.problems]
