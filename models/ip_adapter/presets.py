"""Weights of an image prompt by layer: by the names that people use, or written out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from ...errors import GlidewireError

_Shape = Callable[[float], float]
# Of the place among the layers, from 0 (first on the way down) to 1 (last on the way up).
_SHAPES: Mapping[str, _Shape] = {
    "even": lambda place: 1.0,
    "ease in": lambda place: place,
    "ease out": lambda place: 1 - place,
    "ease in-out": lambda place: 1 - abs(2 * place - 1),
    "reverse in-out": lambda place: abs(2 * place - 1),
}
_WEAK = 0.2
# Weights of the way down, the middle and the way up.
_PARTS: Mapping[str, tuple[float, float, float]] = {
    "weak down": (_WEAK, 1.0, 1.0),
    "weak middle": (1.0, _WEAK, 1.0),
    "weak up": (1.0, 1.0, _WEAK),
    "strong middle": (_WEAK, 1.0, _WEAK),
    "up only": (0.0, 0.0, 1.0),
}
# Weights of the last attending level on the way down, and of the first one on the way up.
_LEVELS: Mapping[str, tuple[float, float]] = {
    "style": (0.0, 1.0),
    "composition": (1.0, 0.0),
    "style and composition": (1.0, 1.0),
}
_LARGEST = 2.0
PRESETS: tuple[str, ...] = (*_SHAPES, *_PARTS, *_LEVELS)
_PAIR = re.compile(r"\s*(\d+)\s*[:=]\s*([-+]?(?:\d+\.?\d*|\.\d+))\s*")


def layer_scales(places: Mapping[int, str], preset: str, scale: float) -> dict[int, float]:
    """The weight of an image prompt in each layer.

    Args:
        places: Where each layer that attends to the context lies, by number; see `additions.attention_places`.
        preset: One of `PRESETS`. Shapes are straight lines over the layers in the order of evaluation; "style" is
            the first attending level on the way up and "composition" the last one on the way down.
        scale: What the preset's weights are multiplied by.

    Raises:
        GlidewireError: There is no such preset.

    Source: Ye et al. 2023, eq. 5; Wang et al. 2024 (InstantStyle, 2404.02733) for style and composition.
    """
    order = _in_order(places)
    if preset in _SHAPES:
        last = max(len(order) - 1, 1)
        weights = {number: _SHAPES[preset](index / last) for index, number in enumerate(order)}
    elif preset in _PARTS:
        of = dict(zip(("down", "middle", "up"), _PARTS[preset], strict=True))
        weights = {number: of[places[number].split()[0]] for number in order}
    elif preset in _LEVELS:
        down = [places[number] for number in order if places[number].startswith("down")][-1:]
        up = [places[number] for number in order if places[number].startswith("up")][:1]
        of = {**dict.fromkeys(down, _LEVELS[preset][0]), **dict.fromkeys(up, _LEVELS[preset][1])}
        weights = {number: of.get(places[number], 0.0) for number in order}
    else:
        raise GlidewireError("no such weights of layers", expected=" or ".join(PRESETS), got=repr(preset))
    return {number: scale * weight for number, weight in sorted(weights.items())}


def written_scales(text: str) -> dict[int, float]:
    """Weights by layer as a user writes them, "1: 0.5, 15: 1"; the layers that are not named have none.

    Raises:
        GlidewireError: A part that is no number of a layer with its weight, or a weight of more than 2 in size.
    """
    found: dict[int, float] = {}
    for part in filter(str.strip, re.split(r"[,;\n]", text)):
        pair = _PAIR.fullmatch(part)
        if pair is None:
            raise GlidewireError("weights of layers cannot be read", expected='such as "1: 0.5, 15: 1"', got=repr(part))
        found[int(pair[1])] = weight = float(pair[2])
        if not abs(weight) <= _LARGEST:
            limits = f"-{_LARGEST:g} to {_LARGEST:g}"
            raise GlidewireError(f"the weight of layer {pair[1]} is out of range", expected=limits, got=weight)
    return found


def _in_order(places: Mapping[int, str]) -> Sequence[int]:
    """Layers in the order of evaluation: down, middle, up."""
    parts = ("down", "middle", "up")
    return sorted(places, key=lambda number: (parts.index(places[number].split()[0]), number))
