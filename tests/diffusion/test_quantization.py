"""Principal components and buckets: the golden numbers, their inverses, and what cannot be."""

from __future__ import annotations

import pytest
import torch
from glidewire.diffusion.quantization import PrincipalComponents, QuantileBuckets, UniformBuckets
from glidewire.errors import GlidewireError
from hypothesis import given
from hypothesis import strategies as st


def distance_to_edge(buckets: UniformBuckets, values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """In widths of a bucket, where the range's ends are no edges."""
    inside = (values - buckets.low) / buckets.width - index
    below = torch.where(index == 0, 1.0, inside)
    above = torch.where(index == buckets.count - 1, 1.0, 1 - inside)
    return torch.minimum(below, above)


def test_the_golden_codes(parity) -> None:
    case = parity("unclip_ar_prior")
    vectors, config = case.inputs["embeddings"], case.config
    components = PrincipalComponents.fit(vectors, config["kept"])
    case.assert_close("mean", components.mean)
    case.assert_close("eigenvalues", components.eigenvalues)
    case.assert_close("basis", components.basis)
    assert components.explained == pytest.approx(config["explained_variance"])
    coordinates = components.coordinates(vectors)
    case.assert_close("coordinates", coordinates)
    buckets = UniformBuckets.fit(coordinates, config["buckets"])
    case.assert_close("lo", buckets.low)
    case.assert_close("hi", buckets.high)
    index = buckets.index(coordinates)
    case.assert_close("indices", index)
    case.assert_close("distance_to_bucket_edge", distance_to_edge(buckets, coordinates, index))
    case.assert_close("coordinates_quantised", buckets.value(index))
    case.assert_close("reconstruction_pca_only", components.reconstruct(coordinates))
    restored = components.reconstruct(buckets.value(index))
    case.assert_close("reconstruction", restored)
    assert (restored - vectors).square().mean().item() == pytest.approx(config["mse_total"])
    new = buckets.index(components.coordinates(case.inputs["new_embeddings"]))
    case.assert_close("new_indices", new)
    case.assert_close("new_reconstruction", components.reconstruct(buckets.value(new)))


@pytest.mark.parametrize("mistake", ["rising", "sign", "edge"])
def test_other_rules_would_be_caught(mistake: str, parity) -> None:
    case = parity("unclip_ar_prior")
    vectors = case.inputs["embeddings"]
    components = PrincipalComponents.fit(vectors, case.config["kept"])
    buckets = UniformBuckets.fit(components.coordinates(vectors), case.config["buckets"])
    with pytest.raises(AssertionError):
        if mistake == "rising":
            case.assert_close("eigenvalues", components.eigenvalues.flip(0))
        elif mistake == "sign":
            case.assert_close("basis", -components.basis)
        else:
            lower = buckets.low + buckets.index(components.coordinates(vectors)) * buckets.width
            case.assert_close("coordinates_quantised", lower)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 40))
def test_a_value_is_never_farther_than_half_a_bucket(seed: int, count: int) -> None:
    values = torch.randn(12, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    buckets = UniformBuckets.fit(values, count)
    index = buckets.index(values)
    assert ((buckets.value(index) - values).abs() <= buckets.width * (0.5 + 1e-9)).all()
    assert torch.equal(buckets.index(buckets.value(index)), index)
    # The order of values is the order of buckets.
    assert (index.gather(0, values.argsort(dim=0)).diff(dim=0) >= 0).all()


@given(values=st.lists(st.integers(-50, 50), min_size=8, max_size=40, unique=True), count=st.integers(2, 8))
def test_buckets_of_equal_mass_are_equally_full(values: list[int], count: int) -> None:
    numbers = torch.tensor(values, dtype=torch.float32)
    buckets = QuantileBuckets.fit(numbers, count)
    filled = torch.bincount(buckets.index(numbers), minlength=count)
    assert buckets.count == count == len(filled)
    assert filled.max() - filled.min() <= 1


def test_all_components_restore_everything_and_a_flat_dimension_stays() -> None:
    vectors = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    vectors[:, 2] = 7
    components = PrincipalComponents.fit(vectors, 4)
    torch.testing.assert_close(components.reconstruct(components.coordinates(vectors)), vectors.double())
    assert components.explained == pytest.approx(1)
    buckets = UniformBuckets.fit(vectors, 5)
    assert torch.equal(buckets.value(buckets.index(vectors))[:, 2], vectors[:, 2])


def test_what_cannot_be_is_told() -> None:
    vectors = torch.zeros(3, 2)
    with pytest.raises(GlidewireError, match="impossible number to keep; expected 1 to 2; got 3"):
        PrincipalComponents.fit(vectors, 3)
    with pytest.raises(GlidewireError, match=r"the vectors do not fit; .* with values that are not finite"):
        PrincipalComponents.fit(vectors / 0, 1)
    components = PrincipalComponents.fit(torch.eye(3), 2)
    for call in (components.coordinates, components.reconstruct):
        with pytest.raises(GlidewireError, match=r"the vectors do not fit; expected .* got \[1, 9\]"):
            call(torch.zeros(1, 9))
    with pytest.raises(GlidewireError, match="buckets: impossible number; expected at least 1; got 0"):
        UniformBuckets.fit(vectors, 0)
    buckets = UniformBuckets.fit(vectors, 4)
    with pytest.raises(GlidewireError, match=r"the vectors do not fit; expected .* got \[3\]"):
        buckets.index(torch.zeros(3))
    for index in (-1, 4):
        with pytest.raises(GlidewireError, match="there is no such bucket; expected 0 to 3"):
            buckets.value(torch.full((1, 2), index))
    for count in (1, 4):
        with pytest.raises(GlidewireError, match=r"quantile buckets: impossible number; expected 2 to .*, 3; got"):
            QuantileBuckets.fit(torch.arange(3.0), count)
