"""The grammar of captions: from a scene to words, from words back to what they state, and the held-out prompts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

import numpy as np

from ..errors import GlidewireError
from .world import COLOURS, GROUNDS, SHAPES, SIZES, Axis, Colour, Ground, Scene, Shape, Size, Tint, sample_scene


@dataclass(frozen=True)
class Described:
    """What a caption says of one object; None where it is silent."""

    shape: Shape | None = None
    colour: Colour | Tint | None = None
    size: Size | None = None


@dataclass(frozen=True)
class Statement:
    """What a caption states: with a relation, `objects[0]` is left of (or above) `objects[1]`."""

    objects: tuple[Described, ...]
    relation: Axis | None = None
    ground: Ground | None = None


@dataclass(frozen=True)
class Caption:
    """A caption's words and what they state."""

    text: str
    statement: Statement


# Words between "A ... B" where A is the scene's first solid, and where it is the second.
_FORWARD: dict[Axis, tuple[str, ...]] = {
    "left of": ("left of", "to the left of", "on the left of"),
    "above": ("above", "over", "floating above"),
}
_BACKWARD: dict[Axis, tuple[str, ...]] = {
    "left of": ("right of", "to the right of", "on the right of"),
    "above": ("below", "under", "beneath"),
}
_BESIDE = ("and", "with")
_OPENINGS = ("", "", "", "a picture of ", "a render of ")
_GROUNDS = ("on {}", "on a {} floor", "on {} ground")
_ANY_SHAPE = ("object", "thing")


def caption(scene: Scene, seed: int, *, complete: bool = False, silence: float = 0.05) -> Caption:
    """Describe a scene in one of the grammar's phrasings; sizes, the ground and more are sometimes left out.

    Args:
        scene: What to describe.
        seed: Chooses the phrasing and what is left out.
        complete: Always state colours, shapes and the relation, so that the combination is pinned down.
        silence: Chance that an object's shape is left out, and else its colour.
    """
    rng = np.random.default_rng((seed, 2))

    def chance(probability: float) -> bool:
        return bool(rng.random() < probability)

    def pick(phrases: tuple[str, ...]) -> str:
        return phrases[int(rng.integers(len(phrases)))]

    described = []
    for solid in scene.solids:
        silent = "" if complete else ("shape" if chance(silence) else "colour" if chance(silence) else "")
        described.append(
            Described(
                None if silent == "shape" else solid.shape,
                None if silent == "colour" else solid.colour,
                solid.size if chance(0.55 if len(scene.solids) == 1 else 0.4) else None,
            )
        )
    related = scene.axis is not None and (complete or chance(0.9))
    backward = len(described) == 2 and chance(0.5)
    order = described[::-1] if backward else described
    if scene.axis is None:
        words = _noun_phrase(order[0], pick(_ANY_SHAPE))
    else:
        link = pick((_BACKWARD if backward else _FORWARD)[scene.axis]) if related else pick(_BESIDE)
        words = f"{_noun_phrase(order[0], pick(_ANY_SHAPE))} {link} {_noun_phrase(order[1], pick(_ANY_SHAPE))}"
    ground = scene.ground if chance(0.5) else None
    text = pick(_OPENINGS) + words + (f" {pick(_GROUNDS).format(ground)}" if ground else "")
    stated = described if related else order
    return Caption(text, Statement(tuple(stated), scene.axis if related else None, ground))


def worded(statement: Statement) -> Caption:
    """The plainest sentence of the grammar that states so much and no more."""
    text = f" {statement.relation or 'and'} ".join(_noun_phrase(one, _ANY_SHAPE[0]) for one in statement.objects)
    return Caption(text + (f" on {statement.ground} ground" if statement.ground else ""), statement)


def _noun_phrase(described: Described, any_shape: str) -> str:
    words = (described.size, described.colour, described.shape or any_shape)
    return " ".join(("a", *(word for word in words if word)))


def _any_of(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_NOUN = (
    rf"an?(?: (?P<size{{0}}>{_any_of(SIZES)}))?(?: (?P<colour{{0}}>{_any_of(COLOURS)}))?"
    rf" (?P<shape{{0}}>{_any_of((*SHAPES, *_ANY_SHAPE))})"
)
_LINKS = {
    words: (axis, backward)
    for backward, table in ((False, _FORWARD), (True, _BACKWARD))
    for axis, phrases in table.items()
    for words in phrases
}
_PATTERN = re.compile(
    rf"(?:{_any_of(set(_OPENINGS) - {''})})?{_NOUN.format(0)}"
    rf"(?: (?P<link>{_any_of((*_LINKS, *_BESIDE))}) {_NOUN.format(1)})?"
    rf"(?: on (?:a )?(?P<ground>{_any_of(GROUNDS)})(?: floor| ground)?)?"
)


def parse(text: str) -> Statement:
    """Read a caption of the grammar back into what it states.

    Raises:
        GlidewireError: when the grammar has no such sentence.
    """
    match = _PATTERN.fullmatch(" ".join(text.lower().split()))
    if match is None:
        raise GlidewireError(
            f"caption {text!r} is not a sentence of the scene grammar",
            expected="for instance 'a small red cube left of a blue sphere on white ground'",
            hint=f"Shapes: {', '.join(SHAPES)}; colours: {', '.join(COLOURS)}; grounds: {', '.join(GROUNDS)}.",
        )
    found = match.groupdict()
    objects = [
        Described(
            found[f"shape{i}"] if found[f"shape{i}"] in get_args(Shape) else None,  # type: ignore[arg-type]
            found[f"colour{i}"],  # type: ignore[arg-type]
            found[f"size{i}"],  # type: ignore[arg-type]
        )
        for i in (0, 1)
        if found[f"shape{i}"]
    ]
    axis, backward = _LINKS.get(found["link"] or "", (None, False))
    return Statement(tuple(objects[::-1] if backward else objects), axis, found["ground"])  # type: ignore[arg-type]


def held_out_prompts(count: int, seed: int = 0) -> list[Caption]:
    """`count` different prompts for combinations that no training scene or caption contains.

    Colours, shapes and relations are always stated; sizes and grounds about half of the time.

    Args:
        count: How many.
        seed: Another seed gives another list.
    """
    prompts: dict[str, Caption] = {}
    scene_seed = seed * 1_000_000
    while len(prompts) < count:
        prompt = caption(sample_scene(scene_seed, held_out=True), scene_seed, complete=True)
        prompts.setdefault(prompt.text, prompt)
        scene_seed += 1
    return list(prompts.values())
