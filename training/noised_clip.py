"""The recipe of mini noised CLIP: mini CLIP's image tower learns what time it is and to see through noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from ..diffusion import losses, schedules
from ..models.checkpoint import save_published
from ..models.clip.model import CLIP, ClipModel, load_clip
from ..models.clip.tokenizer import VOCABULARY
from ..models.hyper_parameters import SPEC, to_json
from ..models.noised_clip import checkpoint
from ..models.noised_clip.network import NoisedImageEncoder, NoisedTextEncoder
from ..models.noised_clip.spec import NoisedImageSpec, NoisedTextSpec
from . import batches
from .clip import contrastive_loss
from .commands import Options, recipe_command, run_command
from .pool import Pool
from .run import Course, Lesson
from .timesteps import stratified

NAME = "mini-noised-clip"
SIDE = 32


@dataclass(frozen=True)
class NoisedClipCourse(Course):
    """The numbers of noised CLIP's recipe.

    Attributes:
        silence: Chance that a caption leaves out an object's shape, or else its colour.
        pairs: Share of pictures with two solids.
    """

    minutes: float = 10.0
    batch_size: int = 96
    pool_size: int = 40_000
    ema: float = 0.995
    silence: float = 0.05
    pairs: float = 0.6


def image_tower(clip: ClipModel, steps: int) -> NoisedImageEncoder:
    """CLIP's image tower with a row of the table for every timestep, each of them its class token at first."""
    spec = clip.spec.image
    tower = NoisedImageEncoder(
        NoisedImageSpec(
            image_size=spec.image_size,
            patch_size=spec.patch_size,
            width=spec.width,
            layers=spec.layers,
            heads=spec.heads,
            mlp_width=spec.mlp_width,
            embedding_width=spec.projection,
            timesteps=steps,
        )
    )
    state = dict(clip.network.image.visual.state_dict())
    token = state.pop("class_embedding")
    tower.tower.load_state_dict(state)
    with torch.no_grad():
        tower.time_embedding.weight.copy_(token.expand(steps, -1))
    _forget_key_biases(tower)
    return tower


def text_tower(clip: ClipModel) -> NoisedTextEncoder:
    """CLIP's text tower under noised CLIP's names."""
    spec = clip.spec.text
    tower = NoisedTextEncoder(
        NoisedTextSpec(
            context=spec.positions,
            vocabulary_size=spec.vocabulary_size,
            width=spec.width,
            layers=spec.layers,
            heads=spec.heads,
            mlp_width=spec.mlp_width,
            embedding_width=spec.projection,
        )
    )
    tower.tower.load_state_dict(clip.network.text.encoder.state_dict())
    _forget_key_biases(tower)
    return tower


@torch.no_grad()
def _forget_key_biases(tower: nn.Module) -> None:
    """Set the keys' biases to zero, in place: the published layout has none, and softmax does not see them."""
    for name, weight in tower.named_parameters():
        if name.endswith("attn.in_proj_bias"):
            weight.view(3, -1)[1] = 0


class NoisedClipLesson(Lesson):
    """Noised pictures find their captions, at every timestep of GLIDE's schedule.

    Args:
        course: The recipe's numbers.
        pool: Training scenes.
        clip: CLIP's file: its text tower stays as it is.
        device: To train on.
    """

    name = NAME

    def __init__(self, course: NoisedClipCourse, pool: Pool, clip: Path, device: torch.device) -> None:
        self.course, self.pool, self.device = course, pool, device
        self.numbers = course
        self.schedule = schedules.squared_cosine()
        self.clip = load_clip(clip, device=device)
        self.network = image_tower(self.clip, len(self.schedule)).to(device)
        self.network.requires_grad_(True)
        self.model = self.network

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The contrastive loss at stratified timesteps (Nichol et al. 2021, section 2.3)."""
        rng, generator = self.course.choices(step), self.course.generator(step)
        chosen = self.pool.choose(rng, self.course.batch_size, self.numbers.pairs)
        found = batches.captions(self.pool, chosen, rng, silence=self.numbers.silence)
        tokens = self.clip.tokenizer.encode_batch([one.text for one in found], self.clip.spec.text.positions)
        x_0 = batches.pictures(self.pool, chosen).to(self.device)
        timesteps = stratified(len(x_0), len(self.schedule), generator).to(self.device)
        noise = torch.randn(x_0.shape, generator=generator).to(self.device)
        x_t = losses.q_sample(x_0, timesteps, noise, self.schedule)
        with torch.autocast(self.device.type, torch.bfloat16):
            image = self.network(x_t, timesteps).float()
        with torch.no_grad():
            text = self.clip.network.encode_text(tokens.to(self.device))[1]
            scale = self.clip.network.logit_scale.exp()
        scores = scale * F.normalize(image, dim=1) @ F.normalize(text, dim=1).mT
        right = (scores.argmax(1).cpu() == torch.arange(len(scores))).float()
        clean = right[timesteps.cpu() < len(self.schedule) // 4].mean()
        return {"total": contrastive_loss(scores), "wrong": 1 - right.mean(), "wrong when clean": 1 - clean}

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the published layout: a file for each tower."""
        image: Any = averaged
        _forget_key_biases(image)
        text = text_tower(self.clip)
        words = {VOCABULARY: ",".join(map(str, self.clip.tokenizer.kept)), CLIP: self.clip.clip}
        for tower, place in ((image, path), (text, path.with_name(f"{self.name}-text.safetensors"))):
            strings = {**metadata, **words, SPEC: to_json("noised_clip", tower.spec)}
            save_published(tower, checkpoint.key_map(tower.spec), place, metadata=strings, dtype=torch.float16)


def lesson(
    options: Options, clip: Annotated[Path, typer.Option(help="Mini CLIP, whose towers it begins with.")]
) -> NoisedClipLesson:
    """Train mini noised CLIP, or go on with the run in OUT."""
    course = options.course(NoisedClipCourse)
    return NoisedClipLesson(course, options.opened(course), clip, options.where)


if __name__ == "__main__":
    run_command(recipe_command(lesson, NoisedClipCourse))
