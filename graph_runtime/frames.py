"""Frames: what a node leaves of each of its steps for whoever looks afterwards, pictures and numbers by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """One step of a node's work.

    Args:
        facts: Numbers, by name.
        pictures: uint8 "height width 3", by name.
    """

    facts: Mapping[str, float] = field(default_factory=dict)
    pictures: Mapping[str, Tensor] = field(default_factory=dict)


class Frames:
    """Where a node leaves its frames. This one wants none: a node that asks `wanted` first pays nothing for it."""

    @property
    def wanted(self) -> bool:
        """Whether anybody will look."""
        return False

    def begin(self, names: Sequence[str]) -> None:
        """Begin a walk of as many steps as there are names.

        Args:
            names: For each step a text that stands for all that its frame depends on: frames that were kept under it
                before count as this walk's, so that a resumed walk has those of its first part.
        """

    def keep(self, index: int, frame: Frame) -> None:
        """Keep the frame of step `index` of the walk that began last."""
