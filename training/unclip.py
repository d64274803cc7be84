"""The recipe of mini unCLIP's decoder: mini GLIDE's U-Net learns to draw what an embedding of mini CLIP's shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from ..models.checkpoint import save_published
from ..models.clip.model import CLIP, ClipModel, load_clip
from ..models.first_stage.model import SPACE
from ..models.glide.model import GlideModel, load_model
from ..models.glide.spec import GlideSpec
from ..models.hyper_parameters import SPEC, to_json
from ..models.unclip import checkpoint
from ..models.unclip.decoder import Decoder
from ..models.unclip.model import PIXELS, DecoderModel
from ..models.unclip.spec import DecoderSpec
from ..scenes import render
from . import batches
from .commands import Options, recipe_command, run_command
from .encoded import encoded, rows
from .fresh import fresh_scenes
from .hybrid import SnrWeight, hybrid
from .painters import Sampling, decoder_painter, to_pixels
from .pool import Pool
from .run import Course, Lesson

NAME = "mini-unclip-decoder"
_IMITATED = 4000  # scenes whose captions and embeddings are compared


def mini_spec(glide: GlideSpec, clip: ClipModel) -> DecoderSpec:
    """Karlo's form around GLIDE's U-Net; as many tokens of the picture as the longest caption has words."""
    text = clip.spec.text
    levels = range(len(glide.channel_mult))
    return DecoderSpec(
        model_channels=glide.model_channels,
        channel_mult=glide.channel_mult,
        num_res_blocks=glide.num_res_blocks,
        attention_levels=tuple(level for level in levels if glide.attention_levels[level]),
        num_head_channels=glide.num_head_channels,
        context_width=glide.text_width,
        image_tokens=16,
        embedding_width=clip.spec.image.projection,
        text_width=text.width,
        pooled_width=text.projection,
        norm_groups=glide.norm_groups,
    )


@dataclass(frozen=True)
class DecoderCourse(Course):
    """The numbers of the decoder's recipe.

    Attributes:
        empty_pictures: Share of embeddings replaced by the learned one of no picture, for classifier-free guidance.
        empty_captions: Share of captions replaced by nothing, so that the picture's embedding tells alone (half of
            them in the paper).
        silence: Chance that a caption leaves out an object's shape, or else its colour.
        pairs: Share of pictures with two solids.
        coarse: Share of the time in which pictures are halved, which teaches conditions three times faster.
        noise: Upper bound of the deviation of noise in embeddings: a prior's are never quite a picture's.
        snr_limits: Of the weight of the eps error; see `hybrid.SnrWeight`.
        weight_limits: Of the same.
    """

    minutes: float = 22.0
    batch_size: int = 32
    learning_rate: float = 6e-4
    warm_up_steps: int = 50
    decay_from: float = 0.4
    pool_size: int = 40_000
    ema: float = 0.995
    empty_pictures: float = 0.1
    empty_captions: float = 0.5
    silence: float = 0.1
    pairs: float = 0.65
    coarse: float = 0.6
    noise: float = 0.4
    snr_limits: tuple[float, float] = (0.3, 5.0)
    weight_limits: tuple[float, float] = (0.2, 20.0)


class DecoderLesson(Lesson):
    """A decoder learns eps and variance of pictures under their embedding, and sometimes a caption.

    Args:
        course: The recipe's numbers.
        pool: Training scenes.
        glide: The model whose U-Net it begins with.
        clip: CLIP, whose embeddings it decodes.
        folder: Where the encoded pool is kept.
        device: To train on.
    """

    name = NAME

    def __init__(
        self, course: DecoderCourse, pool: Pool, glide: GlideModel, clip: ClipModel, folder: Path, device: torch.device
    ) -> None:
        self.course, self.pool, self.device = course, pool, device
        self.numbers, self.glide, self.clip = course, glide, clip
        self.embeddings = encoded(pool, folder, clip.digest(), clip.encode_picture)
        torch.manual_seed(course.seed)
        self.network = Decoder(mini_spec(glide.spec, clip)).to(device)
        self.network.space = PIXELS
        self.model = self.network
        self.schedule = self.network.spec.noise_schedule

    @torch.no_grad()
    def prepare(self) -> None:
        """Take GLIDE's U-Net, and the linear maps from embeddings to what its text transformer says of them."""
        self.network.unet.load_state_dict(self.glide.network.unet.state_dict())
        chosen = np.arange(min(_IMITATED, len(self.pool)))
        texts = [batches.everything(self.pool.scenes[index]).text for index in chosen]
        words = self.glide.tokenizer.encode_batch(texts, self.glide.spec.text_context)
        wanted = self.glide.network.encode_text(*(part.to(self.device) for part in words))
        given = rows(self.embeddings, chosen)
        condition = self.network.condition
        states = wanted["text_states"][:, : self.network.spec.image_tokens]
        fit(condition.image_to_tokens, given, states.transpose(1, 2).flatten(1), noise=self.numbers.noise)
        fit(condition.image_to_time, given, wanted["text_embedding"], noise=self.numbers.noise)
        condition.no_image.copy_(given.mean(dim=0))
        condition.text_to_time.weight.zero_()
        condition.text_to_time.bias.zero_()

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The hybrid loss (Nichol & Dhariwal 2021, eq. 16), its eps error weighted."""
        rng, numbers = self.course.choices(step), self.numbers
        chosen = self.pool.choose(rng, numbers.batch_size, numbers.pairs)
        found = batches.captions(self.pool, chosen, rng, silence=numbers.silence)
        text = batches.clip_texts(self.clip, batches.texts(found, rng, empty=numbers.empty_captions))
        embedding = self.noised(rows(self.embeddings, chosen), rng).to(self.device)
        empty = torch.from_numpy(rng.random(len(chosen)) < numbers.empty_pictures).to(self.device)[:, None]
        x_0 = batches.pictures(self.pool, chosen).to(self.device)
        x_0 = F.avg_pool2d(x_0, 2) if progress < numbers.coarse else x_0

        def network(x_t: Tensor, timesteps: Tensor) -> Tensor:
            image = torch.where(empty, self.network.condition.no_image, embedding)
            return self.network(x_t, timesteps, self.network.encode(image, **text))

        weight = SnrWeight(numbers.snr_limits, numbers.weight_limits)
        return hybrid(network, x_0, self.schedule, weight, self.course.generator(step))

    def noised(self, embedding: Tensor, rng: np.random.Generator) -> Tensor:
        """Embeddings "batch width", each with as much noise as chance gives it."""
        deviation = torch.from_numpy(rng.uniform(0, self.numbers.noise, (len(embedding), 1)))
        return embedding + (deviation * torch.from_numpy(rng.standard_normal(tuple(embedding.shape)))).float()

    def sheet(self, averaged: nn.Module) -> NDArray[np.uint8]:
        """Fresh scenes, four to a row, each beside what is drawn under its embedding."""
        pictures = np.stack([render(scene, self.glide.spec.image_size) for scene in fresh_scenes(16)])
        values = to_pixels(pictures)
        paint = decoder_painter(DecoderModel(averaged, self.clip.clip), self.clip, Sampling("20"))  # pyrefly: ignore
        found = paint(self.clip.encode_picture(values), range(16), 0, 2.0)
        return np.stack([pictures, found], axis=1).reshape(-1, *pictures.shape[1:])

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the published layout, with the CLIP whose embeddings it takes."""
        spec = self.network.spec
        strings = {**metadata, CLIP: self.clip.clip, SPACE: PIXELS, SPEC: to_json("unclip", spec)}
        save_published(averaged, checkpoint.key_map(spec), path, metadata=strings, dtype=torch.float16)


@torch.no_grad()
def fit(layer: nn.Linear, given: Tensor, wanted: Tensor, *, noise: float = 0.0) -> None:
    """Set a linear layer, in place, to the least squares from "batch in" to "batch out".

    Args:
        layer: What is set.
        given: What it takes.
        wanted: What it should give.
        noise: Deviation of noise that it shall bear in what it takes: ridge regression, without which directions that
            hardly vary are blown up.
    """
    given, wanted = given.double().cpu(), wanted.double().cpu()
    centred = given - given.mean(dim=0)
    ridge = len(given) * noise**2 * torch.eye(given.shape[1], dtype=torch.float64)
    weight = torch.linalg.lstsq(centred.mT @ centred + ridge, centred.mT @ wanted, driver="gelsd").solution.mT
    layer.weight.copy_(weight)
    layer.bias.copy_(wanted.mean(dim=0) - weight @ given.mean(dim=0))


def lesson(
    options: Options,
    glide: Annotated[Path, typer.Option(help="Mini GLIDE, whose U-Net it begins with.")],
    clip: Annotated[Path, typer.Option(help="Mini CLIP.")],
    coarse: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the time with halved pictures.")
    ] = DecoderCourse.coarse,
) -> DecoderLesson:
    """Train a mini unCLIP decoder, or go on with the run in OUT."""
    course, where = options.course(DecoderCourse, coarse=coarse), options.where
    known, words = load_model(glide, device=where), load_clip(clip, device=where)
    return DecoderLesson(course, options.opened(course), known, words, options.folder, where)


if __name__ == "__main__":
    run_command(recipe_command(lesson, DecoderCourse))
