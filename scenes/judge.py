"""An independent judge: reads a picture of the scene world back into attributes by classical image analysis.

It shares the names of things and their definitions (swatches, sizes) with the scenes, but no code of the renderer
and nothing learned: chroma separates solids from ground, hue names colours, silhouettes and shading name shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import GlidewireError
from .captions import Described, Statement
from .world import COLOURS, DIAMETERS, GROUNDS, Axis, Colour, Ground, Shape, Size

Array = NDArray[np.floating[Any]]

_WORKING_SIDE = 128  # silhouettes are measured at this side: anti-aliased edges carry the fraction of a pixel
_LEAST_AREA = 0.018  # of the picture: half of the smallest solid
_LARGE = 0.5 * (DIAMETERS["small"][1] + DIAMETERS["large"][0])


@dataclass(frozen=True)
class Seen:
    """One solid as read: its attributes, its centre (x right, y up, -1 to 1) and its diameter (of the side)."""

    shape: Shape
    colour: Colour
    size: Size
    x: float
    y: float
    diameter: float


@dataclass(frozen=True)
class Reading:
    """What a picture shows; `solids` from largest to smallest."""

    solids: tuple[Seen, ...]
    ground: Ground


def oklab(picture: Array) -> Array:
    """sRGB in [0, 1] [... 3] to OKLab [... 3]: lightness, and two axes of chroma. Source: Ottosson 2020."""
    linear = np.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4)
    cones = np.cbrt(linear @ _LINEAR_TO_CONES.T)
    return cones @ _CONES_TO_LAB.T


_LINEAR_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_CONES_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_SWATCHES = oklab(np.array(list(COLOURS.values())) / 255.0)
_GROUND_SWATCHES = oklab(np.array(list(GROUNDS.values())) / 255.0)


def judge(picture: NDArray[np.uint8]) -> Reading:
    """Read the solids and the ground of a picture.

    Args:
        picture: uint8 sRGB [side side 3], 16 pixels or more.

    Raises:
        GlidewireError: when the picture is of another form.
    """
    lab, ground, contrast = _measured(picture)
    solids = [_see(region, contrast, lab) for region in _regions(lab, contrast)]
    name = list(GROUNDS)[int(np.argmin(np.linalg.norm((_GROUND_SWATCHES - ground) * (0.5, 1, 1), axis=1)))]
    return Reading(tuple(sorted(solids, key=lambda seen: -seen.diameter)), name)


def silhouettes(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where solids stand in a picture, bool [128 128]; argument and errors as `judge`."""
    lab, _, contrast = _measured(picture)
    regions = _regions(lab, contrast)
    return np.any(regions, axis=0) if regions else np.zeros(contrast.shape, bool)


def _measured(picture: NDArray[np.uint8]) -> tuple[Array, Array, Array]:
    """OKLab of a picture at the working side [128 128 3], of its ground [3], and how far each place is from that."""
    square = picture.ndim == 3 and picture.shape[0] == picture.shape[1] >= 16 and picture.shape[2] == 3
    if not square or picture.dtype != np.uint8:
        raise GlidewireError(
            "picture to judge",
            expected="uint8 [side side 3], at least 16 pixels",
            got=f"{picture.dtype} {picture.shape}",
        )
    zoom = _WORKING_SIDE / picture.shape[0]
    fine = ndimage.zoom(picture / 255.0, (zoom, zoom, 1), order=1, grid_mode=True, mode="nearest")
    lab = oklab(np.clip(ndimage.gaussian_filter(fine, (1.2, 1.2, 0)), 0, 1))
    ground = _ground(lab)
    return lab, ground, np.hypot(*np.moveaxis(lab[..., 1:] - ground[1:], -1, 0))


def _ground(lab: Array) -> Array:
    """OKLab of the ground: the median of the least colourful half, whose shadows are few."""
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    return np.median(lab[chroma <= np.median(chroma)], axis=0)


def _regions(lab: Array, contrast: Array) -> list[NDArray[np.bool_]]:
    """A mask for each solid: connected, of one hue, and of the least area or more."""
    solid = contrast > 0.055
    chroma = lab[..., 1:] / (np.hypot(lab[..., 1], lab[..., 2])[..., None] + 1e-6)
    swatches = _SWATCHES[:, 1:] / np.linalg.norm(_SWATCHES[:, 1:], axis=1, keepdims=True)
    hue = np.argmax(chroma @ swatches.T, axis=-1)
    cores = np.zeros(solid.shape, int)
    count = 0
    for index in range(len(_SWATCHES)):
        same = ndimage.binary_opening(solid & (hue == index), iterations=3)
        labels, found = ndimage.label(same)
        for label in range(1, found + 1):
            if (labels == label).mean() >= _LEAST_AREA:
                count += 1
                cores[labels == label] = count
    if count == 0:
        return []
    # Rims mix with the ground and take another hue: they belong to the nearest core.
    distance = ndimage.distance_transform_edt(cores == 0)
    nearest = ndimage.distance_transform_edt(cores == 0, return_distances=False, return_indices=True)
    assert isinstance(distance, np.ndarray) and isinstance(nearest, np.ndarray)
    owner = np.where(solid & (distance < 5), cores[tuple(nearest)], 0)
    return [owner == index for index in range(1, count + 1)]


def _see(region: NDArray[np.bool_], contrast: Array, lab: Array) -> Seen:
    inner = ndimage.binary_erosion(region, iterations=3)
    inner = inner if inner.any() else region
    colour = _colour(lab[inner])
    silhouette = _silhouette(region, contrast, inner)
    rows, columns = np.flatnonzero(silhouette.any(1)), np.flatnonzero(silhouette.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = len(region)
    diameter = max(bottom - top, right - left) / side
    return Seen(
        shape=_shape(silhouette[top:bottom, left:right], lab[top:bottom, left:right, 0]),
        colour=colour,
        size="large" if diameter > _LARGE else "small",
        x=float((left + right) / side - 1),
        y=float(1 - (top + bottom) / side),
        diameter=float(diameter),
    )


def _colour(lab: Array) -> Colour:
    """The swatch whose hue is nearest to the mean hue, weighted by chroma."""
    mean = lab[:, 1:].mean(0)
    swatches = _SWATCHES[:, 1:] / np.linalg.norm(_SWATCHES[:, 1:], axis=1, keepdims=True)
    return list(COLOURS)[int(np.argmax(swatches @ mean))]


def _silhouette(region: NDArray[np.bool_], contrast: Array, inner: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The region's pixels that are covered by half or more: contrast above half of that of the solid nearby."""
    full = ndimage.maximum_filter(np.where(inner, contrast, 0), size=13)
    mask = region & (contrast > 0.5 * full)
    labels, found = ndimage.label(mask)
    if found > 1:
        mask = labels == 1 + int(np.argmax(ndimage.sum_labels(mask, labels, range(1, found + 1))))
    return ndimage.binary_fill_holes(mask) if mask.any() else region


def shape_features(silhouette: NDArray[np.bool_], lightness: Array) -> dict[str, float]:
    """Measures of a cropped silhouette [h w] and of the lightness in it [h w].

    Returns:
        `taper` (width near the top over width near the bottom), `aspect` (width over height), `fill` (of the
        bounding box), and `facets`: how sharply lightness steps where a cube's sides and top meet.
    """
    height, width = silhouette.shape

    def mean_width(low: float, high: float) -> float:
        return float(silhouette[int(low * height) : int(high * height) + 1].sum(1).mean())

    across = _step(silhouette[int(0.55 * height) : int(0.75 * height)], lightness[int(0.55 * height) :])
    down = _step(silhouette[:, int(0.3 * width) : int(0.7 * width)].T, lightness[:, int(0.3 * width) :].T)
    return {
        "taper": mean_width(0.12, 0.3) / max(mean_width(0.7, 0.88), 1e-6),
        "aspect": width / height,
        "fill": float(silhouette.mean()),
        "facets": across + 0.5 * down,
    }


def _step(inside: NDArray[np.bool_], lightness: Array) -> float:
    """How much better a step than a parabola explains the lightness along a band's length (0 to 1).

    A round side darkens smoothly, so a parabola leaves little of its variance; two flat sides make a step.
    """
    weight = inside.sum(0)
    kept = np.flatnonzero(weight >= 0.7 * len(inside))
    kept = kept[len(kept) // 10 : len(kept) - len(kept) // 10]
    if len(kept) < 6:
        return 0.0
    profile = (lightness[: inside.shape[0], : inside.shape[1]] * inside).sum(0)[kept] / weight[kept]
    x = np.linspace(-1, 1, len(profile))
    smooth = float(np.square(profile - np.polyval(np.polyfit(x, profile, 2), x)).sum())
    cuts = range(len(profile) // 5, len(profile) - len(profile) // 5)
    sharp = min(float(profile[:cut].var() * cut + profile[cut:].var() * (len(profile) - cut)) for cut in cuts)
    return smooth / (smooth + sharp + 1e-9)


def _shape(silhouette: NDArray[np.bool_], lightness: Array) -> Shape:
    """Each limit lies midway between the two kinds it separates, over fresh renders at 32 pixels."""
    features = shape_features(silhouette, lightness)
    if features["taper"] < 0.62:
        return "cone"
    if features["fill"] > features["aspect"]:  # narrow, and filling its bounding box
        return "cylinder"
    # Seen from above its edges, a cube is a little narrower than high; a sphere is not.
    return "cube" if features["facets"] + (0.97 - features["aspect"]) > 0.26 else "sphere"


def score(reading: Reading, wanted: Statement) -> dict[str, bool]:
    """Which stated attributes the picture has, each under its name; what is not stated is not judged.

    `objects` (as many solids as stated) is always judged; `shape`, `colour` and `size` hold when every stated
    one is right; `relation` when the solids found to be the stated ones stand so; `ground`.
    """
    seen = reading.solids
    right = {"objects": len(seen) == len(wanted.objects)}
    pairs: list[tuple[Described, Seen]] = []
    if right["objects"]:
        matches = [list(zip(wanted.objects, order, strict=True)) for order in permutations(seen)]
        pairs = max(matches, key=lambda match: sum(_agreement(*pair) for pair in match))
    for name in ("shape", "colour", "size"):
        if any(getattr(described, name) for described in wanted.objects):
            right[name] = bool(pairs) and all(
                getattr(described, name) in (None, getattr(solid, name)) for described, solid in pairs
            )
    if wanted.relation:
        right["relation"] = len(pairs) == 2 and _relation(pairs[0][1], pairs[1][1]) == wanted.relation
    if wanted.ground:
        right["ground"] = reading.ground == wanted.ground
    return right


def _agreement(described: Described, seen: Seen) -> float:
    """How far a solid fits a description; colour is read most surely, so it weighs most."""
    weights = {"colour": 2.0, "shape": 1.5, "size": 1.0}
    return sum(w for name, w in weights.items() if getattr(described, name) in (None, getattr(seen, name)))


def _relation(first: Seen, second: Seen) -> Axis | None:
    """Where the first stands: the axis along which the centres lie further apart, if the first is left or above."""
    across, up = second.x - first.x, first.y - second.y
    if abs(across) > abs(up):
        return "left of" if across > 0 else None
    return "above" if up > 0 else None
