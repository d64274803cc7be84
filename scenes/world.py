"""The scene world: what a scene may hold, the split into training and held-out combinations, and how one is drawn."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..errors import GlidewireError

Shape = Literal["sphere", "cube", "cone", "cylinder"]
Colour = Literal["red", "yellow", "green", "cyan", "blue", "purple"]
Tint = Literal["orange", "lime", "teal", "azure", "violet", "magenta"]
Size = Literal["small", "large"]
Ground = Literal["white", "sand", "slate", "rose"]
Axis = Literal["left of", "above"]

SHAPES: tuple[Shape, ...] = ("sphere", "cube", "cone", "cylinder")
SIZES: tuple[Size, ...] = ("small", "large")
# sRGB albedos. Objects are saturated and grounds are not, so that chroma alone separates the two.
COLOURS: dict[Colour, tuple[int, int, int]] = {
    "red": (226, 44, 44),
    "yellow": (246, 204, 24),
    "green": (44, 172, 66),
    "cyan": (30, 200, 214),
    "blue": (44, 84, 226),
    "purple": (160, 60, 214),
}
# Between the colours, one to each gap. No prompt that is judged names one and the judge knows none of them: recipes
# may mix them in, so that hue is a quantity and not six cases.
TINTS: dict[Tint, tuple[int, int, int]] = {
    "orange": (240, 124, 28),
    "lime": (146, 196, 36),
    "teal": (30, 184, 148),
    "azure": (34, 140, 224),
    "violet": (104, 64, 224),
    "magenta": (212, 48, 150),
}
GROUNDS: dict[Ground, tuple[int, int, int]] = {
    "white": (240, 240, 240),
    "sand": (222, 202, 166),
    "slate": (104, 114, 128),
    "rose": (238, 196, 204),
}
# Diameter of the silhouette, as a fraction of the picture's side: at 32 px, 9 to 10 and 13 to 14.5 pixels.
DIAMETERS: dict[Size, tuple[float, float]] = {"small": (0.28, 0.31), "large": (0.41, 0.45)}

# Never in a training scene, alone or in a pair.
HELD_OUT_OBJECTS: frozenset[tuple[Colour | Tint, Shape]] = frozenset(
    {("purple", "cone"), ("cyan", "cube"), ("yellow", "cylinder")}
)


@dataclass(frozen=True)
class Solid:
    """One object: its attributes, and where its silhouette's centre lies (x right, y up, both -1 to 1)."""

    shape: Shape
    colour: Colour | Tint
    size: Size
    diameter: float
    x: float
    y: float
    yaw: float
    floating: bool = False


@dataclass(frozen=True)
class Scene:
    """One or two solids on a ground; with two, `solids[0]` is left of (or above) `solids[1]` along `axis`."""

    solids: tuple[Solid, ...]
    ground: Ground
    axis: Axis | None
    light: float

    @property
    def held_out(self) -> bool:
        """Whether this combination of attributes is kept out of training."""
        if any((solid.colour, solid.shape) in HELD_OUT_OBJECTS for solid in self.solids):
            return True
        return self.axis is not None and held_out_arrangement(self.solids[0], self.axis, self.solids[1])


def held_out_arrangement(first: Solid, axis: Axis, second: Solid) -> bool:
    """Whether (colour, shape, axis, colour, shape) is one of the eighth of all arrangements kept for testing."""
    words = f"{first.colour} {first.shape} {axis} {second.colour} {second.shape}"
    return zlib.crc32(words.encode()) % 8 == 0


def _solid(rng: np.random.Generator, x: float, y: float, colour: Colour, *, floating: bool = False) -> Solid:
    size: Size = SIZES[rng.integers(len(SIZES))]
    return Solid(
        shape=SHAPES[rng.integers(len(SHAPES))],
        colour=colour,
        size=size,
        diameter=float(rng.uniform(*DIAMETERS[size])),
        x=x,
        y=y,
        yaw=float(rng.uniform(0.55, 1.02)),  # radians: a cube always shows two sides and its top
        floating=floating,
    )


def _draw(rng: np.random.Generator, layout: int) -> Scene:
    names = list(COLOURS)
    colours: list[Colour] = [names[index] for index in rng.permutation(len(names))[:2]]
    ground: Ground = list(GROUNDS)[rng.integers(len(GROUNDS))]
    light = float(rng.uniform(-0.5, 0.5))
    if layout < 2:
        x, y = float(rng.uniform(-0.4, 0.4)), float(rng.uniform(-0.4, 0.36))
        return Scene((_solid(rng, x, y, colours[0]),), ground, None, light)
    jitter = rng.uniform(-0.07, 0.07, size=4).tolist()
    if layout == 2:
        middle = float(rng.uniform(-0.22, 0.16))
        left = _solid(rng, -0.485 + 0.5 * jitter[0], middle + jitter[1], colours[0])
        right = _solid(rng, 0.485 + 0.5 * jitter[2], middle + jitter[3], colours[1])
        return Scene((left, right), ground, "left of", light)
    centre = float(rng.uniform(-0.25, 0.25))
    upper = _solid(rng, centre + jitter[0], 0.48 + 0.5 * jitter[1], colours[0], floating=True)
    lower = _solid(rng, centre + jitter[2], -0.49 + 0.5 * jitter[3], colours[1])
    return Scene((upper, lower), ground, "above", light)


def _tinted(scene: Scene, seed: int, chance: float) -> Scene:
    """The scene with each solid's colour changed, by chance, to a tint that no other solid has."""
    rng = np.random.default_rng((seed, 4))
    names = list(TINTS)
    tints = [names[index] for index in rng.permutation(len(names))]
    solids = tuple(
        replace(solid, colour=tint) if rng.random() < chance else solid
        for solid, tint in zip(scene.solids, tints, strict=False)
    )
    return replace(scene, solids=solids)


def sample_scene(seed: int, *, held_out: bool = False, tints: float = 0.0) -> Scene:
    """Draw the scene of a seed, from the training combinations or from those held out.

    Half of the scenes hold one solid, a quarter two side by side, a quarter one floating above another; every
    other attribute is uniform over what remains. The same seed always gives the same scene.

    Args:
        seed: A non-negative integer.
        held_out: Draw from the combinations that no training scene contains.
        tints: Chance, 0 to 1, that a solid has one of `TINTS` instead of one of `COLOURS`.

    Raises:
        GlidewireError: when the seed is negative.
    """
    if seed < 0:
        raise GlidewireError("seed of a scene", expected="a non-negative integer", got=seed)
    rng = np.random.default_rng((seed, int(held_out)))
    layout = int(rng.integers(4))
    while True:  # rejection: an eighth to seven eighths of the draws are of the wanted kind
        scene = _draw(rng, layout)
        if tints:
            scene = _tinted(scene, seed, tints)
        if scene.held_out == held_out:
            return scene
