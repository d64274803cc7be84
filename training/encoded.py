"""What frozen networks make of a pool, kept on disk, so that recipes over latents encode each picture once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from .batches import pictures
from .pool import Pool

_BATCH = 100


def encoded(pool: Pool, folder: Path, digest: str, encode: Callable[[Tensor], Tensor]) -> NDArray[np.generic]:
    """What a network makes of every picture of a pool, computed if it is not there.

    Args:
        pool: The pictures.
        folder: Where the result is kept between runs.
        digest: Content identity of the network: another network's result is another file.
        encode: Pictures "batch 3 height width" in [-1, 1] to "batch ..."; floats are kept as float16, ids as int16.

    Returns:
        "scenes ...", mapped from disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = hashlib.sha256(f"{digest} {pool.pictures.shape} {_fingerprint(pool)}".encode()).hexdigest()
    path = folder / f"encoded-{whole[:16]}.npy"
    if not path.is_file():
        parts = []
        with torch.no_grad():
            for first in track(range(0, len(pool), _BATCH), description="Encoding scenes"):
                found = encode(pictures(pool, np.arange(first, min(first + _BATCH, len(pool)))))
                parts.append(found.cpu().to(torch.float16 if found.is_floating_point() else torch.int16).numpy())
        unfinished = path.with_suffix(".partial")
        with unfinished.open("wb") as file:
            np.save(file, np.concatenate(parts))
        unfinished.replace(path)
    return np.load(path, mmap_mode="r")


def rows(values: NDArray[np.generic], chosen: NDArray[np.int64]) -> Tensor:
    """Rows of an encoded pool, float32 or int64."""
    found = torch.from_numpy(np.ascontiguousarray(values[chosen]))
    return found.float() if found.is_floating_point() else found.long()


def _fingerprint(pool: Pool) -> str:
    """A digest of a few pictures that tells pools apart."""
    few = pool.pictures[:: max(1, len(pool) // 64)]
    return hashlib.sha256(np.ascontiguousarray(few).tobytes()).hexdigest()
