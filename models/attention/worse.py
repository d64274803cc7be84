"""Guidance expressions with a worse version of one of their leaves, in one forward with all others."""

from __future__ import annotations

from typing import Any, Protocol

from ...diffusion.denoiser import Denoiser, Leaf
from ...diffusion.rewriting import with_leaves


class Worsens(Protocol):
    """A network some rows of whose batch are worse than its base."""

    @property
    def base(self) -> Any:
        """What it is a view of."""
        ...

    def leaf(self, leaf: Leaf, worse: bool) -> Leaf:
        """A leaf of the base as one of this network, worse or as it is."""
        ...


def worsened(network: Worsens, denoiser: Denoiser, conditional: Leaf) -> tuple[Denoiser, Leaf, Leaf]:
    """An expression over a worsening network, a leaf in it, and that leaf's worse version.

    Args:
        network: Over the leaf's own network.
        denoiser: The expression; leaves of other networks stay as they are.
        conditional: The leaf whose worse version is made.
    """
    known: dict[int, Leaf] = {}

    def changed(leaf: Leaf) -> Leaf:
        if leaf.network is not conditional.network:
            return leaf
        return known.setdefault(id(leaf), network.leaf(leaf, worse=False))

    return with_leaves(denoiser, changed), changed(conditional), network.leaf(conditional, worse=True)
