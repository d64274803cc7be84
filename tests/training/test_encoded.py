"""Encoded pools: computed once for each network, and read by rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from glidewire.training.encoded import encoded, rows
from glidewire.training.pool import Pool
from torch import Tensor


def test_a_pool_is_encoded_once_for_each_network(small_pool: Pool, tmp_path: Path) -> None:
    calls: list[int] = []

    def mean(pictures: Tensor) -> Tensor:
        calls.append(len(pictures))
        return pictures.mean(dim=(2, 3))

    first = encoded(small_pool, tmp_path, "one", mean)
    again = encoded(small_pool, tmp_path, "one", mean)
    other = encoded(small_pool, tmp_path, "another", lambda x: (mean(x) > 0).long())
    assert sum(calls) == 24 and np.array_equal(first, again)
    wanted = torch.from_numpy(small_pool.pictures[[7, 2]].astype(np.float32)).mean(dim=(1, 2)) / 127.5 - 1
    assert torch.allclose(rows(first, np.array([7, 2])), wanted, atol=2e-3)
    assert rows(other, np.array([7, 2])).dtype == torch.int64
