"""How well Prompt Diffusion does what an example pair shows: by its own pair, and by another task's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..diffusion import guidance, samplers, schedules
from ..diffusion.denoiser import Leaf
from ..diffusion.noise import SeededNoise
from ..models.controlnet.model import ControlModel, load_control
from ..scenes import Described, Scene, Statement, worded
from ..scenes.maps import HELD_OUT, MAPS, TRAINED
from . import batches
from .batches import everything
from .fresh import fresh_scenes, judged
from .frozen import Frozen
from .painters import Sampling, to_bytes, to_pixels
from .repainting import rendered

_SIDE = 32
_SCALE = 3.0
_SAMPLING = Sampling("20")


@dataclass(frozen=True)
class Examples:
    """Queries with example pairs, "batch 3 height width" in [-1, 1] each.

    Attributes:
        scenes: What the queries are of.
        source: What the examples are given.
        target: What is made of it.
        query: Of the source's kind.
        wanted: What the query's own task makes of it.
        texts: Nothing for what makes a map; for what makes a picture a caption of colours and ground, which most maps
            do not tell, but of no shape.
    """

    scenes: list[Scene]
    source: Tensor
    target: Tensor
    query: Tensor
    wanted: Tensor
    texts: list[str]

    @classmethod
    def fresh(cls, count: int, name: str, makes_picture: bool, shown: str = "") -> Examples:
        """Fresh scenes under a task.

        Args:
            count: How many queries; other scenes are the examples.
            name: Of the query's map.
            makes_picture: Which way.
            shown: Of the pairs' map, if it is another one.
        """
        scenes = fresh_scenes(2 * count)
        pictures = to_pixels(rendered(scenes, _SIDE))
        ways = np.full(count, makes_picture)
        query, wanted = task(pictures[:count], [name] * count, ways)
        source, target = task(pictures[count:], [shown or name] * count, ways)
        texts = [worded(_colours(scene)).text if makes_picture else "" for scene in scenes[:count]]
        return cls(scenes[:count], source, target, query, wanted, texts)


def task(pictures: Tensor, maps: Sequence[str], makes_picture: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """What each item's task is given and what it makes, "batch 3 height width": a picture and its map, or reversed.

    Args:
        pictures: "batch 3 height width" in [-1, 1].
        maps: A name of `MAPS` for each.
        makes_picture: Whether the picture is made of the map, "batch".
    """
    mapped = torch.cat([MAPS[name](one[None]) for name, one in zip(maps, pictures, strict=True)])
    drawn = torch.as_tensor(makes_picture, device=pictures.device)[:, None, None, None]
    return torch.where(drawn, mapped, pictures), torch.where(drawn, pictures, mapped)


def example_painter(
    control: ControlModel, frozen: Frozen, sampling: Sampling = _SAMPLING
) -> Callable[[Examples], NDArray[np.uint8]]:
    """Draws what examples show how to make of their queries, uint8 [count side side 3]."""
    network = frozen.denoiser.network
    schedule = schedules.respace(frozen.denoiser.schedule, sampling.spacing)
    shape = (network.channels, network.spec.size, network.spec.size)

    @torch.no_grad()
    def paint(examples: Examples) -> NDArray[np.uint8]:
        noise = SeededNoise(tuple(range(len(examples.query))))
        pair = torch.cat([examples.source, examples.target], dim=1)
        hints = {"example_pair": pair, "query": examples.query}
        leaves = (Leaf(network, {"context": batches.states(frozen.text, texts)}) for texts in (examples.texts, [""]))
        said, silent = (control.controlling(leaf, hints, control.strengths(1.0)) for leaf in leaves)
        denoiser = guidance.classifier_free(said, silent, _SCALE) if any(examples.texts) else silent
        x_0 = samplers.sample(denoiser, schedule, noise.draw(shape), sampling.built(clip=False), noise)
        return to_bytes(frozen.autoencoder.decode(x_0))

    return paint


def share_right(drawn: NDArray[np.uint8], examples: Examples, name: str, makes_picture: bool) -> float:
    """How many pictures show what the query's own task makes.

    A map is right if it is nearer, by its mean square error, to what its task makes than to the picture and to every
    other map. A picture is right if the judge finds in it all that is true of the scene.

    Args:
        drawn: uint8 [count side side 3].
        examples: What they were drawn by.
        name: Of the query's map.
        makes_picture: Which way.
    """
    if makes_picture:
        return judged(drawn, [everything(scene) for scene in examples.scenes])["everything"]
    made = [change(examples.query) for change in MAPS.values()]
    errors = [(to_pixels(drawn) - candidate).square().flatten(1).mean(1) for candidate in (*made, examples.query)]
    nearest = torch.stack(errors).argmin(0)
    return float((nearest == list(MAPS).index(name)).float().mean())


def example_pair_figures(weights: Path, beside: Path, count: int) -> dict[str, float]:
    """Shares of what is right, by a pair of the query's own task, and by a pair of another one.

    Args:
        weights: The control network.
        beside: The folder of mini latent diffusion, its autoencoder and its text encoder.
        count: Queries for each task.

    Source: Wang et al. 2023 (Prompt Diffusion), section 4, for what is asked.
    """
    denoiser, autoencoder, text = (
        beside / f"{name}.safetensors" for name in ("mini-ldm", "mini-kl-f4", "mini-clip-text")
    )
    frozen = Frozen.load(denoiser, autoencoder, text, torch.device("cpu"))
    paint = example_painter(load_control(weights), frozen)
    found: dict[str, float] = {}
    for makes_picture, title in ((False, "{} of a picture"), (True, "a picture of its {}")):
        for name in MAPS:
            other = next(map_ for map_ in (*reversed(list(TRAINED)), *TRAINED) if map_ != name)
            for shown, by in ((name, "its own pair"), (other, "another task's pair")):
                examples = Examples.fresh(count, name, makes_picture, shown)
                right = share_right(paint(examples), examples, name, makes_picture)
                found[f"{title.format(name)}, by {by}"] = right
    means = {
        f"trained tasks, by {by}": float(np.mean([value for title, value in found.items() if _trained(title, by)]))
        for by in ("its own pair", "another task's pair")
    }
    return {**means, **found}


def _trained(title: str, by: str) -> bool:
    return title.endswith(by) and not any(name in title for name in HELD_OUT)


def _colours(scene: Scene) -> Statement:
    return Statement(tuple(Described(colour=solid.colour) for solid in scene.solids), None, scene.ground)
