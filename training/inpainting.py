"""The recipe of mini GLIDE's inpainting model: the base model learns to paint into the holes of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from ..models.glide.model import GlideModel, load_model
from ..models.glide.network import GlideTextToImage
from ..scenes import Scene
from .commands import Options, recipe_command, run_command
from .glide import GlideLesson
from .painters import Sampling
from .pool import Pool
from .recipe import Batch, Recipe, draw_batch
from .repainters import inpainting_painter
from .repainting import hole_of, repainting_tasks
from .widening import widen


@dataclass(frozen=True)
class InpaintingRecipe(Recipe):
    """The numbers of the inpainting recipe.

    Attributes:
        nothing_known: Share of pictures of which nothing is known, so that the model still draws from text alone.
        whole_solids: Share of holes that hide a solid.
    """

    minutes: float = 15.0
    stages: tuple[tuple[float, int, int], ...] = ((1.0, 32, 48),)
    reading_steps: int = 0
    learning_rate: float = 5e-4
    warm_up_steps: int = 30
    decay_from: float = 0.4
    pool_size: int = 40_000
    ema: float = 0.998
    nothing_known: float = 0.1
    whole_solids: float = 0.5


def inpainting_model(base: GlideModel) -> GlideModel:
    """A base model that is shown a picture and its mask beside x_t, and does not look at them yet."""
    network = GlideTextToImage(replace(base.spec, variant="inpaint"))
    widen(network, base.network.state_dict())
    return GlideModel(network, base.tokenizer)


@dataclass(frozen=True)
class Holes:
    """Of what kinds holes are.

    Attributes:
        nothing_known: Share of pictures of which nothing is known.
        whole_solids: Share of holes that hide a solid; the others are boxes anywhere.
    """

    nothing_known: float
    whole_solids: float


def known_pixels(scenes: Sequence[Scene], side: int, holes: Holes, rng: np.random.Generator) -> Tensor:
    """Masks of scenes' pictures, "batch 1 side side": 1 where a picture is known."""
    masks = np.ones((len(scenes), 1, side, side), np.float32)
    for mask, scene in zip(masks[:, 0], scenes, strict=True):
        draw = rng.random()
        if draw < holes.nothing_known:
            mask[:] = 0
        elif draw < holes.nothing_known + holes.whole_solids:
            solid = scene.solids[int(rng.integers(len(scene.solids)))]
            mask[hole_of(solid, side, margin=rng.uniform(0.02, 0.2))] = 0
        else:
            height, width = rng.integers(side // 5, side * 9 // 10, size=2)
            top, left = rng.integers(side - height + 1), rng.integers(side - width + 1)
            mask[top : top + height, left : left + width] = 0
    return torch.from_numpy(masks)


class InpaintingLesson(GlideLesson):
    """The base model learns on with a part of each picture known (Nichol et al. 2021, section 4.3).

    Args:
        recipe: The recipe's numbers.
        pool: Training scenes.
        base: What it begins with.
        device: To train on.
    """

    name = "mini-glide-inpaint"

    def __init__(self, recipe: InpaintingRecipe, pool: Pool, base: GlideModel, device: torch.device) -> None:
        super().__init__(recipe, pool, inpainting_model(base), device)
        self.holes = Holes(recipe.nothing_known, recipe.whole_solids)

    def batch(self, step: int, progress: float) -> Batch:
        """The base model's batch with masks."""
        found = draw_batch(self.pool, self.tokenizer, self.recipe, step, progress)
        scenes = [self.pool.scenes[index] for index in found.chosen]
        rng = np.random.default_rng((self.recipe.seed, step, 5))
        mask = known_pixels(scenes, found.pictures.shape[-1], self.holes, rng)
        return replace(found, known={"inpaint_image": found.pictures, "inpaint_mask": mask})

    def sheet(self, averaged: nn.Module) -> NDArray[np.uint8]:
        """Fresh scenes, four to a row, each beside what it becomes when a solid is painted over."""
        network: Any = averaged
        tasks = repainting_tasks(16, self.network.spec.image_size)
        paint = inpainting_painter(GlideModel(network, self.tokenizer), Sampling("20"))
        texts = [caption.text for caption in tasks.captions]
        found = paint(texts, tasks.pictures, tasks.masks, range(16), 0, 3.0)
        return np.stack([tasks.pictures, found], axis=1).reshape(-1, *found.shape[1:])


def lesson(
    options: Options, base: Annotated[Path, typer.Option(help="Mini GLIDE, which it begins with.")]
) -> InpaintingLesson:
    """Train mini GLIDE's inpainting model, or go on with the run in OUT."""
    recipe, where = options.course(InpaintingRecipe), options.where
    return InpaintingLesson(recipe, options.opened(recipe), load_model(base, device=where), where)


if __name__ == "__main__":
    run_command(recipe_command(lesson, InpaintingRecipe))
