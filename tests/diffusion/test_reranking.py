"""Reranking keeps the nearest direction, whatever its length."""

from __future__ import annotations

import pytest
import torch
from glidewire.diffusion.reranking import best_by_similarity
from glidewire.errors import GlidewireError


def test_direction_decides_and_length_does_not() -> None:
    candidates = torch.tensor([[[9.0, 9.0], [0.0, 0.1]], [[5.0, 0.0], [0.1, 0.1]]])
    index, similarities = best_by_similarity(candidates, torch.tensor([[0.0, 2.0]]))
    assert index.tolist() == [1, 1]
    torch.testing.assert_close(similarities, torch.tensor([[0.5**0.5, 1.0], [0.0, 0.5**0.5]]))
    index, _ = best_by_similarity(candidates, torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    assert index.tolist() == [0, 0]


@pytest.mark.parametrize("target", [torch.zeros(1, 3), torch.zeros(2), torch.zeros(3, 2)])
def test_shapes_that_do_not_fit_are_told(target: torch.Tensor) -> None:
    with pytest.raises(GlidewireError, match=r"do not fit together; .* got \[2, 1, 2\] and"):
        best_by_similarity(torch.ones(2, 1, 2), target)
