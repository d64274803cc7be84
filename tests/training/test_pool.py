"""The pool of rendered scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from glidewire.scenes import render, sample_scene
from glidewire.training.pool import open_pool


def test_pictures_are_those_of_their_seeds_and_are_kept(tmp_path: Path) -> None:
    pool = open_pool(tmp_path, 5, 16)
    assert len(pool) == 5 and pool.pictures.shape == (5, 16, 16, 3)
    assert pool.scenes[3] == sample_scene(3)
    assert np.array_equal(pool.pictures[3], render(sample_scene(3), 16))
    (kept,) = tmp_path.iterdir()
    written = kept.stat().st_mtime_ns
    assert np.array_equal(open_pool(tmp_path, 5, 16).pictures, pool.pictures)
    assert kept.stat().st_mtime_ns == written
