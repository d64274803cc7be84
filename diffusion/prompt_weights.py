"""What the weight of a word does: cut weighted tokens into chunks, and act on token embeddings or on attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from ..errors import GlidewireError
from .prompt_syntax import Emphasis

LARGEST = 20.0
"""The largest size of a word's weight that is taken for meant; published examples go up to 5."""


def require_weight(word: str, weight: float) -> None:
    """Raise a GlidewireError for a word's weight that is no number or out of range."""
    if not abs(weight) <= LARGEST:
        raise GlidewireError(
            f"the weight of {word!r} is out of range", expected=f"a number from {-LARGEST:g} to {LARGEST:g}", got=weight
        )


@dataclass(frozen=True, eq=False)
class Chunks:
    """Weighted tokens as a text encoder of fixed length takes them.

    Attributes:
        tokens: Ids, int64 "chunks positions".
        weights: float32 "chunks positions"; 1 for start, end and padding.
    """

    tokens: Tensor
    weights: Tensor

    @property
    def weighted(self) -> bool:
        """Whether any weight differs from 1."""
        return bool((self.weights != 1).any())


@dataclass(frozen=True)
class ChunkLayout:
    """How tokens are cut: each chunk is a start token, tokens, an end token and padding.

    Args:
        positions: Length of a chunk with its two ends.
        start: Id in front.
        end: Id behind.
        padding: Id behind the end.
        whole_below: A stretch of fewer tokens is not split: it moves to the next chunk as one.

    Raises:
        GlidewireError: No room between the ends, or for a stretch that may not be split.
    """

    positions: int
    start: int
    end: int
    padding: int
    whole_below: int = 8

    def __post_init__(self) -> None:
        least = max(3, self.whole_below + 1)
        if self.positions < least:
            raise GlidewireError(
                "prompt chunks: too few positions",
                expected=f"at least {least}, for two ends and an unsplit stretch of {least - 2} tokens",
                got=self.positions,
            )

    @property
    def room(self) -> int:
        """Tokens between the two ends."""
        return self.positions - 2


def chunk(stretches: Sequence[Emphasis], encode: Callable[[str], Sequence[int]], layout: ChunkLayout) -> Chunks:
    """Tokenize each stretch by itself and cut the tokens into chunks.

    Args:
        stretches: From one of the parsers.
        encode: The tokens of a text, without start and end.
        layout: How chunks are made.

    Returns:
        At least one chunk.

    Raises:
        GlidewireError: A weight that is not finite.

    Source: the behaviour of ComfyUI 0.3.64.
    """
    chunks: list[list[tuple[int, float]]] = [[]]
    for text, weight in stretches:
        if not math.isfinite(weight):
            raise GlidewireError(f"prompt weight of {text!r} is not a number", expected="a finite one", got=weight)
        group = [(token, weight) for token in encode(text)]
        splits = len(group) >= layout.whole_below
        while len(chunks[-1]) + len(group) > layout.room:
            fits = layout.room - len(chunks[-1]) if splits else 0
            chunks[-1] += group[:fits]
            chunks.append([])
            group = group[fits:]
        chunks[-1] += group
    rows = [_filled(each, layout) for each in chunks]
    return Chunks(
        torch.tensor([[token for token, _ in row] for row in rows]),
        torch.tensor([[weight for _, weight in row] for row in rows], dtype=torch.float32),
    )


def _filled(tokens: list[tuple[int, float]], layout: ChunkLayout) -> list[tuple[int, float]]:
    row = [(layout.start, 1.0), *tokens, (layout.end, 1.0)]
    return row + [(layout.padding, 1.0)] * (layout.positions - len(row))


# --- on token embeddings ----------------------------------------------------------------------------------------------


def _check(name: str, states: Tensor, weights: Tensor) -> Tensor:
    """The weights "chunks positions 1" in the dtype and on the device of the states."""
    if weights.shape != states.shape[:-1]:
        raise GlidewireError(
            f"{name}: weights and embeddings do not belong together",
            expected=f"weights of shape {tuple(states.shape[:-1])}",
            got=tuple(weights.shape),
        )
    if not weights.isfinite().all():
        raise GlidewireError(f"{name}: a prompt weight is not finite", expected="finite weights")
    return weights.to(states)[..., None]


def from_empty(states: Tensor, weights: Tensor, empty: Tensor) -> Tensor:
    """ComfyUI's: z' = z_empty + w (z - z_empty), away from the empty prompt's embedding of the same position.

    Args:
        states: z, "chunks positions width".
        weights: w, "chunks positions"; where it is 1, z is returned bit for bit.
        empty: z_empty, "positions width" or "1 positions width".

    Returns:
        Shaped as the states.

    Raises:
        GlidewireError: Shapes that do not fit, or weights that are not finite.

    Source: the behaviour of ComfyUI 0.3.64.
    """
    w = _check("comfy", states, weights)
    if empty.shape[-2:] != states.shape[-2:]:
        raise GlidewireError(
            "comfy: the empty prompt's embedding belongs to another encoder",
            expected=f"shape {tuple(states.shape[-2:])}",
            got=tuple(empty.shape[-2:]),
        )
    empty = empty.to(states)
    return torch.where(w == 1, states, empty + w * (states - empty))


def scaled(states: Tensor, weights: Tensor, empty: Tensor | None = None) -> Tensor:
    """AUTOMATIC1111's without its normalisation: z' = w z.

    Args:
        states: z, "chunks positions width".
        weights: w, "chunks positions".
        empty: Not used.

    Raises:
        GlidewireError: Shapes that do not fit, or weights that are not finite.
    """
    return states * _check("a1111_no_norm", states, weights)


def scaled_keeping_mean(states: Tensor, weights: Tensor, empty: Tensor | None = None) -> Tensor:
    """AUTOMATIC1111's: z' = w z · mean(z) / mean(w z), with the means over positions and channels of each chunk.

    Args:
        states: z, "chunks positions width".
        weights: w, "chunks positions".
        empty: Not used.

    Returns:
        Shaped as the states; a chunk whose mean(w z) is 0 is w z.

    Raises:
        GlidewireError: Shapes that do not fit, or weights that are not finite.
    """
    w = _check("a1111", states, weights)
    before, after = (each.mean(dim=(-2, -1), keepdim=True) for each in (states, states * w))
    return states * w * torch.where(after == 0, 1, before / after.where(after != 0, 1))


Weigh = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of z "chunks positions width", w "chunks positions" and z_empty "positions width"."""

INTERPRETATIONS: Mapping[str, Weigh] = MappingProxyType(
    {"comfy": from_empty, "a1111": scaled_keeping_mean, "a1111_no_norm": scaled}
)
"""What a weight does to token embeddings, by the name that people know it by."""


# --- on attention -----------------------------------------------------------------------------------------------------


def on_attention(probabilities: Tensor, weights: Tensor) -> Tensor:
    """Scale the columns of cross-attention behind its softmax, A' = A · w, without normalising again.

    Args:
        probabilities: A, "... pixels positions".
        weights: w, "positions" for a weight per word; "pixels positions" for one that differs over the picture, such
            as the region that a word may act in.

    Returns:
        Shaped as the probabilities; rows no longer sum to 1.

    Raises:
        GlidewireError: Weights of another shape, or not finite.

    Source: Hertz et al. 2022 (prompt-to-prompt), section 3, attention re-weighting.
    """
    if weights.shape not in (probabilities.shape[-1:], probabilities.shape[-2:]):
        raise GlidewireError(
            "attention weights do not belong to these attention maps",
            expected=f"shape {tuple(probabilities.shape[-1:])} or {tuple(probabilities.shape[-2:])}",
            got=tuple(weights.shape),
        )
    if not weights.isfinite().all():
        raise GlidewireError("attention: a weight is not finite", expected="finite weights")
    return probabilities * weights.to(probabilities)
