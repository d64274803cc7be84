"""The recipe of mini latent diffusion: a U-Net over the KL autoencoder's latents that attends to mini CLIP's text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from ..diffusion import losses
from ..models.checkpoint import save_published
from ..models.first_stage.model import SPACE, load_autoencoder
from ..models.hyper_parameters import SPEC, to_json
from ..models.ldm import layout
from ..models.ldm.model import LatentModel
from ..models.ldm.network import LatentDenoiser
from ..models.ldm.spec import UnetSpec
from ..models.ldm.text import load_clip_text
from ..scenes import held_out_prompts
from . import batches
from .commands import Options, recipe_command, run_command
from .encoded import encoded, rows
from .painters import Sampling, latent_painter
from .pool import Pool
from .run import Course, Lesson
from .timesteps import stratified

NAME = "mini-ldm"
SIDE = 32


def mini_spec(context_width: int) -> UnetSpec:
    """8 x 8 latents: most of the arithmetic is at 4 x 4 and 2 x 2."""
    return UnetSpec(
        in_channels=4,
        out_channels=4,
        model_channels=32,
        channel_mult=(1, 2, 4),
        num_res_blocks=1,
        attention_levels=(0, 1),
        context_width=context_width,
        num_heads=0,
        num_head_channels=32,
        norm_groups=8,
        size=8,
        prediction="v",
        betas=(0.0015, 0.0195),
    )


@dataclass(frozen=True)
class LatentCourse(Course):
    """The numbers of latent diffusion's recipe.

    Attributes:
        empty_captions: Share of captions replaced by nothing, for classifier-free guidance (Ho & Salimans 2022).
        silence: Chance that a caption leaves out an object's shape, or else its colour.
        pairs: Share of pictures with two solids.
    """

    minutes: float = 30.0
    batch_size: int = 128
    learning_rate: float = 1.5e-3
    pool_size: int = 40_000
    empty_captions: float = 0.1
    silence: float = 0.1
    pairs: float = 0.7


class LatentLesson(Lesson):
    """A latent denoiser learns v under captions; the text encoder can read already and is left alone.

    Args:
        course: The recipe's numbers.
        pool: Training scenes.
        autoencoder: The KL autoencoder's file.
        text: The text encoder's file.
        folder: Where the encoded pool is kept.
        device: To train on.
        more_channels: How many the first convolution takes beside x_t.
    """

    name = NAME

    def __init__(
        self,
        course: LatentCourse,
        pool: Pool,
        autoencoder: Path,
        text: Path,
        folder: Path,
        device: torch.device,
        *,
        more_channels: int = 0,
    ) -> None:
        self.course, self.pool, self.device = course, pool, device
        self.numbers = course
        self.autoencoder = load_autoencoder(autoencoder, device=device)
        self.text = load_clip_text(text, device=device)
        self.latents = encoded(pool, folder, self.autoencoder.digest(), self.autoencoder.encode)
        torch.manual_seed(course.seed)
        spec = mini_spec(self.text.network.spec.width)
        self.network = LatentDenoiser(replace(spec, in_channels=spec.in_channels + more_channels)).to(device)
        self.network.space = self.autoencoder.space
        self.model = self.network
        self.schedule = LatentModel(self.network).schedule

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The mean square error of v, the same at every timestep (Salimans & Ho 2022, section 4)."""
        rng = self.course.choices(step)
        chosen = self.pool.choose(rng, self.course.batch_size, self.numbers.pairs)
        found = batches.captions(self.pool, chosen, rng, silence=self.numbers.silence)
        context = batches.states(self.text, batches.texts(found, rng, empty=self.numbers.empty_captions))
        x_0 = rows(self.latents, chosen).to(self.device)
        generator = self.course.generator(step)
        timesteps = stratified(len(x_0), len(self.schedule), generator).to(self.device)
        noise = torch.randn(x_0.shape, generator=generator).to(self.device)
        x_t = losses.q_sample(x_0, timesteps, noise, self.schedule)
        with torch.autocast(self.device.type, torch.bfloat16):
            output = self.network(x_t, timesteps, {"context": context, **self.beside(chosen, step)})
        wanted = losses.velocity(x_0, timesteps, noise, self.schedule)
        loss = (output.float() - wanted).square().mean()
        return {"total": loss}

    def beside(self, chosen: NDArray[np.int64], step: int) -> Mapping[str, Tensor]:
        """What the denoiser sees of chosen scenes beside x_t: nothing here."""
        return {}

    def sheet(self, averaged: nn.Module) -> NDArray[np.uint8]:
        """Twelve held-out prompts, two pictures each."""
        network: Any = averaged
        network.space = self.autoencoder.space
        paint = latent_painter(LatentModel(network), self.text, self.autoencoder, Sampling("20"))
        texts = [prompt.text for prompt in held_out_prompts(12) for _ in range(2)]
        return paint(texts, range(24), 0, 3.0)

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the published layout."""
        strings = {**metadata, SPACE: self.autoencoder.space, SPEC: to_json("ldm", self.network.spec)}
        save_published(averaged, layout.key_map(self.network.spec), path, metadata=strings, dtype=torch.float16)


def lesson(
    options: Options,
    autoencoder: Annotated[Path, typer.Option(help="The KL autoencoder.")],
    text: Annotated[Path, typer.Option(help="The text encoder: mini CLIP's text tower.")],
) -> LatentLesson:
    """Train mini latent diffusion, or go on with the run in OUT."""
    course = options.course(LatentCourse)
    return LatentLesson(course, options.opened(course), autoencoder, text, options.folder, options.where)


if __name__ == "__main__":
    run_command(recipe_command(lesson, LatentCourse))
