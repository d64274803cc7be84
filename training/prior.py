"""The recipe of the mini diffusion prior: from mini CLIP's texts to embeddings of the pictures that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from ..diffusion import losses
from ..models.checkpoint import save_published
from ..models.clip.model import CLIP, ClipModel, load_clip
from ..models.hyper_parameters import SPEC, to_json
from ..models.unclip import checkpoint
from ..models.unclip.prior import Prior
from ..models.unclip.spec import PriorSpec
from . import batches
from .commands import Options, recipe_command, run_command
from .encoded import encoded, rows
from .pool import Pool
from .run import Course, Lesson
from .timesteps import stratified

NAME = "mini-prior"
SIDE = 32


def mini_spec(clip: ClipModel) -> PriorSpec:
    """Three blocks of the width of CLIP's own."""
    text = clip.spec.text
    return PriorSpec(
        width=96,
        layers=3,
        heads=3,
        text_context=text.positions,
        text_width=text.width,
        embedding_width=text.projection,
        carries_statistics=True,
    )


@dataclass(frozen=True)
class PriorCourse(Course):
    """The numbers of the prior's recipe.

    Attributes:
        empty_captions: Share of captions replaced by nothing, for classifier-free guidance.
        silence: Chance that a caption leaves out an object's shape, or else its colour.
        pairs: Share of pictures with two solids.
    """

    minutes: float = 12.0
    batch_size: int = 128
    pool_size: int = 40_000
    empty_captions: float = 0.1
    silence: float = 0.05
    pairs: float = 0.65


class PriorLesson(Lesson):
    """x_0 of a noised embedding under a caption (Ramesh et al. 2022, section 2.2).

    Args:
        course: The recipe's numbers.
        pool: Training scenes.
        clip: CLIP's file.
        folder: Where the encoded pool is kept.
        device: To train on.
    """

    name = NAME

    def __init__(self, course: PriorCourse, pool: Pool, clip: Path, folder: Path, device: torch.device) -> None:
        self.course, self.pool, self.device = course, pool, device
        self.numbers = course
        self.clip = load_clip(clip, device=device)
        self.pictures = encoded(pool, folder, self.clip.digest(), self.clip.encode_picture)
        torch.manual_seed(course.seed)
        self.network = Prior(mini_spec(self.clip)).to(device)
        assert self.network.statistics is not None  # mini_spec says so
        known = torch.from_numpy(self.pictures[:].astype("float32"))
        self.network.statistics.mean.data.copy_(known.mean(dim=0))
        self.network.statistics.std.data.copy_(known.std(dim=0))
        self.network.space = self.clip.clip
        self.model = self.network
        self.schedule = self.network.spec.noise_schedule

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The mean square error of x_0, in units of the embeddings' deviation."""
        rng, generator = self.course.choices(step), self.course.generator(step)
        chosen = self.pool.choose(rng, self.course.batch_size, self.numbers.pairs)
        found = batches.captions(self.pool, chosen, rng, silence=self.numbers.silence)
        condition = batches.clip_texts(self.clip, batches.texts(found, rng, empty=self.numbers.empty_captions))
        assert self.network.statistics is not None
        with torch.no_grad():
            x_0 = self.network.statistics.normalise(rows(self.pictures, chosen).to(self.device))
        timesteps = stratified(len(x_0), len(self.schedule), generator).to(self.device)
        noise = torch.randn(x_0.shape, generator=generator).to(self.device)
        x_t = losses.q_sample(x_0, timesteps, noise, self.schedule)
        with torch.autocast(self.device.type, torch.bfloat16):
            output = self.network(x_t, timesteps, condition).float()
        return {"total": (output - x_0).square().mean()}

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write diffusers' layout, which carries the statistics of the embeddings."""
        spec = self.network.spec
        strings = {**metadata, CLIP: self.clip.clip, SPEC: to_json("unclip", spec)}
        save_published(averaged, checkpoint.key_map(spec, "diffusers"), path, metadata=strings, dtype=torch.float16)


def lesson(options: Options, clip: Annotated[Path, typer.Option(help="Mini CLIP.")]) -> PriorLesson:
    """Train a mini diffusion prior, or go on with the run in OUT."""
    course = options.course(PriorCourse)
    return PriorLesson(course, options.opened(course), clip, options.folder, options.where)


if __name__ == "__main__":
    run_command(recipe_command(lesson, PriorCourse))
