"""Guidance expressions made of others: with other leaves, or in an interval of the steps only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from torch import Tensor

from .denoiser import Combination, Denoiser, Leaf
from .prediction import Prediction, Step


def within(inside: Denoiser, outside: Denoiser, start: float = 0.0, end: float = 1.0) -> Denoiser:
    """One denoiser in an interval of the steps, and another outside of it.

    Args:
        inside: Stands from the fraction `start` of the steps up to `end`.
        outside: Stands elsewhere.
        start: First fraction of the steps.
        end: Fraction of the steps from which `outside` stands again.

    Returns:
        `inside` itself where the interval is the whole run.

    Raises:
        GlidewireError: If the interval is not one.

    Source: Kynkäänniemi et al. 2024 (guidance in a limited interval).
    """

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        return inputs["inside"]

    combination = Combination(
        combine, {"inside": inside}, "within", start=start, end=end, reads_progress=False, otherwise=outside
    )
    return inside if (start, end) == (0, 1) else combination


def leaves(denoiser: Denoiser) -> Iterator[Leaf]:
    """Every leaf of an expression, active or not, in the order in which it is written; shared ones once."""
    seen = set[int]()
    waiting = [denoiser]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Leaf):
            yield node
        else:
            waiting += [*([node.otherwise] if node.otherwise else []), *reversed([*node.inputs.values()])]


def with_leaves(denoiser: Denoiser, change: Callable[[Leaf], Denoiser]) -> Denoiser:
    """The same expression over other leaves, also where it is not active.

    Args:
        denoiser: The expression; it stays as it is.
        change: What stands in a leaf's place; asked once for each leaf.

    Returns:
        The new expression; what was shared in the old one is shared in it.
    """
    known: dict[int, Denoiser] = {}

    def visit(node: Denoiser) -> Denoiser:
        if id(node) not in known:
            if isinstance(node, Leaf):
                known[id(node)] = change(node)
            else:
                inputs = {name: visit(child) for name, child in node.inputs.items()}
                otherwise = None if node.otherwise is None else visit(node.otherwise)
                known[id(node)] = replace(node, inputs=inputs, otherwise=otherwise)
        return known[id(node)]

    return visit(denoiser)
