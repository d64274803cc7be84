"""Weights of an image prompt by layer: by the names that people use, or written out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ...errors import GlidewireError


@dataclass(frozen=True)
class _Layer:
    """A layer that attends to the context.

    Attributes:
        place: Its place in the order of evaluation (down, middle, up) over the number of layers, from 0 to below 1.
        part: Of the U-Net.
        deepest: Whether it lies in the last attending level on the way down, or in the first one on the way up.
        last: Whether it is the last layer of its level.
    """

    place: float
    part: Literal["down", "middle", "up"]
    deepest: bool
    last: bool


_LEAST, _WEAK, _FIRST = 0.05, 0.2, 0.25
"""What is left where a slope is lowest, of a weak part, and of the layout in the layers before its last one."""


def _slope(height: float) -> float:
    return _LEAST + (1 - _LEAST) * height


def _from_middle(layer: _Layer) -> float:
    return abs(2 * layer.place - 1)


def _style(layer: _Layer) -> float:
    """Neither layout nor what is drawn: without the deepest levels, but for the last layer of the way up's."""
    if layer.part == "middle":
        return 0.0
    return float(not layer.deepest or (layer.part == "up" and layer.last))


def _composition(layer: _Layer) -> float:
    if layer.part != "down" or not layer.deepest:
        return 0.0
    return 1.0 if layer.last else _FIRST


def _weak(*parts: str) -> Callable[[_Layer], float]:
    return lambda layer: _WEAK if layer.part in parts else 1.0


_WEIGHTS: Mapping[str, Callable[[_Layer], float]] = {
    "linear": lambda layer: 1.0,
    "ease in": lambda layer: _slope(1 - layer.place),
    "ease out": lambda layer: _slope(layer.place),
    "ease in-out": lambda layer: _slope(1 - _from_middle(layer)),
    "reverse in-out": lambda layer: _slope(_from_middle(layer)),
    "weak input": _weak("down"),
    "weak output": _weak("up"),
    "weak middle": _weak("middle"),
    "strong middle": _weak("down", "up"),
    "style transfer": _style,
    "composition": _composition,
    "strong style transfer": lambda layer: float(not (layer.part == "down" and layer.deepest)),
    "style and composition": lambda layer: max(_style(layer), _composition(layer)),
    "InstantStyle": lambda layer: float(layer.part == "up" and layer.deepest),
    "InstantStyle layout": lambda layer: float(layer.part == "down" and layer.deepest),
}
PRESETS: tuple[str, ...] = tuple(_WEIGHTS)
_LARGEST = 2.0
_PAIR = re.compile(r"\s*(\d+)\s*[:=]\s*([-+]?(?:\d+\.?\d*|\.\d+))\s*")


def layer_scales(places: Mapping[int, str], preset: str, scale: float) -> dict[int, float]:
    """The weight of an image prompt in each layer.

    Args:
        places: Where each layer that attends to the context lies, by number; see `additions.attention_places`.
        preset: One of `PRESETS`. With i of n layers in the order of evaluation, "ease in" falls as
            0.05 + 0.95 (1 - i / n) and "ease out" rises; a weak part has 0.2. "InstantStyle" is the first attending
            level on the way up, "InstantStyle layout" the last one on the way down.
        scale: What the preset's weights are multiplied by.

    Raises:
        GlidewireError: There is no such preset.

    Source: Ye et al. 2023, eq. 5; Wang et al. 2024 (InstantStyle, 2404.02733), section 3.2; the others are the
        behaviour of the weight types of ComfyUI_IPAdapter_plus (2024) for Stable Diffusion 1, by level instead of by
        number.
    """
    if preset not in _WEIGHTS:
        raise GlidewireError("no such weights of layers", expected=" or ".join(PRESETS), got=repr(preset))
    layers = _layers(places)
    return {number: scale * _WEIGHTS[preset](layers[number]) for number in sorted(layers)}


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
        require_scale(f"the weight of layer {pair[1]}", weight)
    return found


def require_scale(what: str, scale: float) -> None:
    """Raise a GlidewireError for a weight that is no number, or larger than 2 in size."""
    if not abs(scale) <= _LARGEST:
        raise GlidewireError(f"{what} is out of range", expected=f"-{_LARGEST:g} to {_LARGEST:g}", got=scale)


def _layers(places: Mapping[int, str]) -> dict[int, _Layer]:
    """What presets ask of each layer, by number."""
    order = _in_order(places)
    levels = [places[number] for number in order]
    down = [level for level in levels if level.startswith("down")][-1:]
    up = [level for level in levels if level.startswith("up")][:1]
    return {
        number: _Layer(
            place=index / len(order),
            part=_part(level),
            deepest=level in (*down, *up),
            last=level not in levels[index + 1 :],
        )
        for index, (number, level) in enumerate(zip(order, levels, strict=True))
    }


def _in_order(places: Mapping[int, str]) -> Sequence[int]:
    """Layers in the order of evaluation."""
    return sorted(places, key=lambda number: (_PARTS.index(_part(places[number])), number))


_PARTS = ("down", "middle", "up")


def _part(level: str) -> Literal["down", "middle", "up"]:
    return next(part for part in _PARTS if level.startswith(part))
