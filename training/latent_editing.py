"""The recipes that mini latent diffusion is trained on with: inpainting, and super-resolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import GlidewireError
from ..models.ldm.model import LatentModel, load_denoiser
from . import batches
from .commands import Options, recipe_command, run_command
from .fresh import fresh_scenes
from .inpainting import Holes, known_pixels
from .latent import LatentCourse, LatentLesson
from .painters import Sampling
from .pool import Pool
from .repainters import latent_enlarger, latent_inpainter, masked_beside, small_beside
from .repainting import halved, rendered, repainting_tasks
from .widening import widen

Task = Literal["inpaint", "upsample"]
# What is seen beside x_t, in channels: a mask and the masked picture's latents, or a small picture.
_CHANNELS: Mapping[Task, int] = {"inpaint": 5, "upsample": 3}


@dataclass(frozen=True)
class LatentEditingCourse(LatentCourse):
    """The numbers of these recipes.

    Attributes:
        task: What is learnt.
        nothing_known: For inpainting: share of pictures of which nothing is known.
        whole_solids: For inpainting: share of holes that hide a solid.
    """

    minutes: float = 15.0
    learning_rate: float = 7e-4
    decay_from: float = 0.4
    task: Task = "inpaint"
    nothing_known: float = 0.1
    whole_solids: float = 0.5


class LatentEditingLesson(LatentLesson):
    """Mini latent diffusion learns on with something beside x_t.

    Args:
        course: The recipe's numbers.
        pool: Training scenes.
        base: What it begins with.
        autoencoder: The KL autoencoder's file.
        text: The text encoder's file.
        folder: Where the encoded pool is kept.
        device: To train on.
    """

    def __init__(
        self,
        course: LatentEditingCourse,
        pool: Pool,
        base: LatentModel,
        autoencoder: Path,
        text: Path,
        folder: Path,
        device: torch.device,
    ) -> None:
        if course.task not in get_args(Task):
            raise GlidewireError("task", expected=" or ".join(get_args(Task)), got=course.task)
        super().__init__(course, pool, autoencoder, text, folder, device, more_channels=_CHANNELS[course.task])
        self.name = {"inpaint": "mini-ldm-inpaint", "upsample": "mini-ldm-upsampler"}[course.task]
        self.editing, self.base = course, base

    def prepare(self) -> None:
        """Begin as the base model, which sees nothing beside x_t."""
        widen(self.network, self.base.network.state_dict())

    @torch.no_grad()
    def beside(self, chosen: NDArray[np.int64], step: int) -> Mapping[str, Tensor]:
        """A mask and the masked picture, or a small picture."""
        pictures = batches.pictures(self.pool, chosen).to(self.device)
        if self.editing.task == "upsample":
            return small_beside(self.autoencoder, pictures)
        rng = np.random.default_rng((self.course.seed, step, 5))
        holes = Holes(self.editing.nothing_known, self.editing.whole_solids)
        known = known_pixels([self.pool.scenes[index] for index in chosen], pictures.shape[-1], holes, rng)
        return masked_beside(self.autoencoder, pictures, known.to(self.device))

    @torch.no_grad()
    def sheet(self, averaged: nn.Module) -> NDArray[np.uint8]:
        """Fresh scenes, four to a row, each beside what is made of it."""
        network: Any = averaged
        network.space = self.autoencoder.space
        parts = LatentModel(network), self.text, self.autoencoder, Sampling("20")
        if self.editing.task == "inpaint":
            tasks = repainting_tasks(16, 32)
            pictures, texts = tasks.pictures, [caption.text for caption in tasks.captions]
            found = latent_inpainter(*parts)(texts, pictures, tasks.masks, range(16), 0, 3.0)
        else:
            scenes = fresh_scenes(16)
            pictures, texts = rendered(scenes, 32), [batches.everything(scene).text for scene in scenes]
            found = latent_enlarger(*parts)(texts, halved(pictures, 2), range(16), 0, 3.0)
        return np.stack([pictures, found], axis=1).reshape(-1, *pictures.shape[1:])


def lesson(
    options: Options,
    base: Annotated[Path, typer.Option(help="Mini latent diffusion, which it begins with.")],
    autoencoder: Annotated[Path, typer.Option(help="The KL autoencoder.")],
    text: Annotated[Path, typer.Option(help="The text encoder: mini CLIP's text tower.")],
    task: Annotated[str, typer.Option(help="inpaint or upsample.")] = "inpaint",
) -> LatentEditingLesson:
    """Train mini latent diffusion on for inpainting or super-resolution, or go on with the run in OUT."""
    course, where = options.course(LatentEditingCourse, task=task), options.where
    begun = load_denoiser(base, device=where)
    return LatentEditingLesson(course, options.opened(course), begun, autoencoder, text, options.folder, where)


if __name__ == "__main__":
    run_command(recipe_command(lesson, LatentEditingCourse))
