"""unCLIP's upsampler as a whole: its network, and the one that makes the last step alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch

from ...errors import GlidewireError
from ..checkpoint import identify_all, load_identified
from ..registry import Identity

if TYPE_CHECKING:
    from .upsampler import Upsampler


@dataclass(frozen=True)
class UpsamplerModel:
    """An upsampler.

    Attributes:
        network: Frozen, in evaluation mode.
        last_step: The network of the last step, where there is one of its own (Karlo).
    """

    network: Upsampler
    last_step: Upsampler | None = None

    def digest(self) -> str:
        """Content identity of the weights, for cache keys."""
        return f"{self.network.digest()} {self.last_step.digest() if self.last_step else ''}"

    def nbytes(self) -> int:
        """Bytes that the weights take."""
        networks = [network for network in (self.network, self.last_step) if network is not None]
        return sum(weight.numel() * weight.element_size() for network in networks for weight in network.parameters())


def identify_upsampler(path: str | Path) -> tuple[Identity, Identity | None]:
    """The upsampler in a file, and the network of its last step if there is one.

    Raises:
        GlidewireError: As `identify_all`, or the file holds no upsampler.
    """
    found = {identity.component: identity for identity in identify_all(path) if identity.family == "unclip"}
    if "upsampler" not in found:
        raise GlidewireError(
            f"{Path(path).name} is no unCLIP upsampler",
            expected="a U-Net without attention or text that takes a small picture (Karlo's super-resolution)",
            got=", ".join(sorted(found)) or "none of unCLIP's networks",
        )
    return found["upsampler"], found.get("upsampler_last_step")


def load_upsampler(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> UpsamplerModel:
    """Load an upsampler, strictly; errors as `identify_upsampler` and `models.checkpoint.load`."""
    first, last = (
        None if identity is None else cast("Upsampler", load_identified(identity, device=device, dtype=dtype))
        for identity in identify_upsampler(path)
    )
    assert first is not None
    return UpsamplerModel(first, last)
