"""What Paella's networks share: the embedding of the time, and what the guidance expression asks of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ...errors import GlidewireError
from ..digest import network_digest

# Times in [0, 1] are embedded as if they were steps of a long schedule.
_TIME_SCALE = 10_000
EPSILON = 1e-6


def time_embedding(times: Tensor, channels: int) -> Tensor:
    """sin and cos of 10000 t · exp(-ln(10000) i / (channels / 2 - 1)), i = 0 ... channels / 2 - 1.

    Args:
        times: "batch", in [0, 1].
        channels: Even.

    Returns:
        float32 "batch channels": all sines, then all cosines.

    Source: Vaswani et al. 2017, sec. 3.5; Rampas et al. 2022, as published.
    """
    # In this order of float32 operations: the angles are so large that another one shows in the third digit.
    half = channels // 2
    frequencies = torch.arange(half, device=times.device).float().mul(-(math.log(10_000) / (half - 1))).exp()
    angles = (times.float() * _TIME_SCALE)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def normalised(channels_last: Tensor) -> Tensor:
    """LayerNorm without weights over the last dimension, eps 1e-6."""
    return nn.functional.layer_norm(channels_last, channels_last.shape[-1:], eps=EPSILON)


def check_grid(tokens: Tensor, multiple: int, codes: int) -> None:
    """Raise GlidewireError unless tokens are ids below `codes` in a "batch height width" grid that can be halved."""
    if tokens.ndim != 3 or any(side % multiple or not side for side in tokens.shape[1:]):
        raise GlidewireError(
            "tokens do not fit the predictor",
            expected=f"batch x sides that are multiples of {multiple}",
            got=tuple(tokens.shape),
        )
    if tokens.is_floating_point() or not 0 <= int(tokens.min()) <= int(tokens.max()) < codes:
        raise GlidewireError(
            "tokens do not fit the predictor",
            expected=f"whole numbers from 0 to {codes - 1}",
            got=f"{tokens.dtype} from {tokens.min().item()} to {tokens.max().item()}",
            hint="Use the first stage that the predictor was trained with.",
        )


def given(
    conditioning: Mapping[str, Tensor], name: str, width: int, dtype: torch.dtype, *, dims: tuple[int, ...]
) -> Tensor:
    """A condition whose channels are `width`: the last of 2 or 3 dimensions, the second of 4.

    Raises:
        GlidewireError: It is missing, or has other dimensions or another width.
    """
    value = conditioning.get(name)
    if value is None or value.ndim not in dims or value.shape[1 if value.ndim == 4 else -1] != width:
        raise GlidewireError(
            f"the condition {name!r} does not fit the network",
            expected=f"{width} channels, {' or '.join(map(str, dims))} dimensions",
            got="nothing" if value is None else tuple(value.shape),
        )
    return value.to(dtype)


class PaellaNetwork(nn.Module):
    """A network as the guidance expression evaluates it; what it says is a score of every token."""

    learned_variance = False

    def __init__(self, spec: object) -> None:
        super().__init__()
        self.content_digest: str | None = None  # set by a loader: the file's digest stands for the weights
        self.space = ""  # set by a loader: whose tokens these are
        self._spec = spec

    @property
    def prediction(self) -> Literal["eps", "logits"]:
        """What the output is."""
        return "logits"

    @property
    def channels(self) -> int:
        """Scores of a position: one for each code; 0 where there are no codes."""
        return getattr(self._spec, "codes", 0)

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return next(self.parameters()).dtype

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing of the condition can be computed ahead."""
        return conditioning

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self._spec, self.content_digest)
