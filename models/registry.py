"""The families that a checkpoint can belong to, and what each room of `models/` tells about its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from torch import nn

from .header import Header
from .key_map import KeyMap

# A room is added here, and tells the rest as `FAMILY` in its module `checkpoint`.
ROOMS = (
    "glide",
    "first_stage",
    "ldm",
    "controlnet",
    "ip_adapter",
    "clip_text",
    "dalle1",
    "noised_clip",
    "paella",
    "dalle2_pytorch",
    "unclip",
    "clip",
    "asyrp",
    "imagen",
    "autoregressive_prior",
)

# The layout of the first publication; `Family.layouts` names others.
PUBLISHED = "published"


@dataclass(frozen=True)
class Identity:
    """What a checkpoint is, told from its header.

    Attributes:
        family: The published system.
        component: Its part, such as "text_to_image".
        variant: Which of the family's variants.
        spec: The family's hyper-parameters.
        dims: Sizes that sockets carry, by name.
        header: The header that this was told from.
        assumed: Hyper-parameters that neither shapes nor metadata tell, taken from the published model.
        layout: Under which of the family's sets of names the tensors lie.
        remarks: What a user should know of it, in sentences.
    """

    family: str
    component: str
    variant: str
    spec: Any
    dims: Mapping[str, int]
    header: Header = field(repr=False)
    assumed: tuple[str, ...] = ()
    layout: str = PUBLISHED
    remarks: tuple[str, ...] = ()


Recognise = Callable[[Header, Mapping[str, Any]], Identity | None]


@dataclass(frozen=True)
class Family:
    """How one family's checkpoints are recognised and loaded.

    Attributes:
        name: The published system.
        recognise: From a header and hyper-parameters stated by the user; None if the file is not of the family.
        build: The network of a spec, on the current default device.
        key_map: Published keys to the network's, of a spec.
        layouts: Key maps of the other layouts that the family was published in, by name.
        ignored: Beginnings of published keys that the network does not use.
        exact: Beginnings of the network's keys that keep the dtype they are stored in, whatever the others become.
        carries: Hyper-parameters of a spec as its files carry them, by the names that `recognise` reads.
    """

    name: str
    recognise: Recognise
    build: Callable[[Any], nn.Module]
    key_map: Callable[[Any], KeyMap]
    layouts: Mapping[str, Callable[[Any], KeyMap]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    carries: Callable[[Any], Mapping[str, Any]] = asdict

    def key_map_of(self, identity: Identity) -> KeyMap:
        """The key map of an identified checkpoint, in its own layout."""
        return self.layouts.get(identity.layout, self.key_map)(identity.spec)


@cache
def families() -> Mapping[str, Family]:
    """Every family by its name."""
    rooms = (import_module(f".{room}.checkpoint", __package__).FAMILY for room in ROOMS)
    return {family.name: family for family in rooms}
