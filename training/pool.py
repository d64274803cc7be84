"""A pool of rendered training scenes on disk, so that a recipe reads pictures instead of casting rays."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from ..scenes import Scene, render, sample_scene

_CHUNK = 500


@dataclass(frozen=True)
class Pool:
    """Training scenes 0 ... count - 1 (the seed is the index) and their pictures, uint8 [count size size 3]."""

    scenes: list[Scene]
    pictures: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.scenes)

    @cached_property
    def _by_count(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        paired = np.array([len(scene.solids) == 2 for scene in self.scenes])
        return np.flatnonzero(~paired), np.flatnonzero(paired)

    def choose(self, rng: np.random.Generator, count: int, pairs: float) -> NDArray[np.int64]:
        """Indices of `count` scenes, each of two solids with the chance `pairs` and else of one."""
        singles, paired = self._by_count
        if not len(singles) or not len(paired):
            return rng.integers(len(self), size=count)
        of_two = rng.random(count) < pairs
        return np.where(
            of_two, paired[rng.integers(len(paired), size=count)], singles[rng.integers(len(singles), size=count)]
        )


def _render_chunk(first: int, count: int, size: int, tints: float) -> NDArray[np.uint8]:
    return np.stack([render(sample_scene(seed, tints=tints), size) for seed in range(first, first + count)])


def open_pool(folder: Path, count: int, size: int, *, tints: float = 0.0, workers: int = 1) -> Pool:
    """Open the pool of `count` training scenes at `size` pixels, rendering it first if it is not there.

    Args:
        folder: Where the pictures are kept between runs; made if missing.
        count: Number of scenes.
        size: Side of the pictures in pixels.
        tints: Chance that a solid has a colour between the named ones.
        workers: Processes to render with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"scenes-{size}px-{count}{f'-{tints:g}' if tints else ''}.npy"
    if not path.is_file():
        firsts = range(0, count, _CHUNK)
        counts = [min(_CHUNK, count - first) for first in firsts]
        with ProcessPoolExecutor(max_workers=workers) as processes:
            chunks = processes.map(_render_chunk, firsts, counts, [size] * len(counts), [tints] * len(counts))
            pictures = np.concatenate(list(track(chunks, description="Rendering scenes", total=len(counts))))
        unfinished = path.with_suffix(".partial")
        with unfinished.open("wb") as file:
            np.save(file, pictures)
        unfinished.replace(path)
    return Pool([sample_scene(seed, tints=tints) for seed in range(count)], np.load(path, mmap_mode="r"))
