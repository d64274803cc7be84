"""Attention maps gathered over a run: their sums, a word's picture, and the local blend that words draw the mask of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GlidewireError


@dataclass(frozen=True, eq=False)
class AttentionStore:
    """The sum over steps of every layer's maps, taken after they were edited.

    Args:
        sums: By layer, "prompts heads pixels keys".
        steps: Steps that are in the sums.
        largest: Pixels of the largest maps that are kept.

    Source: Hertz et al. 2022, section 3, and its published code, which edits in place before it stores.
    """

    sums: Mapping[str, Tensor] = field(default_factory=dict)
    steps: int = 0
    largest: int = 32 * 32

    def with_step(self, maps: Mapping[str, Tensor]) -> AttentionStore:
        """The store after one more step, whose layers are those of the steps before; this one stays as it is.

        Raises:
            GlidewireError: Other layers than before, or none that is small enough.
        """
        kept = {layer: each for layer, each in maps.items() if each.shape[-2] <= self.largest}
        if not kept or (self.steps and kept.keys() != self.sums.keys()):
            raise GlidewireError(
                "attention maps of a step are not those of the same layers",
                expected=f"layers {sorted(self.sums)}" if self.steps else f"a layer of at most {self.largest} pixels",
                got=f"layers {sorted(kept)}",
            )
        sums = {layer: self.sums[layer] + each if self.steps else each for layer, each in kept.items()}
        return AttentionStore(sums, self.steps + 1, self.largest)

    def mean(self) -> dict[str, Tensor]:
        """Every layer's maps averaged over the steps; empty before the first."""
        return {layer: each / self.steps for layer, each in self.sums.items()}


def word_maps(maps: Sequence[Tensor], selected: Tensor, grid: tuple[int, int]) -> Tensor:
    """How much each pixel looks at the words: the sum over their tokens, averaged over layers and heads.

    Args:
        maps: Cross-attention of layers of one resolution, each "prompts heads pixels positions".
        selected: 1 on the words' tokens, "prompts positions", from `token_alignment.word_selection`.
        grid: Rows and columns of the pixels.

    Returns:
        "prompts 1 rows columns".

    Raises:
        GlidewireError: No layers, or layers of other sizes.
    """
    rows, columns = grid
    wanted = (len(selected), rows * columns, selected.shape[-1])
    shapes = [(len(each), *each.shape[2:]) for each in maps]
    if not shapes or any(shape != wanted for shape in shapes):
        raise GlidewireError(
            "attention maps do not fit the words and the grid",
            expected=f"layers of {wanted[0]} prompts, {wanted[1]} pixels and {wanted[2]} positions",
            got=shapes or "no layer",
        )
    chosen = torch.cat([(each * selected.to(each)[:, None, None]).sum(-1) for each in maps], dim=1)
    return chosen.mean(1, keepdim=True).unflatten(-1, grid)


def word_mask(pictures: Tensor, size: tuple[int, int], threshold: float, *, widen: bool = True) -> Tensor:
    """Where words act: widened by a 3 x 3 maximum, resized (nearest), relative to its maximum above a threshold.

    Args:
        pictures: "prompts 1 rows columns", from `word_maps`.
        size: Height and width of the mask.
        threshold: Fraction of each prompt's maximum.
        widen: Whether to take the 3 x 3 maximum first.

    Returns:
        bool "prompts 1 height width", true in the first prompt's region in every row (the union of each with it).

    Source: Hertz et al. 2022, section 3, local editing, and its published code.
    """
    wide = F.max_pool2d(pictures, 3, 1, padding=1) if widen else pictures
    resized = F.interpolate(wide, size=size)
    peak = resized.amax(dim=(-2, -1), keepdim=True)
    # Against 0 where no pixel looks at the words at all: nothing is above it.
    mask = resized / peak.where(peak > 0, 1) > threshold
    return mask[:1] | mask


@dataclass(frozen=True, eq=False)
class LocalBlend:
    """Keep the source outside of the words: x = x_source + m (x - x_source).

    Args:
        selected: 1 on the tokens of the words to edit, "prompts positions"; the source is the first prompt.
        threshold: Fraction of the maximum that bounds their region.
        subtracted: The same of words whose region is left out.
        subtracted_threshold: Its bound.
        start: Fraction of the run from which it acts.

    Raises:
        GlidewireError: A fraction outside [0, 1].

    Source: Hertz et al. 2022, section 3; start and subtraction as in the code of Mokady et al. 2022 (null-text).
    """

    selected: Tensor
    threshold: float = 0.3
    subtracted: Tensor | None = None
    subtracted_threshold: float = 0.3
    start: float = 0.0

    def __post_init__(self) -> None:
        for name in ("threshold", "subtracted_threshold", "start"):
            if not 0 <= getattr(self, name) <= 1:
                raise GlidewireError(f"local blend: impossible {name}", expected="0 to 1", got=getattr(self, name))

    def active(self, step: int, steps: int) -> bool:
        """Whether it acts after a step, the first of which is 0."""
        return step >= int(self.start * steps)

    def mask(self, maps: Sequence[Tensor], grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """m, bool "prompts 1 height width".

        Args:
            maps: Stored maps of one resolution, each "prompts heads pixels positions".
            grid: Rows and columns of their pixels.
            size: Height and width of x.

        Raises:
            GlidewireError: No layers, or layers of other sizes.
        """
        mask = word_mask(word_maps(maps, self.selected, grid), size, self.threshold)
        if self.subtracted is None:
            return mask
        pictures = word_maps(maps, self.subtracted, grid)
        return mask & ~word_mask(pictures, size, self.subtracted_threshold, widen=False)


def blended(x: Tensor, mask: Tensor) -> Tensor:
    """x inside the mask and the source outside of it, both bit for bit.

    Args:
        x: "prompts channels height width", the source first.
        mask: bool "prompts 1 height width".
    """
    return torch.where(mask, x, x[:1])
