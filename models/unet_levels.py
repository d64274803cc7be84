"""What every hyper-parameter record of a U-Net says of its levels."""

from __future__ import annotations


class UnetLevels:
    """Widths of a U-Net's levels, and what its sides must divide by; for dataclasses with these fields."""

    model_channels: int
    channel_mult: tuple[int, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, highest resolution first."""
        return tuple(self.model_channels * factor for factor in self.channel_mult)

    @property
    def size_multiple(self) -> int:
        """Sides of x_t must be multiples of this: the picture is halved between levels."""
        return 2 ** (len(self.channel_mult) - 1)


class AttendingLevels(UnetLevels):
    """The same of a U-Net that says which of its levels attend, by their numbers."""

    attention_levels: tuple[int, ...]

    @property
    def attends(self) -> tuple[bool, ...]:
        """Whether each level attends, highest resolution first."""
        return tuple(level in self.attention_levels for level in range(len(self.channel_mult)))
