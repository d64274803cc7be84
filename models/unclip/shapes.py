"""Checks of what a caller gives a network, by name."""

from __future__ import annotations

from torch import Tensor

from ...errors import GlidewireError


def required(value: Tensor | None, name: str, *shape: int | str) -> Tensor:
    """`value` if its shape is `shape`, where a text stands for any size; raises GlidewireError by name otherwise."""
    right = value is not None and value.ndim == len(shape)
    if value is not None and right:
        right = all(isinstance(want, str) or got == want for want, got in zip(shape, value.shape, strict=True))
    if value is None or not right:
        raise GlidewireError(
            f"unCLIP: {name} does not fit",
            expected=" x ".join(map(str, shape)),
            got="nothing" if value is None else tuple(value.shape),
        )
    return value


def check_sides(x_t: Tensor, channels: int, multiple: int) -> None:
    """Raise GlidewireError unless x_t is "batch channels height width" with sides that are multiples."""
    if x_t.ndim != 4 or x_t.shape[1] != channels or any(side % multiple for side in x_t.shape[2:]):
        raise GlidewireError(
            "unCLIP: x_t does not fit the network",
            expected=f"batch x {channels} channels x sides that are multiples of {multiple}",
            got=tuple(x_t.shape),
        )
