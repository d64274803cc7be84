"""How far two sets of embeddings lie apart: Fréchet distance, precision and recall, diversity."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import GlidewireError


def _require(name: str, least: int, *sets: Tensor) -> None:
    widths = {rows.shape[-1] for rows in sets}
    if any(rows.ndim != 2 for rows in sets) or len(widths) != 1 or any(len(rows) < least for rows in sets):
        raise GlidewireError(
            f"{name}: the embeddings do not fit",
            expected=f"sets of at least {least}, of one width",
            got=" and ".join(" x ".join(map(str, rows.shape)) for rows in sets),
            hint="Give more pictures, embedded by one network.",
        )
    if not all(bool(rows.isfinite().all()) for rows in sets):
        raise GlidewireError(f"{name}: an embedding is not finite", expected="numbers", got="NaN or infinity")


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    mean = rows.mean(dim=0)
    centred = rows - mean
    return mean, centred.mT @ centred / (len(rows) - 1)


def _root(matrix: Tensor) -> Tensor:
    """The symmetric root of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.mT


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1^(1/2) S2 S1^(1/2))^(1/2)), of means m and covariances S.

    Args:
        first: "items width", two or more; far more items than width make it reliable.
        second: The same width.

    Returns:
        0 for equal means and covariances; in squared units of the embeddings.

    Raises:
        GlidewireError: Too few embeddings, different widths, or numbers that are not finite.

    Source: Dowson & Landau 1982; of pictures' features, Heusel et al. 2017 (1706.08500), eq. 6.
    """
    _require("Fréchet distance", 2, first, second)
    (m1, s1), (m2, s2) = (_moments(rows.double()) for rows in (first, second))
    root = _root(s1)
    # The eigenvalues of S1 S2 are those of this symmetric product, whose root has no imaginary part to drop.
    both = torch.linalg.eigvalsh(root @ s2 @ root).clamp(min=0).sqrt().sum()
    distance = (m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * both
    return max(distance.item(), 0.0)


def precision_and_recall(real: Tensor, made: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """Share of what was made that lies among what is real, and share of what is real that lies among what was made.

    A point lies among a set if it is within the distance of some member to that member's k-th nearest other member.

    Args:
        real: "items width", more than `neighbours`.
        made: The same width, more than `neighbours`.
        neighbours: k.

    Returns:
        Precision and recall, each 0 to 1.

    Raises:
        GlidewireError: Too few embeddings, different widths, or numbers that are not finite.

    Source: Kynkäänniemi et al. 2019 (1904.06991), eq. 1 and 2.
    """
    if neighbours < 1:
        raise GlidewireError("precision and recall: impossible neighbours", expected="1 or more", got=neighbours)
    _require("precision and recall", neighbours + 1, real, made)
    return _share_among(made, real, neighbours), _share_among(real, made, neighbours)


def _share_among(points: Tensor, members: Tensor, neighbours: int) -> float:
    points, members = points.double(), members.double()
    radii = torch.cdist(members, members).kthvalue(neighbours + 1, dim=1).values  # each is its own nearest
    return (torch.cdist(points, members) <= radii).any(dim=1).double().mean().item()


def diversity(embeddings: Tensor) -> float:
    """1 - the mean cosine of all pairs of embeddings: 0 where all point the same way.

    Args:
        embeddings: "items width", two or more.

    Raises:
        GlidewireError: Fewer than two, or numbers that are not finite.

    Source: compare Ramesh et al. 2022 (2204.06125), section 5.3, which asks people instead.
    """
    _require("diversity", 2, embeddings)
    unit = torch.nn.functional.normalize(embeddings.double(), dim=-1)
    count = len(unit)
    cosines = unit @ unit.mT
    return 1 - ((cosines.sum() - cosines.trace()) / (count * (count - 1))).item()
