"""The recipe of mini Paella: a convolutional predictor of the VQ autoencoder's tokens under mini CLIP's embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from ..diffusion.renoising import cosine_share
from ..models.checkpoint import save_published
from ..models.clip.model import CLIP, load_clip
from ..models.paella import checkpoint
from ..models.paella.model import CODEBOOK, PaellaModel
from ..models.paella.spec import PaellaV1Spec
from ..models.paella.token_autoencoder import load_token_autoencoder
from ..models.paella.v1 import PaellaV1
from ..scenes import held_out_prompts
from . import batches
from .commands import Options, recipe_command, run_command
from .encoded import encoded, rows
from .painters import Sampling, paella_painter
from .pool import Pool
from .run import Course, Lesson

NAME = "mini-paella"
SIDE = 32


def mini_spec(codes: int, clip_width: int) -> PaellaV1Spec:
    """8 x 8 tokens: three levels, most blocks at 4 x 4 and 2 x 2."""
    return PaellaV1Spec(codes=codes, width=256, clip_width=clip_width, down_blocks=(2, 3, 3), up_blocks=(3, 3, 2))


@dataclass(frozen=True)
class PaellaCourse(Course):
    """The numbers of Paella's recipe.

    Attributes:
        empty_captions: Share of conditions replaced by zeros, for classifier-free guidance.
        image_embeddings: Share of conditions that are the picture's embedding instead of its caption's: variations
            of a picture need them.
        smoothing: Of the labels, as published.
        silence: Chance that a caption leaves out an object's shape, or else its colour.
        pairs: Share of pictures with two solids.
    """

    minutes: float = 25.0
    batch_size: int = 96
    learning_rate: float = 1.5e-3
    pool_size: int = 40_000
    empty_captions: float = 0.1
    image_embeddings: float = 0.15
    smoothing: float = 0.1
    silence: float = 0.1
    pairs: float = 0.7


class PaellaLesson(Lesson):
    """A predictor learns the tokens of a picture of which some are noise.

    Args:
        course: The recipe's numbers.
        pool: Training scenes.
        autoencoder: The VQ autoencoder's file.
        clip: CLIP's file.
        folder: Where the encoded pool is kept.
        device: To train on.
    """

    name = NAME

    def __init__(
        self, course: PaellaCourse, pool: Pool, autoencoder: Path, clip: Path, folder: Path, device: torch.device
    ) -> None:
        self.course, self.pool, self.device = course, pool, device
        self.numbers = course
        self.autoencoder = load_token_autoencoder(autoencoder, device=device)
        self.clip = load_clip(clip, device=device)
        self.tokens = encoded(pool, folder, self.autoencoder.digest(), lambda x: self.autoencoder.encode((x + 1) / 2))
        self.pictures = encoded(pool, folder, self.clip.digest(), self.clip.encode_picture)
        torch.manual_seed(course.seed)
        self.network = PaellaV1(mini_spec(self.autoencoder.spec.codes, self.clip.spec.text.projection)).to(device)
        with torch.no_grad():
            for name, weight in self.network.named_parameters():
                if name.endswith("layer_scale"):
                    weight.fill_(0.1)  # the published 1e-6 is for far deeper networks and longer runs
        self.network.space = self.autoencoder.codebook
        self.model = self.network

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """Cross-entropy of every position, at stratified times r (Rampas et al. 2022, section 3)."""
        rng, generator = self.course.choices(step), self.course.generator(step)
        chosen = self.pool.choose(rng, self.course.batch_size, self.numbers.pairs)
        condition = self._condition(chosen, rng)
        clean = rows(self.tokens, chosen)
        times = (torch.randperm(len(clean), generator=generator) + torch.rand((), generator=generator)) / len(clean)
        share = torch.tensor([cosine_share(float(time)) for time in times])
        noise = torch.randint(self.network.spec.codes, clean.shape, generator=generator)
        noised = torch.where(torch.rand(clean.shape, generator=generator) < share[:, None, None], noise, clean)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.network(noised.to(self.device), times.to(self.device), {"clip": condition}).float()
        loss = F.cross_entropy(logits, clean.to(self.device), label_smoothing=self.numbers.smoothing)
        right = (logits.argmax(1).cpu() == clean).float().mean()
        return {"total": loss, "wrong": 1 - right}

    def _condition(self, chosen: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        found = batches.captions(self.pool, chosen, rng, silence=self.numbers.silence)
        condition = self.embedded([one.text for one in found])
        draw = torch.from_numpy(rng.random(len(chosen))).to(self.device)[:, None]
        pictures = rows(self.pictures, chosen).to(self.device)
        condition = torch.where(draw < self.numbers.image_embeddings, pictures, condition)
        return torch.where(draw > 1 - self.numbers.empty_captions, torch.zeros_like(condition), condition)

    @torch.no_grad()
    def embedded(self, texts: Sequence[str]) -> Tensor:
        """CLIP's embeddings of texts, "batch width", not normalised."""
        tokens = self.clip.tokenizer.encode_batch(texts, self.clip.spec.text.positions)
        return self.clip.network.encode_text(tokens.to(self.device))[1]

    def sheet(self, averaged: nn.Module) -> NDArray[np.uint8]:
        """Twelve held-out prompts, two pictures each, in eight steps."""
        network: Any = averaged
        paint = paella_painter(PaellaModel(network, self.clip.clip), self.clip, self.autoencoder, Sampling("8"))
        texts = [prompt.text for prompt in held_out_prompts(12) for _ in range(2)]
        return paint(texts, range(24), 0, 3.0)

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the published layout."""
        strings = {**metadata, CODEBOOK: self.autoencoder.codebook, CLIP: self.clip.clip}
        save_published(averaged, checkpoint.key_map(self.network.spec), path, metadata=strings, dtype=torch.float16)


def lesson(
    options: Options,
    autoencoder: Annotated[Path, typer.Option(help="The VQ autoencoder.")],
    clip: Annotated[Path, typer.Option(help="Mini CLIP.")],
) -> PaellaLesson:
    """Train mini Paella, or go on with the run in OUT."""
    course = options.course(PaellaCourse)
    return PaellaLesson(course, options.opened(course), autoencoder, clip, options.folder, options.where)


if __name__ == "__main__":
    run_command(recipe_command(lesson, PaellaCourse))
