"""What else conditions latent denoisers: class embeddings, rescaled segmentations, and pictures with holes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import GlidewireError
from ..digest import network_digest
from ..header import Header
from ..hyper_parameters import combined, known, require
from ..key_map import Entry, KeyMap
from ..registry import Identity


@dataclass(frozen=True)
class ClassEmbedderSpec:
    """Hyper-parameters of a class embedding (Rombach et al. 2022, appendix E.2.1); the defaults are cin256-v2's.

    Attributes:
        classes: Rows; the last is the class of none, for guidance.
        width: Width of the one context position.
    """

    classes: int = 1001
    width: int = 512


class ClassEmbedder(nn.Module):
    """A class id to a context of one position."""

    def __init__(self, spec: ClassEmbedderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        self.embedding = nn.Embedding(spec.classes, spec.width)

    @property
    def no_class(self) -> int:
        """The id that guidance takes for no class."""
        return self.spec.classes - 1

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)

    def forward(self, class_label: Tensor) -> Tensor:
        """Ids "batch" int64 to a denoiser's `context` "batch 1 width"; raises GlidewireError on unknown ids."""
        if class_label.numel() and not 0 <= int(class_label.min()) <= int(class_label.max()) < self.spec.classes:
            raise GlidewireError(
                "there is no such class",
                expected=f"0 to {self.spec.classes - 1}, where {self.no_class} is none",
                got=f"{int(class_label.min())} to {int(class_label.max())}",
            )
        return self.embedding(class_label)[:, None, :]


@dataclass(frozen=True)
class RescalerSpec:
    """Hyper-parameters of a segmentation's encoder; the defaults are semantic synthesis's.

    Attributes:
        classes: Channels of the one-hot segmentation.
        channels: Channels beside the latents.
        halvings: How often the sides are halved.
    """

    classes: int = 182
    channels: int = 3
    halvings: int = 2

    def __post_init__(self) -> None:
        require(self.halvings >= 0, self, "halvings", "0 or more")


class SpatialRescaler(nn.Module):
    """A one-hot segmentation to channels beside the latents, at their size (Rombach et al. 2022, sec. 4.3.2)."""

    def __init__(self, spec: RescalerSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        self.channel_mapper = nn.Conv2d(spec.classes, spec.channels, 1, bias=False)

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)

    def forward(self, segmentation: Tensor) -> Tensor:
        """One-hot "batch classes height width" to "batch channels h w", halved `spec.halvings` times."""
        if segmentation.ndim != 4 or segmentation.shape[1] != self.spec.classes:
            raise GlidewireError(
                "the segmentation does not fit its encoder",
                expected=f"batch x {self.spec.classes} classes x height x width",
                got=tuple(segmentation.shape),
            )
        for _ in range(self.spec.halvings):
            segmentation = F.interpolate(segmentation, scale_factor=0.5, mode="bilinear")
        return self.channel_mapper(segmentation)


_CLASSES, _MAPPER = "embedding.weight", "channel_mapper.weight"


def class_key_map(spec: ClassEmbedderSpec) -> KeyMap:
    """The published layout and `ClassEmbedder`'s."""
    return (Entry(_CLASSES, (_CLASSES,)),)


def rescaler_key_map(spec: RescalerSpec) -> KeyMap:
    """The published layout and `SpatialRescaler`'s."""
    return (Entry(_MAPPER, (_MAPPER,)),)


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a class embedding or a segmentation's encoder inside a latent diffusion file, else None."""
    if set(header.shapes) == {_CLASSES} and header.part:
        classes, width = header.shapes[_CLASSES]
        told = {"classes": classes, "width": width}
        given = known(ClassEmbedderSpec, header.metadata, stated, family="ldm", where=header.name)
        spec = combined(ClassEmbedderSpec(), told, given, where=header.name)
        dims = {"classes": classes, "context_width": width}
        return Identity("ldm", "class_embedder", "class embedding", spec, dims, header)
    if set(header.shapes) == {_MAPPER}:
        channels, classes = header.shapes[_MAPPER][:2]
        told = {"classes": classes, "channels": channels}
        given = known(RescalerSpec, header.metadata, stated, family="ldm", where=header.name)
        rescaler = combined(RescalerSpec(), told, given, where=header.name)
        assumed = () if "halvings" in given or rescaler == RescalerSpec() else ("halvings",)
        return Identity("ldm", "segmentation_encoder", "spatial rescaler", rescaler, told, header, assumed)
    return None


def inpainting_picture(picture: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """What latent diffusion's own inpainting model encodes and sees: holes are black, the mask is -1 or 1.

    m = [mask >= 1/2]; picture' = 2 (1 - m) (picture + 1)/2 - 1; mask' = 2 m - 1.

    Args:
        picture: "batch 3 height width" in [-1, 1].
        mask: "batch 1 height width" in [0, 1], 1 is a hole.

    Returns:
        The masked picture in [-1, 1], whose latents are `masked_latents`; and the mask, of which `mask` is
        the nearest-neighbour resize to the latents' size.

    Source: Rombach et al. 2022, sec. 4.5, and its released sampling script.
    """
    hole = (mask >= 0.5).to(picture)
    return (1 - hole) * (picture + 1) - 1, 2 * hole - 1


def stable_inpainting_picture(picture: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """What Stable Diffusion's inpainting models encode and see: holes are mid-grey, the mask is 0 or 1.

    m = [mask >= 1/2]; picture' = (1 - m) picture; mask' = m.

    Args:
        picture: "batch 3 height width" in [-1, 1].
        mask: "batch 1 height width" in [0, 1], 1 is a hole.

    Returns:
        As `inpainting_picture`.
    """
    hole = (mask >= 0.5).to(picture)
    return (1 - hole) * picture, hole


def mask_for_latents(mask: Tensor, latents: Tensor) -> Tensor:
    """A mask "batch 1 height width" at the latents' height and width, by the nearest pixel."""
    return F.interpolate(mask, size=tuple(latents.shape[-2:]), mode="nearest").to(torch.float32)
