"""Distances of sets of embeddings against closed forms and by their own laws."""

from __future__ import annotations

import math

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.metrics.distributions import diversity, frechet_distance, precision_and_recall
from hypothesis import given, settings
from hypothesis import strategies as st


def cloud(count: int, width: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_the_frechet_distance_of_shifted_and_scaled_sets_has_a_closed_form() -> None:
    points = cloud(50)
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(points, points + 3) == pytest.approx(9 * 4, rel=1e-6)
    # Twice the deviation along every axis: tr(S + 4 S - 2 · 2 S) = tr(S).
    centred = (points - points.mean(dim=0)).double()
    trace = (centred.square().sum() / 49).item()
    assert frechet_distance(centred, 2 * centred) == pytest.approx(trace, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 1000))
def test_the_frechet_distance_is_symmetric_and_not_negative(first: int, second: int, seed: int) -> None:
    a, b = cloud(first, seed=seed), cloud(second, seed=seed + 1)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-5, abs=1e-7)
    assert frechet_distance(a, b) >= 0


def test_precision_and_recall_tell_fidelity_from_coverage() -> None:
    real = torch.cat([cloud(20), cloud(20, seed=1) + 100])
    assert precision_and_recall(real, real) == (1, 1)
    one_mode = cloud(20, seed=2) * 0.1 + real[:20].mean(dim=0)
    precision, recall = precision_and_recall(real, one_mode)
    assert precision == 1
    assert recall <= 0.5
    assert precision_and_recall(real, real + 1000) == (0, 0)


def test_diversity_is_0_for_one_direction_and_above_1_for_opposite_ones() -> None:
    direction = torch.tensor([[1.0, 2.0, 3.0]])
    assert diversity(torch.cat([direction, 5 * direction])) == pytest.approx(0, abs=1e-12)
    assert diversity(torch.eye(3)) == pytest.approx(1)
    assert diversity(torch.cat([direction, -direction])) == pytest.approx(2)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(
        GlidewireError, match="Fréchet distance: the embeddings do not fit; expected sets of at least 2"
    ):
        frechet_distance(cloud(1), cloud(5))
    with pytest.raises(GlidewireError, match="of one width; got 5 x 4 and 5 x 3"):
        frechet_distance(cloud(5), cloud(5, 3))
    with pytest.raises(GlidewireError, match="sets of at least 4"):
        precision_and_recall(cloud(3), cloud(9))
    with pytest.raises(GlidewireError, match="impossible neighbours"):
        precision_and_recall(cloud(3), cloud(9), 0)
    with pytest.raises(GlidewireError, match="diversity: an embedding is not finite"):
        diversity(cloud(3) * math.inf)
