"""What a loaded model is to whoever carries it: the identity of its content, and the bytes that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Handle:
    """A loaded network with what belongs to it; a dataclass of its room names the rest.

    Attributes:
        network: Frozen, in evaluation mode.
    """

    network: Any

    def digest(self) -> str:
        """Content identity of the weights, for cache keys."""
        return self.network.digest()

    def nbytes(self) -> int:
        """Bytes that the weights take."""
        return sum(weight.numel() * weight.element_size() for weight in self.network.parameters())
