"""What views of a U-Net add inside of it for one evaluation, while its weights and layers stay as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GlidewireError

Part = Literal["query", "key_value", "out"]
Kind = Literal["self", "cross", "joint"]


@dataclass(frozen=True, eq=False)
class Attended:
    """One attention layer in one evaluation.

    Attributes:
        layer: Its number, in the order down, up, middle.
        kind: Whether it sees the picture itself, a context, or both (the context first).
        query, key, value: "batch heads positions channels".
        context: How many of the keys are the context's.
        seen: False for keys that are hidden, broadcast to "batch heads positions keys"; None for all seen.
        found: softmax(q k^T / sqrt(d)) v, "batch heads positions channels".
    """

    layer: int
    kind: Kind
    query: Tensor
    key: Tensor
    value: Tensor
    context: int
    seen: Tensor | None
    found: Tensor

    def maps(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """softmax(q k^T / sqrt(d)) of some rows of the batch, "rows heads positions keys"."""
        scores = self.query[rows] @ self.key[rows].mT / math.sqrt(self.query.shape[-1])
        if self.seen is not None:
            seen = self.seen if self.seen.shape[0] == 1 else self.seen[rows]
            scores = scores.masked_fill(~seen, -torch.inf)
        return scores.softmax(dim=-1)


class AttentionAddition:
    """Terms of the attention layers, and what stands in place of what they find; here: nothing at all.

    Layers are numbered in the order down, up, middle.
    """

    def projected(self, layer: int, part: Part, states: Tensor) -> Tensor | None:
        """What is added to a layer's projection of states "batch positions channels".

        Args:
            layer: Which one.
            part: Which projection; of "key_value", keys stand before values in the channels.
            states: What is projected.

        Returns:
            A term of the projection's shape, or None for nothing.
        """
        return None

    def attended(self, layer: int, query: Tensor) -> Tensor | None:
        """What is added to what the query found, "batch heads positions channels" both; None for nothing."""
        return None

    def replaced(self, attended: Attended) -> Tensor | None:
        """What stands in the place of `attended.found`, of its shape; None leaves it."""
        return None

    def kept(self, layer: int) -> Tensor | None:
        """For each row "batch", whether the layer's output is kept (1) or left out (0); None keeps all."""
        return None


@dataclass(frozen=True)
class Additions:
    """Terms inside of a U-Net.

    Attributes:
        attention: Terms of its attention layers.
        residuals: One for each skip in the order of the way down, then the middle's, "batch channels height
            width"; or none at all.
    """

    attention: tuple[AttentionAddition, ...] = ()
    residuals: tuple[Tensor, ...] = ()

    def __add__(self, other: Additions) -> Additions:
        residuals = self.residuals or other.residuals
        if self.residuals and other.residuals:
            residuals = tuple(one + two for one, two in zip(self.residuals, other.residuals, strict=True))
        return Additions(self.attention + other.attention, residuals)


NOTHING = Additions()


def found(
    layer: int,
    kind: Kind,
    rows: tuple[Tensor, Tensor, Tensor],
    context: int,
    seen: Tensor | None,
    additions: tuple[AttentionAddition, ...],
) -> Tensor:
    """What a layer's query finds, with all that is added: "batch heads positions channels".

    Args:
        layer: Its number.
        kind: What it sees.
        rows: Query, key and value, "batch heads positions channels".
        context: How many of the keys are the context's.
        seen: As in `Attended`.
        additions: In the order in which they were added; a later one sees what an earlier one put in place.
    """
    query, key, value = rows
    h = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    for addition in additions:
        other = addition.replaced(Attended(layer, kind, query, key, value, context, seen, h))
        h = h if other is None else other
    for addition in additions:
        term = addition.attended(layer, query)
        h = h if term is None else h + term
    return h


def output(layer: int, out: Tensor, additions: tuple[AttentionAddition, ...]) -> Tensor:
    """A layer's output "batch ..." without that of the rows that leave the layer out."""
    for addition in additions:
        kept = addition.kept(layer)
        if kept is not None:
            out = torch.where(kept.reshape(-1, *[1] * (out.ndim - 1)) > 0, out, 0)
    return out


def attention_kinds(unet: Any) -> Mapping[int, Kind]:
    """What each attention layer of a U-Net sees, by number, in the order down, up, middle."""
    return {number: _kind(layer) for number, (_, layer) in enumerate(_attention(unet))}


def attention_places(unet: Any) -> Mapping[int, str]:
    """Where each attention layer lies, by number: "down 0", "down 1", ..., "middle", "up 0", ...; up 0 is deepest."""
    parts = [name.split(".") for name, _ in _attention(unet)]
    return {
        number: "middle" if part == "mid_block" else f"{part.removesuffix('_blocks')} {level}"
        for number, (part, level, *_) in enumerate(parts)
    }


def layers_at(unet: Any, places: str, kinds: tuple[Kind, ...]) -> tuple[int, ...]:
    """The attention layers at some places of a U-Net.

    Args:
        unet: diffusers' U-Net.
        places: As `attention_places` names them, with commas between; or "all".
        kinds: Which kinds of layers are meant.

    Raises:
        GlidewireError: A place where no such layer lies.
    """
    sees, lies = attention_kinds(unet), attention_places(unet)
    numbers = [number for number in sees if sees[number] in kinds]
    known = list(dict.fromkeys(lies[number] for number in numbers))
    wanted = known if places.strip() == "all" else [place.strip() for place in places.split(",") if place.strip()]
    for place in wanted or [places]:
        if place not in known:
            raise GlidewireError(
                f"the denoiser has no attention of this kind at {place!r}",
                expected=f"some of {', '.join(known)}; or all" if known else f"a denoiser with {' or '.join(kinds)}",
                got=places or "nothing",
            )
    return tuple(number for number in numbers if lies[number] in wanted)


def _attention(unet: Any) -> list[tuple[str, Any]]:
    from diffusers.models.attention_processor import Attention

    return [(name, module) for name, module in unet.named_modules() if isinstance(module, Attention)]


def _kind(layer: Any) -> Kind:
    if layer.added_kv_proj_dim is not None:
        return "cross" if layer.only_cross_attention else "joint"
    return "cross" if layer.is_cross_attention else "self"


def grid_of(positions: int, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a layer's positions, for x_t of this height and width (halved some times)."""
    height, width = size
    while height * width > positions:
        height, width = height // 2, width // 2
    if height * width != positions:
        raise GlidewireError("attention of another grid", expected=f"{size} halved", got=f"{positions} positions")
    return height, width


def require_region(what: str, mask: Tensor, size: tuple[int, int]) -> None:
    """Raise a GlidewireError unless a mask "batch channels height width" is of x_t's size, or a whole multiple."""
    factor = max(mask.shape[-1] // size[1], 1)
    if mask.ndim != 4 or tuple(mask.shape[2:]) != (size[0] * factor, size[1] * factor):
        raise GlidewireError(
            f"{what} region does not fit the picture",
            expected=f"a mask of {size[0]} x {size[1]}, or a whole multiple of that",
            got=" x ".join(map(str, mask.shape[2:])),
            hint="Resize the mask to the picture that is sampled.",
        )
