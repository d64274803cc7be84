"""The recipe of the mini autoregressive prior: embeddings of pictures as codes of their principal components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn

from ..models.autoregressive_prior import checkpoint
from ..models.autoregressive_prior.network import AutoregressivePrior
from ..models.autoregressive_prior.spec import AutoregressivePriorSpec
from ..models.clip.model import CLIP, ClipModel, load_clip
from . import batches
from .commands import Options, recipe_command, run_command
from .encoded import encoded, rows
from .pool import Pool
from .run import Course, Lesson

NAME = "mini-autoregressive-prior"
_FITTED = 8000  # pairs of embeddings that components and buckets are fitted to


def mini_spec(clip: ClipModel) -> AutoregressivePriorSpec:
    """As many components as tell something (32 of mini CLIP's 96 hold all but a thousandth of the variance)."""
    text = clip.spec.text
    return AutoregressivePriorSpec(
        embedding_width=text.projection,
        kept=32,
        buckets=64,
        dot_buckets=8,
        text_positions=text.positions,
        text_width=text.width,
        width=96,
        layers=3,
        heads=3,
        mlp_width=288,
    )


@dataclass(frozen=True)
class AutoregressiveCourse(Course):
    """The numbers of the autoregressive prior's recipe.

    Attributes:
        empty_captions: Share of texts that are left out, for classifier-free guidance (the paper: 10 %).
        silence: Chance that a caption leaves out an object's shape, or else its colour.
        pairs: Share of pictures with two solids.
    """

    minutes: float = 12.0
    batch_size: int = 96
    learning_rate: float = 2e-3
    pool_size: int = 40_000
    empty_captions: float = 0.1
    silence: float = 0.05
    pairs: float = 0.65


class AutoregressiveLesson(Lesson):
    """Codes of an embedding, one after the other, under a caption (Ramesh et al. 2022, section 2.2).

    Args:
        course: The recipe's numbers.
        pool: Training scenes.
        clip: CLIP, whose embeddings it makes.
        folder: Where the encoded pool is kept.
        device: To train on.
    """

    name = NAME

    def __init__(
        self, course: AutoregressiveCourse, pool: Pool, clip: ClipModel, folder: Path, device: torch.device
    ) -> None:
        self.course, self.pool, self.device = course, pool, device
        self.numbers, self.clip = course, clip
        self.pictures = encoded(pool, folder, clip.digest(), clip.encode_picture)
        self.network = AutoregressivePrior(mini_spec(clip)).initialise(course.seed).to(device)
        self.model = self.network

    @torch.no_grad()
    def prepare(self) -> None:
        """Fit components and buckets to the embeddings of pictures and of their captions."""
        chosen = np.arange(min(_FITTED, len(self.pool)))
        found = batches.captions(self.pool, chosen, self.course.choices(0), silence=self.numbers.silence)
        texts = batches.clip_texts(self.clip, [one.text for one in found])["text_embedding"]
        self.network.codec.fit(rows(self.pictures, chosen).to(self.device), texts)

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The mean negative log-likelihood of a code, in nats."""
        rng = self.course.choices(step)
        chosen = self.pool.choose(rng, self.course.batch_size, self.numbers.pairs)
        found = batches.captions(self.pool, chosen, rng, silence=self.numbers.silence)
        text = batches.clip_texts(self.clip, [one.text for one in found])
        states = text["text_states"] * text["text_mask"][..., None]
        dropped = torch.from_numpy(rng.random(len(chosen)) < self.numbers.empty_captions).to(self.device)
        image = rows(self.pictures, chosen).to(self.device)
        return {"total": self.network.loss(image, text["text_embedding"], states, dropped)}

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write our own layout (none was published), with the CLIP whose embeddings it makes."""
        network: Any = averaged
        checkpoint.save(network, path, metadata={**metadata, CLIP: self.clip.clip})


def lesson(options: Options, clip: Annotated[Path, typer.Option(help="Mini CLIP.")]) -> AutoregressiveLesson:
    """Train a mini autoregressive prior, or go on with the run in OUT."""
    course, where = options.course(AutoregressiveCourse), options.where
    return AutoregressiveLesson(course, options.opened(course), load_clip(clip, device=where), options.folder, where)


if __name__ == "__main__":
    run_command(recipe_command(lesson, AutoregressiveCourse))
