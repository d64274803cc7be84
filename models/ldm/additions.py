"""What views of a denoiser add inside of it for one evaluation, while its weights and layers stay as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

Part = Literal["query", "key_value", "out"]


class AttentionAddition(Protocol):
    """Terms of the attention layers, which are numbered in the order down, up, middle."""

    def projected(self, layer: int, part: Part, states: Tensor) -> Tensor | None:
        """What is added to a layer's projection of states "batch positions channels".

        Args:
            layer: Which one.
            part: Which projection; of "key_value", keys stand before values in the channels.
            states: What is projected.

        Returns:
            A term of the projection's shape, or None for nothing.
        """
        ...

    def attended(self, layer: int, query: Tensor) -> Tensor | None:
        """What is added to what the query found, "batch heads positions channels" both; None for nothing."""
        ...


@dataclass(frozen=True)
class Additions:
    """Terms inside of a U-Net.

    Attributes:
        attention: Terms of its attention layers.
        residuals: One for each skip in the order of the way down, then the middle's, "batch channels height
            width"; or none at all.
    """

    attention: tuple[AttentionAddition, ...] = ()
    residuals: tuple[Tensor, ...] = ()

    def __add__(self, other: Additions) -> Additions:
        residuals = self.residuals or other.residuals
        if self.residuals and other.residuals:
            residuals = tuple(one + two for one, two in zip(self.residuals, other.residuals, strict=True))
        return Additions(self.attention + other.attention, residuals)


NOTHING = Additions()
