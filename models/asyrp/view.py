"""A view of any U-Net that adds directions to its bottleneck: one way down, a way up for each strength."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ...diffusion.denoiser import Observed
from ...errors import GlidewireError
from .. import halves
from ..shared_rows import mark, of_rows, shared
from .directions import DeltaBlocks, Directions

STRENGTHS = "h_strengths"
# Rows whose conditions but for the strengths are equal carry equal marks.
_MARK = "h_condition"


class BottleneckEdit:
    """A denoiser's eps with its bottleneck at h' = c_0 h + sum_i c_i delta_i(h, t).

    A `Network` for the guidance expression; the denoiser is not changed. Its conditioning is the denoiser's and
    `h_strengths` "batch 1+directions", the numbers c, as `strengths` makes it. Rows that ask for the same x_t,
    time and condition with different strengths, such as an edited and a plain prediction, share one way down.

    Args:
        base: The denoiser, or a view of one: a network that runs in two halves.
        directions: What is added, in this order.
        shows: Whether predictions carry what is added, sum_i c_i delta_i, as "delta_h".

    Raises:
        GlidewireError: There is no direction, or one is of another bottleneck.

    Source: Kwon et al. 2023, section 4.
    """

    def __init__(self, base: Any, directions: Sequence[Directions], *, shows: bool = False) -> None:
        if not directions:
            raise GlidewireError("an edit of the bottleneck needs at least one direction")
        channels, embedding_width = halves.bottleneck(base.unet)
        for number, direction in enumerate(directions, 1):
            if channels != direction.spec.channels:
                raise GlidewireError(
                    f"direction {number} is of another bottleneck than the denoiser's",
                    expected=f"{channels} channels",
                    got=direction.spec.channels,
                    hint="Take directions that were trained for this denoiser.",
                )
            if isinstance(direction, DeltaBlocks) and direction.spec.embedding_width != embedding_width:
                raise GlidewireError(
                    f"direction {number} is of another time embedding than the denoiser's",
                    expected=f"{embedding_width} channels",
                    got=direction.spec.embedding_width,
                    hint="Take directions that were trained for this denoiser.",
                )
        self.base, self.directions, self.shows = base, tuple(directions), shows

    @property
    def count(self) -> int:
        """How many directions there are, over all files."""
        return sum(direction.spec.directions for direction in self.directions)

    @property
    def prediction(self) -> Literal["eps", "x_0", "v"]:
        """What the output is."""
        return self.base.prediction

    @property
    def channels(self) -> int:
        """Channels of x_t."""
        return self.base.channels

    @property
    def space(self) -> str:
        """What x_t is."""
        return self.base.space

    @property
    def learned_variance(self) -> bool:
        """Whether the output carries variance channels."""
        return self.base.learned_variance

    def digest(self) -> str:
        """Content identity of the denoiser and of all directions."""
        parts = [self.base.digest(), *(direction.digest() for direction in self.directions)]
        return hashlib.sha256(" ".join(["bottleneck edit 1", *parts, *["shown"] * self.shows]).encode()).hexdigest()

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
        """The denoiser's own preparation, and a mark by which equal conditions are known."""
        others = {name: value for name, value in conditioning.items() if name != STRENGTHS}
        return {
            **self.base.prepare(others),
            **{name: conditioning[name] for name in (STRENGTHS,) if name in conditioning},
            _MARK: mark(conditioning, (STRENGTHS,)),
        }

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor | Observed:
        """One batched evaluation; see the denoiser's own.

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
        marks = conditioning.get(_MARK, torch.zeros_like(timesteps)[:, None]).expand(len(x_t), -1)
        others = {name: value for name, value in conditioning.items() if name not in (STRENGTHS, _MARK)}
        firsts, places = shared(x_t, timesteps, marks, c)
        encoded = self.base.way_down(x_t[firsts], timesteps[firsts], of_rows(others, firsts))
        spread = encoded.rows(places)
        added = torch.zeros_like(spread.h)
        if bool(c[:, 1:].any()):
            deltas = self.deltas(encoded.h, encoded.embedding, timesteps[firsts])
            for delta, strength in zip(deltas, c[:, 1:].T, strict=True):
                added = added + strength.to(added)[:, None, None, None] * delta[places]
        edited = c[:, 0].to(spread.h)[:, None, None, None] * spread.h + added
        output = self.base.way_up(spread, others, h=edited).to(x_t.dtype)
        return Observed(output, {"delta_h": added}) if self.shows else output

    def deltas(self, h: Tensor, embedding: Tensor, timesteps: Tensor) -> tuple[Tensor, ...]:
        """Every direction at h "batch channels height width", shaped as h."""
        return tuple(delta for direction in self.directions for delta in direction(h, embedding, timesteps))
