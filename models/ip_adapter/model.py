"""An adapter as a whole: the network, the name of its file, and how it sees pictures through an image encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import GlidewireError
from ..checkpoint import identify, load_identified
from ..clip.image_encoder import ImageEncoder
from ..handle import Handle
from ..registry import Identity
from .spec import IpAdapterSpec

if TYPE_CHECKING:
    from .network import IpAdapter

Combine = Literal["each", "concatenate", "average", "average directions", "subtract", "add"]
"""How several pictures become prompts: one for each item of a batch; all of their tokens one after another; or one
embedding: their mean, their mean direction at their mean length, the first less the others' mean, or their sum."""


Scaling = Literal["V only", "K+V", "K+V w/ C penalty", "K+mean(V) w/ C penalty"]
"""What a scale multiplies: what is found; keys and values; or keys and the mean of the values. A penalty makes it
smaller in narrow layers, by their channels over 1280."""


@dataclass(frozen=True)
class AdapterModel(Handle):
    """An image-prompt adapter.

    Attributes:
        network: Frozen, in evaluation mode.
        file: The file's name, for errors.
    """

    network: IpAdapter
    file: str = "the adapter"

    @property
    def spec(self) -> IpAdapterSpec:
        """The adapter's hyper-parameters."""
        return self.network.spec

    @torch.no_grad()
    def tokens(
        self,
        encoder: ImageEncoder | None,
        pictures: Tensor | None,
        face: Tensor | None = None,
        combine: Combine = "each",
        structure: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Image tokens of pictures or faces, and those that stand for none.

        Args:
            encoder: For adapters that take pictures.
            pictures: "batch 3 height width" in [-1, 1].
            face: Embeddings of faces "batch width", of unit length, for adapters of faces.
            combine: How several become prompts.
            structure: As `IpAdapter.forward`.

        Returns:
            "prompts tokens width", and "1 tokens width" for guidance, on the CPU.

        Raises:
            GlidewireError: As `require_fit` and `IpAdapter.forward`.

        Source: Ye et al. 2023 (IP-Adapter), section 3.2, and its released code for the unconditional tokens.
        """
        seen = None
        if encoder is not None and pictures is not None:
            if self.spec.image_width:
                self.require_fit(encoder)
            seen = encoder.embedding(pictures) if self.spec.kind == "base" else encoder.states(pictures)
        given = {"image": seen, "face": face}
        found = {name: _combined(value, combine) for name, value in given.items() if value is not None}
        prompts = self.network(**found, structure=structure)
        nothing = {name: self._nothing(name, value[:1], encoder) for name, value in found.items()}
        none = self.network(**nothing, structure=structure)
        if combine == "concatenate":
            none = none.repeat(1, len(prompts), 1)
            prompts = prompts.flatten(0, 1)[None]
        return prompts.float().cpu(), none.float().cpu()

    def _nothing(self, name: str, like: Tensor, encoder: ImageEncoder | None) -> Tensor:
        of_states = name == "image" and self.spec.kind != "base"
        return encoder.empty_states() if of_states and encoder is not None else torch.zeros_like(like)

    def require_fit(self, encoder: ImageEncoder) -> None:
        """Raise a GlidewireError that names both files and widths where an encoder is not the adapter's."""
        what = "embeddings" if self.spec.kind == "base" else "states"
        has = encoder.spec.projection if self.spec.kind == "base" else encoder.spec.width
        if self.spec.image_width != has:
            raise GlidewireError(
                f"adapter {self.file} was trained with another image encoder than {encoder.file}",
                expected=f"{what} of width {self.spec.image_width}, for {self.file}",
                got=f"{what} of width {has} from {encoder.file}",
                hint=_ENCODERS.get((what, self.spec.image_width), "Load the image encoder that belongs to it."),
            )


# Which encoder the published adapters were trained with, by what they take and its width.
_ENCODERS = {
    ("embeddings", 1024): "Load CLIP ViT-H/14, as published with ip-adapter_sd15.",
    ("embeddings", 1280): "Load CLIP ViT-bigG/14.",
    ("states", 1280): "Load CLIP ViT-H/14, as published with ip-adapter-plus_sd15.",
    ("states", 1664): "Load CLIP ViT-bigG/14.",
}


def _combined(value: Tensor, combine: Combine) -> Tensor:
    """Embeddings or states "batch ..." as those of the prompts."""
    if combine not in get_args(Combine):
        raise GlidewireError("no such way to combine pictures", expected=" or ".join(get_args(Combine)), got=combine)
    if combine in ("each", "concatenate") or len(value) == 1:
        return value
    mean = value.mean(dim=0, keepdim=True)
    if combine == "average":
        return mean
    if combine == "average directions":
        lengths = value.norm(dim=-1, keepdim=True)
        directions = F.normalize(value, dim=-1).mean(dim=0, keepdim=True)
        return F.normalize(directions, dim=-1) * lengths.mean(dim=0, keepdim=True)
    if combine == "add":
        return value.sum(dim=0, keepdim=True)
    return value[:1] - value[1:].mean(dim=0, keepdim=True)


def identify_adapter(path: str | Path) -> Identity:
    """The adapter in a file; raises GlidewireError as `identify`, or if it is none."""
    identity = identify(path, component="adapter")
    if identity.family != "ip_adapter":
        raise GlidewireError(
            f"{identity.header.name} is no IP-Adapter",
            expected="ip_adapter",
            got=f"{identity.family} {identity.component}",
        )
    return identity


def load_adapter(
    path: str | Path,
    *,
    shortcut: bool | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> AdapterModel:
    """Load an adapter, strictly.

    Args:
        path: A file in the published layout.
        shortcut: Of FaceID-plus, version 2 (which the tensors do not tell); None takes what is assumed.
        device: Where the weights go.
        dtype: What floating-point weights become.

    Raises:
        GlidewireError: As `identify_adapter` and `models.checkpoint.load`.
    """
    identity = identify_adapter(path)
    if shortcut is not None and "shortcut" in identity.assumed:
        identity = identify(path, component="adapter", stated={"shortcut": shortcut})
    network = cast("IpAdapter", load_identified(identity, device=device, dtype=dtype))
    return AdapterModel(network, identity.header.path.name)
