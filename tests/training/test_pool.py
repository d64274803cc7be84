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


def test_tinted_pictures_are_a_pool_of_their_own(tmp_path: Path) -> None:
    plain, tinted = open_pool(tmp_path, 8, 16), open_pool(tmp_path, 8, 16, tints=1.0)
    assert tinted.scenes[3] == sample_scene(3, tints=1.0)
    assert np.array_equal(tinted.pictures[3], render(sample_scene(3, tints=1.0), 16))
    assert not np.array_equal(tinted.pictures, plain.pictures)


def test_pairs_are_chosen_as_often_as_asked(tmp_path: Path) -> None:
    pool = open_pool(tmp_path, 40, 8)
    chosen = pool.choose(np.random.default_rng(0), 2000, 0.8)
    assert 0.77 < np.mean([len(pool.scenes[index].solids) == 2 for index in chosen]) < 0.83
    assert len(np.unique(chosen)) > 35
