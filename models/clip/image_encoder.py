"""CLIP's image tower by itself, as adapters see pictures through it: embeddings, and states of all patches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ...errors import GlidewireError
from ..checkpoint import identify, load_identified
from ..handle import Handle
from ..registry import Identity
from .spec import ClipImageSpec

if TYPE_CHECKING:
    from .network import ClipImage


@dataclass(frozen=True)
class ImageEncoder(Handle):
    """An image tower.

    Attributes:
        network: Frozen, in evaluation mode.
        file: The file's name, for errors.
    """

    network: ClipImage
    file: str = "the image encoder"

    @property
    def spec(self) -> ClipImageSpec:
        """The tower's hyper-parameters."""
        return self.network.spec

    @torch.no_grad()
    def embedding(self, picture: Tensor) -> Tensor:
        """Embeddings "batch projection" of pictures "batch 3 height width" in [-1, 1]: their middle squares."""
        return self.network(self._fitted(picture)).float()

    @torch.no_grad()
    def states(self, picture: Tensor) -> Tensor:
        """The last but one states "batch positions width" of pictures "batch 3 height width" in [-1, 1]."""
        return self.network.states(self._fitted(picture)).float()

    @torch.no_grad()
    def empty_states(self) -> Tensor:
        """The same of a picture that is all zero once it is normalised, "1 positions width"; it is no black one."""
        from .network import MEAN

        side = self.spec.image_size
        return self.states(torch.tensor(MEAN).mul(2).sub(1).reshape(1, 3, 1, 1).expand(1, 3, side, side))

    def _fitted(self, picture: Tensor) -> Tensor:
        from .network import fitted

        return fitted(picture.float(), self.spec.image_size).to(next(self.network.parameters()).device)


def identify_image_encoder(path: str | Path, activation: str = "") -> Identity:
    """The image tower in a file, of its own or inside of a whole CLIP.

    Args:
        path: A file or a folder.
        activation: As `clip.model.identify_clip`.

    Raises:
        GlidewireError: As `identify`, or the file holds neither.
    """
    stated: dict[str, Any] = {"quick_gelu": activation == "quick_gelu"} if activation else {}
    try:
        return identify(path, component="image_encoder", family="clip", stated=stated)
    except GlidewireError as problem:
        try:
            return identify(path, component="clip", family="clip", stated=stated)
        except GlidewireError:
            raise problem from None


def image_spec(identity: Identity) -> ClipImageSpec:
    """The hyper-parameters of an identified image tower."""
    return identity.spec if identity.component == "image_encoder" else identity.spec.image


def load_image_encoder(
    path: str | Path,
    *,
    activation: str = "",
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> ImageEncoder:
    """Load an image tower, strictly; errors as `identify_image_encoder` and `models.checkpoint.load`."""
    identity = identify_image_encoder(path, activation)
    loaded: Any = load_identified(identity, device=device, dtype=dtype)
    if identity.component == "clip":
        whole, loaded = loaded, loaded.image
        loaded.content_digest = f"{whole.content_digest}:image"
    return ImageEncoder(cast("ClipImage", loaded), identity.header.path.name)
