"""A view of a pixel denoiser that adds directions to its bottleneck: one way down, a way up for each strength."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from ...errors import GlidewireError
from .directions import DeltaBlocks, Directions
from .network import PixelDenoiser

STRENGTHS = "h_strengths"


class BottleneckEdit:
    """A denoiser's eps with its bottleneck at h' = c_0 h + sum_i c_i delta_i(h, t).

    A `Network` for the guidance expression; the denoiser is not changed. Its conditioning is `h_strengths`
    "batch 1+directions", the numbers c, as `strengths` makes it. Rows that ask for the same x_t and time with
    different strengths, such as an edited and a plain prediction, share one way down.

    Args:
        base: The denoiser.
        directions: What is added, in this order.

    Raises:
        GlidewireError: There is no direction, or one is of another bottleneck.

    Source: Kwon et al. 2023, section 4.
    """

    def __init__(self, base: PixelDenoiser, directions: Sequence[Directions]) -> None:
        if not directions:
            raise GlidewireError("an edit of the bottleneck needs at least one direction")
        for number, direction in enumerate(directions, 1):
            ours, theirs = base.spec.widths[-1], direction.spec.channels
            if ours != theirs:
                raise GlidewireError(
                    f"direction {number} is of another bottleneck than the denoiser's",
                    expected=f"{ours} channels",
                    got=theirs,
                )
            if isinstance(direction, DeltaBlocks) and direction.spec.embedding_width != base.spec.embedding_width:
                raise GlidewireError(
                    f"direction {number} is of another time embedding than the denoiser's",
                    expected=f"{base.spec.embedding_width} channels",
                    got=direction.spec.embedding_width,
                )
        self.base, self.directions = base, tuple(directions)

    @property
    def count(self) -> int:
        """How many directions there are, over all files."""
        return sum(direction.spec.directions for direction in self.directions)

    @property
    def prediction(self) -> Literal["eps", "x_0", "v"]:
        """What the output is."""
        return self.base.prediction

    @property
    def learned_variance(self) -> bool:
        """Whether the output carries variance channels."""
        return self.base.learned_variance

    def digest(self) -> str:
        """Content identity of the denoiser and of all directions."""
        parts = [self.base.digest(), *(direction.digest() for direction in self.directions)]
        return hashlib.sha256(" ".join(["bottleneck edit 1", *parts]).encode()).hexdigest()

    def strengths(self, coefficients: Sequence[float] = (), *, of_h: float = 1.0) -> dict[str, Tensor]:
        """A conditioning: c_0 is `of_h`, c_i the coefficients; none of them is the plain denoiser.

        Raises:
            GlidewireError: There are more or fewer coefficients than directions.
        """
        if len(coefficients) not in (0, self.count):
            raise GlidewireError(
                "strengths do not fit the directions", expected=f"{self.count} numbers", got=len(coefficients)
            )
        return {STRENGTHS: torch.tensor([[of_h, *(coefficients or [0.0] * self.count)]])}

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing can be computed ahead."""
        return conditioning

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """One batched evaluation; see `PixelDenoiser.forward`.

        Raises:
            GlidewireError: The strengths are missing or do not fit the batch or the directions.
        """
        c = conditioning.get(STRENGTHS)
        if c is None or c.ndim != 2 or c.shape[0] not in (1, len(x_t)) or c.shape[1] != 1 + self.count:
            raise GlidewireError(
                f"an edit's condition {STRENGTHS!r} does not fit",
                expected=f"{len(x_t)} x {1 + self.count} numbers",
                got="nothing" if c is None else tuple(c.shape),
            )
        c = c.expand(len(x_t), -1)
        times = _repetitions(x_t, timesteps, c)
        rows = len(x_t) // times
        encoded = self.base.encode(x_t[:rows], timesteps[:rows])
        edited = c[:, 0].to(encoded.h)[:, None, None, None] * torch.cat([encoded.h] * times)
        if bool(c[:, 1:].any()):
            deltas = self.deltas(encoded.h, encoded.embedding, timesteps[:rows])
            for delta, strength in zip(deltas, c[:, 1:].T, strict=True):
                edited = edited + strength.to(edited)[:, None, None, None] * torch.cat([delta] * times)
        return self.base.decode(encoded.repeated(times), edited).to(x_t.dtype)

    def deltas(self, h: Tensor, embedding: Tensor, timesteps: Tensor) -> tuple[Tensor, ...]:
        """Every direction at h "batch channels height width", shaped as h."""
        return tuple(delta for direction in self.directions for delta in direction(h, embedding, timesteps))


def _repetitions(x_t: Tensor, timesteps: Tensor, strengths: Tensor) -> int:
    """How often the batch holds the same pictures and times, one run of equal strengths after another."""
    times = 1 + int((strengths[1:] != strengths[:-1]).any(dim=1).sum())
    if times == 1 or len(x_t) % times:
        return 1
    pictures, clocks = x_t.unflatten(0, (times, -1)), timesteps.unflatten(0, (times, -1))
    same = bool((pictures == pictures[:1]).all()) and bool((clocks == clocks[:1]).all())
    return times if same else 1
