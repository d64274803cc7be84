"""Denoisers over diffusers' U-Nets: what all of them do alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .additions import NOTHING, Additions
from .digest import network_digest
from .halves import Encoded


class UnetDenoiser(nn.Module):
    """A `Network` over a U-Net that runs in two halves (see `halves.Halved`).

    Attributes:
        spec: Hyper-parameters.
        unet: diffusers' U-Net.
        content_digest: Set by a loader: the file's digest stands for the weights.
        before_text: Positions of the context that stand in front of a text's.
    """

    unet: Any
    before_text: int = 0

    def __init__(self, spec: Any) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None

    def forward(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Tensor:
        """One batched evaluation.

        Args:
            x_t: Noised pictures or latents, "batch channels height width"; sides are multiples of
                `spec.size_multiple`.
            timesteps: Ids of the original schedule, "batch" (0 ... 999).
            conditioning: See the class.
            additions: What a view adds (see `view.DenoiserView`).

        Returns:
            The prediction, and variance values where they are learned, "batch out_channels height width" in x_t's
            dtype; the network computes in the dtype of its weights.

        Raises:
            GlidewireError: Sides, channels or conditioning that do not fit.
        """
        encoded = self.way_down(x_t, timesteps, conditioning, additions)
        return self.way_up(encoded, conditioning, additions).to(x_t.dtype)

    def retold(
        self, conditioning: Mapping[str, Tensor], before: Mapping[str, Tensor], after: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor] | None:
        """What of a condition is another under another text, from the texts' tensors as their encoder makes them.

        Args:
            conditioning: As it is.
            before: The text that it should be under.
            after: The other text.

        Returns:
            Tensors by name, or None where the condition is not under the first text.
        """
        same = all(name in conditioning and _equal(conditioning[name], value) for name, value in before.items())
        return after if same else None

    @abstractmethod
    def way_down(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Encoded:
        """The way down and the middle; see `halves.Halved`, the rest as `forward`."""

    @abstractmethod
    def way_up(
        self,
        encoded: Encoded,
        conditioning: Mapping[str, Tensor],
        additions: Additions = NOTHING,
        h: Tensor | None = None,
    ) -> Tensor:
        """The way up; see `halves.Halved`."""

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one.cpu(), other.cpu())
