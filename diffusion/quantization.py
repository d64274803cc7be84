"""Embeddings as short sequences of codes: principal components, buckets of equal width, buckets of equal mass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import GlidewireError


def _require_rows(name: str, rows: Tensor, width: int | None = None) -> None:
    fits = rows.ndim == 2 and len(rows) > 0 and width in (None, rows.shape[1])
    if not fits or not bool(rows.isfinite().all()):
        raise GlidewireError(
            f"{name}: the vectors do not fit",
            expected=f"finite numbers, vectors x {width or 'width'}",
            got=f"{list(rows.shape)}" + ("" if bool(rows.isfinite().all()) else " with values that are not finite"),
        )


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """The directions in which vectors differ most: z = (x - mean) basis, x' = mean + z basis^T.

    Attributes:
        mean: "width".
        basis: Orthonormal columns in the order of falling variance, "width kept".
        eigenvalues: Variance along every direction, falling, "width".

    Source: Pearson 1901; of CLIP's embeddings, Ramesh et al. 2022, sec. 2.2 (319 of 1024 lose less than 1 %).
    """

    mean: Tensor
    basis: Tensor
    eigenvalues: Tensor

    @classmethod
    def fit(cls, vectors: Tensor, kept: int) -> PrincipalComponents:
        """The components of some vectors, in float64.

        The covariance is divided by the number of vectors; each column's entry of largest magnitude is positive.

        Args:
            vectors: "vectors width".
            kept: Columns to keep.

        Raises:
            GlidewireError: The vectors are not finite, or more columns are to be kept than there are.
        """
        _require_rows("principal components", vectors)
        if not 1 <= kept <= vectors.shape[1]:
            raise GlidewireError(
                "principal components: impossible number to keep", expected=f"1 to {vectors.shape[1]}", got=kept
            )
        rows = vectors.double()
        mean = rows.mean(dim=0)
        centred = rows - mean
        rising, columns = torch.linalg.eigh(centred.mT @ centred / len(rows))
        columns = columns.flip(1)
        largest = columns.gather(0, columns.abs().argmax(dim=0, keepdim=True))
        return cls(mean, (columns * largest.sign())[:, :kept], rising.flip(0))

    @property
    def explained(self) -> float:
        """Share of the variance that lies in the kept columns."""
        return (self.eigenvalues[: self.basis.shape[1]].sum() / self.eigenvalues.sum()).item()

    def coordinates(self, vectors: Tensor) -> Tensor:
        """z "vectors kept" of x "vectors width"; raises GlidewireError if the width differs."""
        _require_rows("principal components", vectors, len(self.mean))
        return (vectors.to(self.mean) - self.mean) @ self.basis

    def reconstruct(self, coordinates: Tensor) -> Tensor:
        """x' "vectors width" of z "vectors kept"; raises GlidewireError if the width differs."""
        _require_rows("principal components", coordinates, self.basis.shape[1])
        return self.mean + coordinates.to(self.mean) @ self.basis.mT


@dataclass(frozen=True, eq=False)
class UniformBuckets:
    """Each dimension's range in buckets of equal width: index = floor((z - low) / width), value = its middle.

    Attributes:
        low: Lower end of each dimension's range, "dimensions".
        high: Upper end, "dimensions".
        count: Buckets of a dimension.

    The paper says only that there are 1024 buckets: equal widths are our choice (Ramesh et al. 2022, sec. 2.2).
    """

    low: Tensor
    high: Tensor
    count: int

    @classmethod
    def fit(cls, values: Tensor, count: int) -> UniformBuckets:
        """Buckets between the least and the largest of "vectors dimensions"; raises GlidewireError on none."""
        _require_rows("buckets", values)
        if count < 1:
            raise GlidewireError("buckets: impossible number", expected="at least 1", got=count)
        return cls(values.amin(dim=0), values.amax(dim=0), count)

    @property
    def width(self) -> Tensor:
        """Width of a bucket, "dimensions"."""
        return (self.high - self.low) / self.count

    def index(self, values: Tensor) -> Tensor:
        """Bucket of each value, "vectors dimensions" int64; values outside of the range go to its ends."""
        _require_rows("buckets", values, len(self.low))
        width = self.width
        place = ((values.to(self.low) - self.low) / torch.where(width > 0, width, 1)).floor()
        return place.clamp(0, self.count - 1).long()

    def value(self, index: Tensor) -> Tensor:
        """Middle of each bucket, "vectors dimensions".

        Raises:
            GlidewireError: An index that is no bucket's.
        """
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < self.count:
            raise GlidewireError(
                "buckets: there is no such bucket",
                expected=f"0 to {self.count - 1}",
                got=f"{int(index.min())} to {int(index.max())}",
            )
        return self.low + (index.to(self.low.dtype) + 0.5) * self.width


@dataclass(frozen=True, eq=False)
class QuantileBuckets:
    """Numbers in buckets that are equally full: index = how many edges are at most the number.

    Attributes:
        edges: Between the buckets, rising, "buckets-1".
    """

    edges: Tensor

    @classmethod
    def fit(cls, values: Tensor, count: int) -> QuantileBuckets:
        """Edges at the quantiles 1/count, 2/count, ... of "values".

        Raises:
            GlidewireError: Fewer than 2 buckets, or fewer values than buckets.
        """
        if values.ndim != 1 or not 2 <= count <= len(values):
            raise GlidewireError(
                "quantile buckets: impossible number",
                expected=f"2 to the number of values, {values.numel()}",
                got=count,
            )
        # Not torch.quantile, which takes no more than 16 million values.
        ordered = values.double().sort().values
        return cls(ordered[[len(ordered) * edge // count for edge in range(1, count)]])

    @property
    def count(self) -> int:
        """Number of buckets."""
        return len(self.edges) + 1

    def index(self, values: Tensor) -> Tensor:
        """Bucket of each number, int64, shaped as `values`."""
        return torch.bucketize(values.to(self.edges), self.edges, right=True)
