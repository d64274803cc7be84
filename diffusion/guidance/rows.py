"""Products, norms and projections of one item of a batch at a time, over all its other dimensions."""

from __future__ import annotations

from torch import Tensor


def dot(a: Tensor, b: Tensor) -> Tensor:
    """<a, b> of each item in float64, "batch 1 ..." with as many dimensions as a "batch ..."."""
    return per_item((a.double() * b.double()).flatten(1).sum(1), a)


def norm(a: Tensor) -> Tensor:
    """|a| of each item in float64, "batch 1 ..."."""
    return dot(a, a).sqrt()


def per_item(numbers: Tensor, like: Tensor) -> Tensor:
    """Numbers "batch" in a form that broadcasts against "batch ..."."""
    return numbers.reshape(-1, *[1] * (like.ndim - 1))


def ratio(a: Tensor, b: Tensor, otherwise: float) -> Tensor:
    """a / b, and `otherwise` where b is 0."""
    return (a / b.where(b != 0, 1)).where(b != 0, otherwise)


def parallel(a: Tensor, onto: Tensor) -> Tensor:
    """The part of a along another direction: (<a, b> / <b, b>) b of each item; 0 where b is 0.

    Args:
        a: "batch ...".
        onto: b, shaped as a.

    Returns:
        Shaped as a, in its dtype; computed in float64.
    """
    return (ratio(dot(a, onto), dot(onto, onto), 0.0) * onto.double()).to(a.dtype)
