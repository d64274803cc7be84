"""A view of any U-Net that adds directions to its bottleneck: one way down, a way up for each strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...diffusion.denoiser import Observed
from ...errors import GlidewireError
from .. import halves
from ..additions import NOTHING, Additions
from ..halves import Encoded
from ..shared_rows import mark, of_rows, shared
from ..view import UnetView
from .directions import DeltaBlocks, Directions


class BottleneckEdit(UnetView):
    """A denoiser's eps with its bottleneck at h' = c_0 h + sum_i c_i delta_i(h, t).

    A `Network` for the guidance expression; the denoiser is not changed. Its conditioning is the denoiser's and
    `h.strengths` "batch 1+directions", the numbers c, as `strengths` makes it. Rows that ask for the same x_t,
    time and condition with different strengths, such as an edited and a plain prediction, share one way down,
    unless another view lies around it. An edit of an edited denoiser takes directions at h as well, and c_0 of h'.

    Args:
        base: The denoiser, or a view of one: a network that runs in two halves.
        directions: What is added, in this order.
        shows: Whether predictions carry what is added, sum_i c_i delta_i, as "delta_h".
        name: What its strengths are called by, before a dot.

    Raises:
        GlidewireError: There is no direction, one is of another bottleneck, or as `UnetView`.

    Source: Kwon et al. 2023, section 4.
    """

    def __init__(self, base: Any, directions: Sequence[Directions], *, shows: bool = False, name: str = "h") -> None:
        super().__init__(base, name)
        if not directions:
            raise GlidewireError("an edit of the bottleneck needs at least one direction")
        channels, embedding_width = halves.bottleneck(self.unet)
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
        self.directions, self.shows = tuple(directions), shows

    @property
    def count(self) -> int:
        """How many directions there are, over all files."""
        return sum(direction.spec.directions for direction in self.directions)

    def identity(self) -> str:
        """Text of all directions."""
        directions = " ".join(direction.digest() for direction in self.directions)
        return f"bottleneck edit {self.name} {directions}{' shown' if self.shows else ''}"

    def strengths(self, coefficients: Sequence[float] = (), *, of_h: float = 1.0) -> dict[str, Tensor]:
        """A conditioning: c_0 is `of_h`, c_i the coefficients; none of them is the plain denoiser.

        Raises:
            GlidewireError: There are more or fewer coefficients than directions.
        """
        if len(coefficients) not in (0, self.count):
            raise GlidewireError(
                "strengths do not fit the directions", expected=f"{self.count} numbers", got=len(coefficients)
            )
        return {f"{self.name}.strengths": torch.tensor([[of_h, *(coefficients or [0.0] * self.count)]])}

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The denoiser's own preparation, which knows nothing of this edit's strengths, and what this edit adds."""
        own = {name: value for name, value in conditioning.items() if name == f"{self.name}.strengths"}
        others = {name: value for name, value in conditioning.items() if name not in own}
        return {**self.base.prepare(others), **own, **self.prepared(conditioning)}

    def prepared_names(self) -> Set[str]:
        """A mark by which equal conditions are known."""
        return {f"{self.name}.condition"}

    def prepared(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """That mark: of all but this edit's strengths."""
        return {f"{self.name}.condition": mark(conditioning, (f"{self.name}.strengths",))}

    def __call__(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Tensor | Observed:  # pyrefly: ignore
        """One batched evaluation; see the denoiser's own.

        Raises:
            GlidewireError: The strengths are missing or do not fit the batch or the directions.
        """
        conditioning = self.ready(conditioning)
        encoded, added = self._edited(x_t, timesteps, conditioning, additions)
        output = self.way_up(encoded, conditioning, additions).to(x_t.dtype)
        return Observed(output, {"delta_h": added}) if self.shows else output

    def way_down(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Encoded:
        """The way down and the middle, with what stands in its place; raises as a call does."""
        return self._edited(x_t, timesteps, conditioning, additions)[0]

    def _edited(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions
    ) -> tuple[Encoded, Tensor]:
        """The way down with what stands in its place, and what this edit added to that."""
        c = self._coefficients(conditioning, len(x_t))
        kept = places = torch.arange(len(x_t), device=x_t.device)
        # What outer views add is of single rows, so that none can be shared.
        if not (additions.attention or additions.residuals):
            marks = conditioning[f"{self.name}.condition"].expand(len(x_t), -1)
            kept, places = shared(x_t, timesteps, marks, c)
        encoded = self.base.way_down(x_t[kept], timesteps[kept], of_rows(conditioning, kept), additions)
        spread = encoded.rows(places)
        added = torch.zeros_like(spread.h)
        if bool(c[:, 1:].any()):
            deltas = self.deltas(encoded.h, encoded.embedding, timesteps[kept])
            for delta, strength in zip(deltas, c[:, 1:].T, strict=True):
                added = added + strength.to(added)[:, None, None, None] * delta[places]
        middle = c[:, 0].to(spread.h)[:, None, None, None] * spread.standing + added
        return replace(spread, middle=middle), added

    def _coefficients(self, conditioning: Mapping[str, Tensor], count: int) -> Tensor:
        name = f"{self.name}.strengths"
        c = conditioning.get(name)
        if c is None or c.ndim != 2 or c.shape[0] not in (1, count) or c.shape[1] != 1 + self.count:
            raise GlidewireError(
                f"an edit's condition {name!r} does not fit",
                expected=f"{count} x {1 + self.count} numbers",
                got="nothing" if c is None else tuple(c.shape),
            )
        return c.expand(count, -1)

    def deltas(self, h: Tensor, embedding: Tensor, timesteps: Tensor) -> tuple[Tensor, ...]:
        """Every direction at h "batch channels height width", shaped as h."""
        return tuple(delta for direction in self.directions for delta in direction(h, embedding, timesteps))
