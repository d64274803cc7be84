"""The recipe of mini GLIDE: text transformer and U-Net on the scene world, on two CPU cores or one GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..diffusion import schedules
from ..models.glide import checkpoint
from ..models.glide.model import GlideModel
from ..models.glide.network import GlideTextToImage
from ..scenes import held_out_prompts
from . import evaluate, reading
from .commands import Options, recipe_command, run_command
from .pool import Pool
from .recipe import MINI, Batch, Recipe, caption_tokenizer, draw_batch, loss_of
from .run import Lesson


def fresh_model(seed: int) -> GlideModel:
    """Mini GLIDE before its training, with embeddings wide enough to learn to read."""
    tokenizer = caption_tokenizer()
    network = GlideTextToImage(replace(MINI, vocabulary_size=tokenizer.vocabulary_size)).initialise(seed)
    reading.widen_embeddings(network.text)
    return GlideModel(network, tokenizer)


class GlideLesson(Lesson):
    """GLIDE's base model learns eps and variance of pictures under captions.

    Args:
        recipe: The recipe's numbers.
        pool: Training scenes.
        model: What is trained; see `fresh_model`.
        device: To train on.
    """

    name = "mini-glide-base"

    def __init__(self, recipe: Recipe, pool: Pool, model: GlideModel, device: torch.device) -> None:
        self.course, self.recipe, self.pool, self.device = recipe, recipe, pool, device
        self.network, self.tokenizer = model.network.to(device), model.tokenizer
        self.model = self.network
        self.schedule = schedules.SCHEDULES[model.spec.schedule]()
        self.side = model.spec.image_size

    def prepare(self) -> None:
        """The text transformer learns to read; see `reading`."""
        recipe = self.recipe
        reading.learn_to_read(
            self.network.text, self.tokenizer, steps=recipe.reading_steps, seed=recipe.seed, tints=recipe.tints
        )

    def groups(self) -> list[dict[str, Any]]:
        """The text transformer learns slowly: it can read already."""
        return [
            {"params": list(self.network.text.parameters()), "scale": self.recipe.text_rate},
            {"params": list(self.network.unet.parameters()), "scale": 1.0},
        ]

    def batch(self, step: int, progress: float) -> Batch:
        """What a step learns from."""
        return draw_batch(self.pool, self.tokenizer, self.recipe, step, progress)

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """See `recipe.loss_of`; "pictures" is how many the step has."""
        self.side, _ = self.recipe.stage(progress)
        batch = self.batch(step, progress)
        found = loss_of(self.network, batch.to(self.device), self.schedule, self.recipe, step)
        return {**found, "pictures": torch.tensor(float(len(batch.pictures)))}

    def sheet(self, averaged: nn.Module) -> NDArray[np.uint8]:
        """Twelve held-out prompts, two pictures each, drawn at the side of the stage."""
        network: Any = averaged
        texts = [prompt.text for prompt in held_out_prompts(12) for _ in range(2)]
        sampling = evaluate.Sampling("20", batch=24)
        found = evaluate.draw(network, self.tokenizer, texts, range(24), 3.0, sampling, side=self.side)
        factor = self.network.spec.image_size // self.side
        return found.repeat(factor, axis=1).repeat(factor, axis=2)

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write averaged weights in GLIDE's published layout, with spec and vocabulary, as float16."""
        network: Any = averaged
        checkpoint.save(network, path, merges=self.tokenizer, dtype=torch.float16, metadata=metadata)


def lesson(options: Options) -> GlideLesson:
    """Train mini GLIDE, or go on with the run in OUT."""
    recipe = options.course(Recipe)
    return GlideLesson(recipe, options.opened(recipe, MINI.image_size), fresh_model(recipe.seed), options.where)


if __name__ == "__main__":
    run_command(recipe_command(lesson, Recipe))
