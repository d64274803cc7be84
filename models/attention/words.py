"""Views that weigh words in attention, within regions too, and that show where words act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..additions import Attended, AttentionAddition, grid_of, layers_at, require_region
from ..view import UnetView
from .called import Call, CalledView, check_positions, marked, text_maps, with_maps


class WeighedWords(UnetView):
    """A denoiser whose attention to the positions of a text is multiplied: A' = A · w, without normalising again.

    A leaf's conditioning has `<name>.weights` "batch positions height width" beside the denoiser's own: w of each
    position in each place, of 1 x 1 where it is the same everywhere. Rows whose weights are all 1 are the
    denoiser, bit for bit.

    Args:
        base: The denoiser, or a view of it.
        name: What its condition is called by.

    Raises:
        GlidewireError: The denoiser does not attend to a text.

    Source: Hertz et al. 2022 (prompt-to-prompt), section 3, attention re-weighting; A' is not normalised.
    """

    def __init__(self, base: Any, name: str = "words") -> None:
        super().__init__(base, name)
        self.layers = layers_at(self.unet, "all", ("cross", "joint"))

    def identity(self) -> str:
        """Text of what is done."""
        return f"weighed words {self.name}"

    @property
    def weights(self) -> str:
        """The name of its condition."""
        return f"{self.name}.weights"

    def attention(self, conditioning: Mapping[str, Tensor], size: tuple[int, int]) -> tuple[AttentionAddition, ...]:
        """What is multiplied; raises GlidewireError for weights of places that are not the picture's."""
        weights = conditioning[self.weights]
        if weights.shape[-2:] != (1, 1):
            require_region("the words'", weights, size)
        return (_Weighing(weights, size),)


@dataclass(frozen=True)
class _Weighing(AttentionAddition):
    weights: Tensor
    size: tuple[int, int]

    def replaced(self, attended: Attended) -> Tensor | None:
        if attended.kind == "self":
            return None
        check_positions("word weights", self.weights.shape[1], attended)
        weights = self.weights.expand(len(attended.query), *self.weights.shape[1:])
        rows = (weights != 1).flatten(1).any(dim=1).nonzero().flatten()
        if not len(rows):
            return None
        of_places = weights[rows]
        if of_places.shape[-2:] != (1, 1):
            grid = grid_of(attended.query.shape[2], self.size)
            of_places = F.interpolate(of_places, grid, mode="area")
        maps = attended.maps(rows)
        factors = of_places.flatten(2).mT[:, None].to(maps)
        maps = torch.cat([maps[..., : attended.context] * factors, maps[..., attended.context :]], dim=-1)
        return with_maps(attended, rows, maps)


class ShownWords(CalledView):
    """A denoiser whose predictions carry where words act, in some rows of its batch; it is not changed.

    A leaf's conditioning has `<name>.rows` "batch 1" beside the denoiser's own: 0 or more for rows that are looked
    at, -1 for others. Predictions carry `words` "batch words rows columns": the sum over each word's positions,
    averaged over heads and over the layers of the chosen places, at the size of the largest of them.

    Args:
        base: The denoiser, or a view of it.
        selected: 1 on the positions of each word, "words positions".
        places: Which layers are looked at; see `additions.attention_places`.
        name: What its condition is called by.

    Raises:
        GlidewireError: The denoiser does not attend to a text there.

    Source: Hertz et al. 2022 (prompt-to-prompt), section 3.
    """

    def __init__(self, base: Any, selected: Tensor, places: str = "all", name: str = "shown_words") -> None:
        super().__init__(base, name)
        self.selected, self.places = selected, places
        self.layers = layers_at(self.unet, places, ("cross", "joint"))

    def identity(self) -> str:
        """Text of what is looked at."""
        return f"shown words {self.name} {self.selected.tolist()} {self.layers}"

    @property
    def rows(self) -> str:
        """The name of its condition."""
        return f"{self.name}.rows"

    def call(self, timesteps: Tensor, conditioning: Mapping[str, Tensor], size: tuple[int, int]) -> Call:
        """What looks in one evaluation."""
        rows = marked(conditioning[self.rows], len(timesteps))
        return Looking(self.selected, self.layers, rows, len(timesteps), size)


@dataclass
class Looking(Call):
    """Gathers where words act in one evaluation; see `ShownWords`."""

    selected: Tensor
    layers: tuple[int, ...]
    rows: Tensor
    count: int
    size: tuple[int, int]
    found: list[Tensor] = field(default_factory=list)

    def replaced(self, attended: Attended) -> Tensor | None:
        """Nothing: it only looks."""
        if attended.layer in self.layers and len(self.rows):
            self.look(text_maps(attended, self.rows), attended)
        return None

    def look(self, maps: Tensor, attended: Attended) -> None:
        """Add a layer's maps "rows heads positions context"."""
        check_positions("words", self.selected.shape[1], attended)
        of_words = maps.mean(dim=1) @ self.selected.to(maps).mT
        self.found.append(of_words.mT.unflatten(-1, grid_of(maps.shape[2], self.size)))

    def seen(self) -> Mapping[str, Tensor]:
        """The mean over layers, at the size of the largest."""
        if not self.found:
            return {}
        largest = max(self.found, key=lambda each: each.shape[-1])
        sized = [F.interpolate(each, largest.shape[-2:]) for each in self.found]
        mean = torch.stack(sized).mean(dim=0)
        return {"words": mean.new_zeros(self.count, *mean.shape[1:]).index_copy(0, self.rows, mean)}
