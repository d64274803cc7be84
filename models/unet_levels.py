"""What every hyper-parameter record of a U-Net says of its levels."""

from __future__ import annotations

from typing import Protocol


class _Levels(Protocol):
    @property
    def model_channels(self) -> int: ...

    @property
    def channel_mult(self) -> tuple[int, ...]: ...


class _Attending(_Levels, Protocol):
    @property
    def attention_levels(self) -> tuple[int, ...]: ...


class UnetLevels:
    """What `model_channels` and `channel_mult` tell of a U-Net: widths, and what its sides must divide by."""

    @property
    def widths(self: _Levels) -> tuple[int, ...]:
        """Channels of each level, highest resolution first."""
        return tuple(self.model_channels * factor for factor in self.channel_mult)

    @property
    def size_multiple(self: _Levels) -> int:
        """Sides of x_t must be multiples of this: the picture is halved between levels."""
        return 2 ** (len(self.channel_mult) - 1)

    @property
    def bottleneck(self: _Levels) -> int:
        """Channels of the middle block, as of the lowest level."""
        return self.model_channels * self.channel_mult[-1]

    @property
    def time_width(self: _Levels) -> int:
        """Width of the time embedding, to which embeddings of texts, pictures and classes are added."""
        return 4 * self.model_channels


class AttendingLevels(UnetLevels):
    """The same of a U-Net that says which of its levels attend, by their numbers: `attention_levels`."""

    @property
    def attends(self: _Attending) -> tuple[bool, ...]:
        """Whether each level attends, highest resolution first."""
        return tuple(level in self.attention_levels for level in range(len(self.channel_mult)))
