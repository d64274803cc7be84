"""What the tags of denoisers tell of their U-Nets, from headers alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class _Unet(Protocol):
    @property
    def size_multiple(self) -> int: ...

    @property
    def bottleneck(self) -> int: ...

    @property
    def time_width(self) -> int: ...


def of_unet(spec: _Unet, context_width: int) -> Mapping[str, str]:
    """The tags after a denoiser's space.

    Args:
        spec: Hyper-parameters of the U-Net.
        context_width: Width of the context that its attention takes; 0 for none.

    Returns:
        What sides must divide by; the width of the context; channels of the bottleneck; width of the time embedding.
    """
    return {
        "sides": str(spec.size_multiple),
        "context_width": str(context_width),
        "bottleneck": str(spec.bottleneck),
        "time_width": str(spec.time_width),
    }
