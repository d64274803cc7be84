"""Random numbers for runs over tokens, as functions of (seed, item, step, purpose)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import GlidewireError
from .identity import tensors_digest
from .noise import item_generator


class TokenNoise(Protocol):
    """Where a token sampler's random numbers come from."""

    def gumbel(self, step: int, like: Tensor, purpose: str = "token") -> Tensor:
        """Gumbel noise g = -log(-log u), float32 of the shape and on the device of `like` ("batch ...")."""
        ...

    def uniform(self, step: int, like: Tensor, purpose: str = "where") -> Tensor:
        """Uniform numbers in [0, 1), float32 of the shape and on the device of `like` ("batch ...")."""
        ...

    def tokens(self, step: int, like: Tensor, codes: int, purpose: str = "fresh") -> Tensor:
        """Uniform tokens below `codes`, int64 of the shape and on the device of `like` ("batch ...")."""
        ...

    def signature(self, step: int) -> str:
        """Text that is equal only where all random numbers of this step are equal."""
        ...


def gumbel_of(uniform: Tensor, floor: float = 0.0) -> Tensor:
    """g = -log(-log(u + floor) + floor): Gumbel noise of uniform numbers, in their shape and dtype.

    Source: Gumbel 1954; Jang et al. 2017, eq. 1. Published code adds a floor of 1e-20.
    """
    return -torch.log(-torch.log(uniform + floor) + floor)


@dataclass(frozen=True)
class SeededTokenNoise:
    """Random numbers of its own for every item of a batch, whatever else is in the batch.

    Args:
        seeds: One seed per item.
        first_item: Item number of the first.
    """

    seeds: tuple[int, ...]
    first_item: int = 0

    def gumbel(self, step: int, like: Tensor, purpose: str = "token") -> Tensor:
        """See `TokenNoise.gumbel`; raises GlidewireError if the batch is not as long as the seeds."""
        return gumbel_of(self.uniform(step, like, purpose))

    def uniform(self, step: int, like: Tensor, purpose: str = "where") -> Tensor:
        """See `TokenNoise.uniform`; raises GlidewireError if the batch is not as long as the seeds."""
        return self._draw(lambda generator, shape: generator.random(shape, dtype=np.float32), step, like, purpose)

    def tokens(self, step: int, like: Tensor, codes: int, purpose: str = "fresh") -> Tensor:
        """See `TokenNoise.tokens`; raises GlidewireError if the batch is not as long as the seeds."""
        return self._draw(lambda generator, shape: generator.integers(codes, size=shape), step, like, purpose)

    def signature(self, step: int) -> str:
        """Text that is equal only where all random numbers of this step are equal."""
        return f"seeded tokens({self.seeds},{self.first_item},{step})"

    def start(self, shape: Sequence[int], codes: int) -> Tensor:
        """Where a run starts from: uniform tokens, int64 "batch ..." for one item's shape, such as "height width"."""
        like = torch.empty(len(self.seeds), *shape, dtype=torch.long)
        return self.tokens(0, like, codes, "x_T")

    def _draw(
        self,
        draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray],
        step: int,
        like: Tensor,
        purpose: str,
    ) -> Tensor:
        if like.shape[0] != len(self.seeds):
            raise GlidewireError(
                "Token noise: one seed is needed for each item of the batch",
                expected=f"a batch of {len(self.seeds)}",
                got=f"a batch of {like.shape[0]}",
            )
        shape = tuple(like.shape[1:])
        drawn = [
            torch.from_numpy(draw(item_generator(seed, item, step, purpose), shape))
            for item, seed in enumerate(self.seeds, self.first_item)
        ]
        return torch.stack(drawn).to(like.device)


@dataclass(frozen=True, eq=False)
class FixedTokenNoise:
    """Random numbers that are given, one tensor per step (for comparing with another sampler).

    Args:
        gumbels: Gumbel noise by purpose: the shape asked for, or anything that can be viewed in it.
        uniforms: Uniform numbers by purpose.
        fresh: Tokens by purpose.
    """

    gumbels: dict[str, Sequence[Tensor]] = field(default_factory=dict)
    uniforms: dict[str, Sequence[Tensor]] = field(default_factory=dict)
    fresh: dict[str, Sequence[Tensor]] = field(default_factory=dict)

    def gumbel(self, step: int, like: Tensor, purpose: str = "token") -> Tensor:
        """The given noise of this step; raises GlidewireError if there is none that fits."""
        return _given(self.gumbels, step, like, purpose)

    def uniform(self, step: int, like: Tensor, purpose: str = "where") -> Tensor:
        """The given numbers of this step; raises GlidewireError if there are none that fit."""
        return _given(self.uniforms, step, like, purpose)

    def tokens(self, step: int, like: Tensor, codes: int, purpose: str = "fresh") -> Tensor:
        """The given tokens of this step; raises GlidewireError if there are none that fit."""
        return _given(self.fresh, step, like, purpose).long()

    def signature(self, step: int) -> str:
        """Text that is equal only where all random numbers of this step are equal."""
        kinds = {"gumbel": self.gumbels, "uniform": self.uniforms, "tokens": self.fresh}
        drawn = {
            f"{kind} {purpose}": steps[step]
            for kind, given in kinds.items()
            for purpose, steps in given.items()
            if step < len(steps)
        }
        return f"fixed tokens({tensors_digest(drawn)})"


def _given(tensors: dict[str, Sequence[Tensor]], step: int, like: Tensor, purpose: str) -> Tensor:
    steps = tensors.get(purpose, ())
    if not 0 <= step < len(steps):
        raise GlidewireError(
            f"Token noise {purpose!r}: none given for this step", expected=f"one of {len(steps)} steps", got=step
        )
    if steps[step].numel() != like.numel():
        raise GlidewireError(
            f"Token noise {purpose!r} of step {step}: wrong shape",
            expected=list(like.shape),
            got=list(steps[step].shape),
        )
    return steps[step].reshape(like.shape).to(like.device)
