"""The scene world as nodes: scenes with their captions, held-out prompts, and the judge of what pictures show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NamedTuple

import torch

from ..errors import GlidewireError
from ..graph_runtime.declaration import node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Choice, Number, Seed, Text
from ..scenes import caption, held_out_prompts, parse, render, sample_scene
from ..scenes.maps import MAPS
from .inpainting import to_pixels
from .pictures import to_levels
from .sockets import Image


class RenderedScene(NamedTuple):
    """A scene, and a caption that describes it."""

    image: Socket[Image, "1 size size 3"]
    caption: str


class Judged(NamedTuple):
    """What the judge found in pictures that should show a caption."""

    right: float
    attributes: float
    report: str


@node(category="scenes")
def render_scene(
    seed: Annotated[int, Seed()] = 0,
    size: Annotated[int, Number(min=16, max=512)] = 64,
    held_out: bool = False,
) -> RenderedScene:
    """Render a scene of shaded solids, the world in which the shipped minis were trained, with its caption.

    Args:
        seed: Chooses the scene and the words.
        size: Side of the picture in pixels.
        held_out: Take one of the combinations that no training scene has.

    Returns: image, "1 size size 3" in [0, 1]; caption, what it shows.

    Source: none (utility).
    """
    scene = sample_scene(seed, held_out=held_out)
    picture = torch.from_numpy(render(scene, size)).float() / 255
    return RenderedScene(Image(picture[None]), caption(scene, seed, complete=True).text)


@node(category="scenes", title="Map of a scene")
def scene_map(
    image: Socket[Image, "batch height width 3"],
    kind: Annotated[str, Choice(options=tuple(MAPS))] = "edges",
) -> Socket[Image, "batch height width 3"]:
    """Draw edges, a segmentation, a negative or an exchange of red and blue, in colours that scenes have.

    What was trained on scenes alone gives back nothing of white lines on black; of purple ones on slate it does. Mini
    Prompt Diffusion was trained on the first three.

    Args:
        image: Pictures of scenes, "batch height width 3" in [0, 1].
        kind: edges are purple on slate, segmentation is blue on white, negative has every colour's opposite at equal
            brightness.

    Returns: The maps, "batch height width 3" in [0, 1].

    Source: none (utility).
    """
    found = MAPS[kind](to_pixels(image))
    return Image(found.add(1).div(2).clamp(0, 1).movedim(1, -1).contiguous())


@node(category="scenes", by_value=True)
def scene_prompts(count: Annotated[int, Number(min=1, max=2000)] = 8, seed: Annotated[int, Seed()] = 0) -> list[str]:
    """Prompts for combinations that no training scene contains: what it is wired to runs once for each.

    Args:
        count: How many.
        seed: Another seed gives another list; 0 gives the prompts that the minis are judged with.

    Returns: The list of prompts.

    Source: none (utility).
    """
    return [prompt.text for prompt in held_out_prompts(count, seed)]


def _is_caption(prompt: str) -> None:
    parse(prompt)


@node(category="scenes", by_value=True, validate=_is_caption)
def judge_scenes(
    image: Socket[Image, "_ side side 3"],
    prompt: Annotated[str, Text(multiline=True)] = "a red cube left of a blue sphere",
) -> Judged:
    """Judge whether pictures show what a caption of the scene world states, by classical image analysis.

    Args:
        image: "batch side side 3" in [0, 1], 16 pixels or more.
        prompt: A sentence of the scene world's grammar.

    Returns: right, the share of pictures with every stated attribute right; attributes, the mean share of stated
        attributes that are right; report, one line for each picture.

    Raises: GlidewireError for a sentence that the grammar does not have, pictures that are not square or too small,
        or where scipy, which the judge computes with, is not installed.

    Source: Ottosson 2020 (OKLab) for what colours are; the rest is this pack's own.
    """
    with _with_scipy():
        from ..scenes.judge import judge, score
    wanted = parse(prompt)
    found = [score(judge(picture), wanted) for picture in to_levels(image).numpy()]
    whole = [all(one.values()) for one in found]
    shares = [sum(one.values()) / len(one) for one in found]
    lines = [
        f"{index}: " + ("right" if every else "wrong: " + ", ".join(name for name, holds in one.items() if not holds))
        for index, (one, every) in enumerate(zip(found, whole, strict=True))
    ]
    return Judged(sum(whole) / len(whole), sum(shares) / len(shares), "\n".join(lines))


@node(category="scenes", by_value=True)
def layout_overlap(
    first: Socket[Image, "batch side side 3"],
    second: Socket[Image, "batch side side 3"],
) -> float:
    """Measure how far two pictures of scenes have one layout: the area that both fill over the area that either fills.

    Args:
        first, second: "batch side side 3" in [0, 1], 16 pixels or more; the first of one is compared with the first of
            the other, and so on.

    Returns: The mean intersection over union of the solids' silhouettes, 0 to 1; 1 where neither has a solid.

    Raises: GlidewireError for batches or sizes that differ, pictures that are not square or too small, or where scipy
        is not installed.

    Source: Everingham et al. 2010 (PASCAL VOC), section 4.2, for the overlap of areas.
    """
    if first.shape != second.shape:
        raise GlidewireError(
            "the pictures to compare differ in number or size", expected=tuple(first.shape), got=tuple(second.shape)
        )
    with _with_scipy():
        from ..scenes.judge import silhouettes
    pairs = zip(to_levels(first).numpy(), to_levels(second).numpy(), strict=True)
    shares = []
    for one, other in pairs:
        a, b = silhouettes(one), silhouettes(other)
        shares.append(float((a & b).sum() / (a | b).sum()) if (a | b).any() else 1.0)
    return sum(shares) / len(shares)


@node(category="scenes", by_value=True)
def covered_share(image: Socket[Image, "_ side side 3"]) -> float:
    """Measure how much of pictures of scenes the solids cover.

    Args:
        image: "batch side side 3" in [0, 1], 16 pixels or more.

    Returns: The mean share of pixels within silhouettes, 0 to 1.

    Raises: GlidewireError for pictures that are not square or too small, or where scipy is not installed.

    Source: none (utility).
    """
    with _with_scipy():
        from ..scenes.judge import silhouettes
    shares = [float(silhouettes(picture).mean()) for picture in to_levels(image).numpy()]
    return sum(shares) / len(shares)


@contextmanager
def _with_scipy() -> Iterator[None]:
    """Where the judge is imported, whose library is not among those that every user has."""
    try:
        yield
    except ImportError:
        raise GlidewireError(
            "the judge needs scipy", expected="scipy", got="nothing", hint='Install it: pip install "glidewire[train]".'
        ) from None
