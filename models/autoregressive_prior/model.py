"""The autoregressive prior as a whole: the network, and the CLIP whose embeddings it makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch

from ...diffusion.quantization import PrincipalComponents
from ...errors import GlidewireError
from ..checkpoint import identify, load_identified
from ..clip.model import CLIP
from ..handle import Handle
from ..registry import Identity

if TYPE_CHECKING:
    from .network import AutoregressivePrior


@dataclass(frozen=True)
class AutoregressivePriorModel(Handle):
    """An autoregressive prior.

    Attributes:
        network: Frozen, in evaluation mode.
        clip: Which CLIP's embeddings it makes.
    """

    network: AutoregressivePrior
    clip: str

    @property
    def components(self) -> PrincipalComponents:
        """The directions whose coordinates are its codes."""
        return self.network.codec.components


def identify_autoregressive_prior(path: str | Path) -> Identity:
    """The autoregressive prior in a file; raises GlidewireError as `identify`, or if it is none."""
    identity = identify(path, component="prior")
    if identity.family != "autoregressive_prior":
        raise GlidewireError(
            f"{identity.header.name} is no autoregressive prior", expected="autoregressive_prior", got=identity.family
        )
    return identity


def clip_of(identity: Identity, stated: str = "") -> str:
    """The CLIP of a prior: what is stated, or what the file says; raises GlidewireError where nothing tells."""
    named = stated or identity.header.metadata.get(CLIP, "")
    if not named:
        raise GlidewireError(
            f"{identity.header.name} does not tell which CLIP's embeddings it was trained with",
            expected="a name in the file, or one that is given",
            hint="Write a name into clip: the same text that the CLIP is loaded with.",
        )
    return named


def load_autoregressive_prior(
    path: str | Path,
    *,
    clip: str = "",
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> AutoregressivePriorModel:
    """Load a prior, strictly; `clip` as `clip_of`, errors as `models.checkpoint.load`."""
    identity = identify_autoregressive_prior(path)
    named = clip_of(identity, clip)
    return AutoregressivePriorModel(
        cast("AutoregressivePrior", load_identified(identity, device=device, dtype=dtype)), named
    )
