"""Noise as a function of (seed, item, step, purpose): any picture of a batch can be made again alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import GlidewireError
from .identity import tensor_digest


class Noise(Protocol):
    """Where a sampler's standard normal noise comes from."""

    def __call__(self, step: int, like: Tensor, purpose: str = "step") -> Tensor:
        """Standard normal noise of the shape, dtype and device of `like` ("batch ...")."""
        ...

    def signature(self, step: int, purpose: str = "step") -> str:
        """Text that is equal only where the noise of this step is equal."""
        ...


def item_noise(shape: Sequence[int], seed: int, item: int, step: int, purpose: str = "step") -> Tensor:
    """Standard normal noise for one item of a batch at one step.

    Counter-based (Philox) under a 128-bit key taken from sha256(seed, item, step, purpose): drawing one never
    changes another. torch's own CPU generator keeps only 32 bits of its seed, too few for so many streams.

    Args:
        shape: Shape of one item, such as "channels height width".
        seed: The user's seed, any integer.
        item: Which item of the batch.
        step: Which step of the run.
        purpose: What the noise is for ("x_T", "step", "sdedit", ...).

    Returns:
        float32 on the CPU, of that shape.

    Source: Salmon et al. 2011 (Philox).
    """
    return torch.from_numpy(item_generator(seed, item, step, purpose).standard_normal(tuple(shape), dtype=np.float32))


def item_generator(seed: int, item: int, step: int, purpose: str) -> np.random.Generator:
    """The random numbers of one item of a batch at one step for one purpose; see `item_noise`."""
    key = hashlib.sha256(f"glidewire noise 1|{seed}|{item}|{step}|{purpose}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "little")))


@dataclass(frozen=True)
class SeededNoise:
    """Noise of its own for every item of a batch, whatever else is in the batch.

    Args:
        seeds: One seed per item.
        first_item: Item number of the first: SeededNoise((7, 7, 7)) and SeededNoise((7,), first_item=2) agree
            on the third picture.
    """

    seeds: tuple[int, ...]
    first_item: int = 0

    def __call__(self, step: int, like: Tensor, purpose: str = "step") -> Tensor:
        """Noise of the shape, dtype and device of `like` ("batch ...").

        Raises:
            GlidewireError: If the batch is not as long as the seeds.
        """
        if like.shape[0] != len(self.seeds):
            raise GlidewireError(
                "Noise: one seed is needed for each item of the batch",
                expected=f"a batch of {len(self.seeds)}",
                got=f"a batch of {like.shape[0]}",
            )
        return self.draw(tuple(like.shape[1:]), step, purpose).to(like.device, like.dtype)

    def draw(self, item_shape: Sequence[int], step: int = 0, purpose: str = "x_T") -> Tensor:
        """Noise for every item, "batch ...", float32 on the CPU; by default where a run starts from (x_T)."""
        items = enumerate(self.seeds, self.first_item)
        return torch.stack([item_noise(item_shape, seed, item, step, purpose) for item, seed in items])

    def signature(self, step: int, purpose: str = "step") -> str:
        """Text that is equal only where the noise of this step is equal."""
        return f"seeded({self.seeds},{self.first_item},{step},{purpose})"


@dataclass(frozen=True, eq=False)
class FixedNoise:
    """Noise that is given: one tensor per step, index 0 for the noisiest (for comparing with another sampler).

    Args:
        tensors: "batch ..." each.
    """

    tensors: Sequence[Tensor]

    def __call__(self, step: int, like: Tensor, purpose: str = "step") -> Tensor:
        """The given noise of this step, in the dtype and on the device of `like`.

        Raises:
            GlidewireError: If none was given for this step, or its shape is another.
        """
        if not 0 <= step < len(self.tensors):
            raise GlidewireError("Noise: none given for this step", expected=f"{len(self.tensors)} steps", got=step)
        given = self.tensors[step]
        if given.shape != like.shape:
            raise GlidewireError(f"Noise of step {step}: wrong shape", expected=list(like.shape), got=list(given.shape))
        return given.to(like.device, like.dtype)

    def signature(self, step: int, purpose: str = "step") -> str:
        """Text that is equal only where the noise of this step is equal."""
        return f"fixed({tensor_digest(self.tensors[step])})" if 0 <= step < len(self.tensors) else "fixed()"
