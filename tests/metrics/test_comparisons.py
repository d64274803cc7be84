"""Pairs of figures: their mean difference, and how sure it is."""

from __future__ import annotations

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.metrics.comparisons import paired_difference
from hypothesis import given
from hypothesis import strategies as st

FIGURES = st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=2, max_size=20)


@given(FIGURES)
def test_it_is_the_mean_and_its_standard_error(pairs: list[tuple[float, float]]) -> None:
    first, second = zip(*pairs, strict=True)
    differences = torch.tensor(first, dtype=torch.float64) - torch.tensor(second, dtype=torch.float64)
    mean, error = paired_difference(first, second)
    assert mean == pytest.approx(differences.mean().item(), abs=1e-9)
    assert error == pytest.approx(differences.std().item() / len(pairs) ** 0.5, abs=1e-9)
    backwards = paired_difference(second, first)
    assert backwards == (pytest.approx(-mean), pytest.approx(error))


def test_a_constant_difference_is_sure() -> None:
    assert paired_difference([1.0, 2.0, 5.0], [0.5, 1.5, 4.5]) == (0.5, 0.0)


def test_lists_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(GlidewireError, match="pairs need lists of one length"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(GlidewireError, match="needs two pairs or more"):
        paired_difference([1.0], [2.0])
