"""Rows of a batch that ask a network for the same: told by marks of their conditions, and computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor

from ..diffusion.identity import tensors_digest


def mark(conditioning: Mapping[str, Tensor], leaving_out: Collection[str]) -> Tensor:
    """A number by which equal conditions are known, int64 "1 1".

    Args:
        conditioning: A leaf's.
        leaving_out: Names of what may differ between rows that share.
    """
    others = {name: value for name, value in conditioning.items() if name not in leaving_out}
    number = int.from_bytes(hashlib.sha256(tensors_digest(others).encode()).digest()[:6])
    device = next((value.device for value in conditioning.values()), torch.device("cpu"))
    return torch.tensor([[number]], device=device)


def shared(x_t: Tensor, timesteps: Tensor, marks: Tensor, settings: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows need an evaluation of their own, and for each row of a batch the place of its own among them.

    The batch is one stretch of rows with equal marks and settings after another: the leaves of an expression.

    Args:
        x_t: "batch ...".
        timesteps: "batch".
        marks: Of the condition, "batch 1".
        settings: What tells neighbouring leaves of one condition apart, "batch numbers".

    Returns:
        Rows of the batch, int64 "kept", and places among them, int64 "batch".
    """
    firsts: list[tuple[int, int]] = []
    places: list[int] = []
    for start, end in _stretches(torch.cat([marks.double(), settings.double()], dim=1)):
        same = (first for first in firsts if _equal(first, (start, end), x_t, timesteps, marks))
        first = next(same, None)
        if first is None:
            firsts.append(first := (start, end))
        before = sum(stop - begin for begin, stop in firsts[: firsts.index(first)])
        places += range(before, before + end - start)
    kept = [row for start, end in firsts for row in range(start, end)]
    return torch.tensor(kept, device=x_t.device), torch.tensor(places, device=x_t.device)


def of_rows(conditioning: Mapping[str, Tensor], places: Tensor) -> dict[str, Tensor]:
    """Some rows of every condition; one that is the same for all rows stays as it is."""
    return {name: value if len(value) == 1 else value[places] for name, value in conditioning.items()}


def _stretches(rows: Tensor) -> Iterator[tuple[int, int]]:
    changes = (rows[1:] != rows[:-1]).any(dim=1).nonzero().flatten() + 1
    ends = [*changes.tolist(), len(rows)]
    yield from zip([0, *ends[:-1]], ends, strict=True)


def _equal(one: tuple[int, int], other: tuple[int, int], *tensors: Tensor) -> bool:
    return all(torch.equal(each[slice(*one)], each[slice(*other)]) for each in tensors)
