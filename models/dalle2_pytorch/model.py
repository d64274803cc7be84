"""LAION's diffusion prior as a whole: the network, and the CLIP whose embeddings it makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch

from ...diffusion.schedules import SCHEDULES, NoiseSchedule
from ...errors import GlidewireError
from ..checkpoint import identify, load_identified
from ..clip.model import CLIP
from ..handle import Handle
from ..registry import Identity
from .spec import DiffusionPriorSpec

if TYPE_CHECKING:
    from .network import DiffusionPrior

PUBLISHED_CLIP = "ViT-L/14 of OpenAI"
"""The published prior's (LAION, 2022)."""


@dataclass(frozen=True)
class LaionPriorModel(Handle):
    """A diffusion prior trained with DALLE2-pytorch.

    Attributes:
        network: Frozen, in evaluation mode; its `space` is the CLIP.
    """

    network: DiffusionPrior

    @property
    def clip(self) -> str:
        """Which CLIP's embeddings it makes."""
        return self.network.space

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule that it was trained with."""
        return SCHEDULES[self.network.spec.schedule](self.network.spec.timesteps)


def identify_laion_prior(path: str | Path) -> Identity:
    """The prior in a file; raises GlidewireError as `identify`, or if it was not trained with DALLE2-pytorch."""
    identity = identify(path, component="prior")
    if identity.family != "dalle2_pytorch":
        raise GlidewireError(
            f"{identity.header.name} is no prior of DALLE2-pytorch", expected="dalle2_pytorch", got=identity.family
        )
    return identity


def clip_of(identity: Identity, stated: str = "") -> str:
    """The CLIP of a prior: what is stated, what the file says, or what was published of its width.

    Raises:
        GlidewireError: Nothing tells.
    """
    named = stated or identity.header.metadata.get(CLIP, "")
    if not named and identity.spec.width == DiffusionPriorSpec().width:
        named = PUBLISHED_CLIP
    if not named:
        raise GlidewireError(
            f"{identity.header.name} does not tell which CLIP's embeddings it was trained with",
            expected="the published prior, or a name",
            got=f"one of width {identity.spec.width}",
            hint="Write a name into clip: the same text that the CLIP is loaded with.",
        )
    return named


def load_laion_prior(
    path: str | Path,
    *,
    clip: str = "",
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> LaionPriorModel:
    """Load a prior, strictly; `clip` as `clip_of`, errors as `models.checkpoint.load`."""
    identity = identify_laion_prior(path)
    named = clip_of(identity, clip)
    network = cast("DiffusionPrior", load_identified(identity, device=device, dtype=dtype))
    network.space = named
    return LaionPriorModel(network)
