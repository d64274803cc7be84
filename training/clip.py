"""The recipe of mini CLIP: its text tower learns to read, its image tower to see, and both to agree."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from ..errors import GlidewireError
from ..models.checkpoint import save_published
from ..models.clip import checkpoint
from ..models.clip.model import CLIP, load_clip
from ..models.clip.network import Clip
from ..models.clip.spec import ClipImageSpec, ClipSpec
from ..models.clip.tokenizer import VOCABULARY, ClipTokenizer
from ..models.clip_text import checkpoint as text_checkpoint
from ..models.clip_text.spec import ClipTextSpec
from ..models.hyper_parameters import SPEC, to_json
from ..scenes import Caption, caption, sample_scene
from . import batches
from .commands import Options, recipe_command, run_command
from .pool import Pool
from .reading import ANSWERS, OF_COLOUR, QUESTIONS, UNASKED, answers_to, question_loss
from .run import Course, Lesson

NAME = "mini-clip"
SIDE, POSITIONS, WIDTH = 32, 24, 96
IMAGE = ClipImageSpec(
    image_size=SIDE,
    patch_size=4,
    width=WIDTH,
    layers=3,
    heads=3,
    mlp_width=4 * WIDTH,
    quick_gelu=False,
    projection=WIDTH,
)


def caption_vocabulary() -> tuple[int, ...]:
    """The ids of CLIP's vocabulary that captions of the scene world use, and its start and end."""
    words = ClipTokenizer()
    used = {words.start_token, words.end_token}
    for seed in range(3000):
        used |= set(words.encode(caption(sample_scene(seed, tints=0.5), seed).text, 77).tokens.tolist())
    return tuple(sorted(used - {0}))


def mini_spec(tokenizer: ClipTokenizer) -> ClipSpec:
    """Both towers: 0.4 M parameters each."""
    text = ClipTextSpec(
        vocabulary_size=tokenizer.vocabulary_size,
        positions=POSITIONS,
        width=WIDTH,
        layers=3,
        heads=3,
        mlp_width=4 * WIDTH,
        quick_gelu=False,
        projection=WIDTH,
        padding=0,
    )
    return ClipSpec(IMAGE, text)


@dataclass(frozen=True)
class ClipCourse(Course):
    """The numbers of mini CLIP's recipe.

    Attributes:
        reading_share: Share of the time in which the text tower alone learns to read.
        question_weight: Weight of the answers that a linear head gives from either embedding, beside the
            contrastive loss: an embedding that names every attribute is one that guidance and priors can use.
        question_noise: Deviation of noise in the embeddings that are asked, in units of their own root mean square:
            what a prior makes is never quite a picture's embedding, and its answers should be the same.
        grey: Share of the pictures that are shown without their colours once more, and asked for all that needs none.
            A shape that is known without its colour is known in colours in which it never came.
        locked_text: Whether the text tower stays as it is and the image tower learns to agree with it (Zhai et al.
            2022), so that networks that know the texts' embeddings still do.
        silence: Chance that a caption leaves out an object's shape, or else its colour.
        pairs: Share of pictures with two solids.
    """

    minutes: float = 25.0
    batch_size: int = 96
    learning_rate: float = 2e-3
    decay_from: float = 0.5
    ema: float = 0.998
    reading_share: float = 0.15
    question_weight: float = 1.0
    question_noise: float = 0.3
    grey: float = 0.25
    locked_text: bool = False
    silence: float = 0.05
    pairs: float = 0.6


class Seeing(nn.Module):
    """CLIP, and the head that asks its embeddings what the scene holds; the head is thrown away."""

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.clip = clip
        self.ask = nn.Linear(clip.spec.image.projection, sum(ANSWERS))

    def answers(self, embedding: Tensor, noise: Tensor) -> Tensor:
        """Scores of all answers, asked of an embedding's direction under noise in units of its own."""
        return self.ask(F.normalize(embedding, dim=1) * embedding.shape[1] ** 0.5 + noise)


def without_colours(picture: Tensor) -> Tensor:
    """Pictures "batch 3 height width" in grey: Rec. 601's luma in all three channels."""
    luma = torch.tensor([0.299, 0.587, 0.114], device=picture.device)
    return (picture * luma[:, None, None]).sum(dim=1, keepdim=True).expand_as(picture)


def contrastive_loss(scores: Tensor) -> Tensor:
    """The mean of both directions' cross-entropies; scores "pictures texts", where item i fits item i.

    Source: Radford et al. 2021, figure 3.
    """
    same = torch.arange(len(scores), device=scores.device)
    return 0.5 * (F.cross_entropy(scores, same) + F.cross_entropy(scores.mT, same))


class ClipLesson(Lesson):
    """Texts and pictures of the scene world meet in one space."""

    name = NAME

    def __init__(self, course: ClipCourse, pool: Pool, device: torch.device) -> None:
        self.course, self.pool, self.device = course, pool, device
        self.numbers = course
        torch.manual_seed(course.seed)
        self.tokenizer = ClipTokenizer(0, caption_vocabulary())
        network = Clip(mini_spec(self.tokenizer))
        # Wider embeddings than open_clip's: words then learn their places sooner.
        nn.init.normal_(network.text.encoder.token_embedding.weight, std=0.5)
        nn.init.normal_(network.text.encoder.positional_embedding, std=0.5)
        network.text.requires_grad_(not course.locked_text)
        self.seeing = Seeing(network).to(device)
        self.model = self.seeing

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """Reading alone at first; then reading, seeing and the contrastive loss."""
        rng = self.course.choices(step)
        chosen = self.pool.choose(rng, self.course.batch_size, self.numbers.pairs)
        found = batches.captions(self.pool, chosen, rng, silence=self.numbers.silence)
        clip = self.seeing.clip
        with torch.autocast(self.device.type, torch.bfloat16):
            text = clip.encode_text(self._tokens(found))[1].float()
        stated = torch.tensor([answers_to(one.statement) for one in found], device=self.device)
        generator = self.course.generator(step)
        reading = question_loss(self.seeing.answers(text, self._noise(text, generator)), stated)
        if progress < self.numbers.reading_share:
            return {"total": reading, "reading": reading}
        picture = batches.pictures(self.pool, chosen).to(self.device)
        again = round(self.numbers.grey * len(chosen))
        with torch.autocast(self.device.type, torch.bfloat16):
            shown = clip.encode_image(torch.cat([picture, without_colours(picture[:again])])).float()
        whole = [batches.everything(self.pool.scenes[index]).statement for index in chosen]
        seen = torch.tensor([answers_to(one) for one in whole], device=self.device)
        seen = torch.cat([seen, seen[:again].index_fill(1, torch.tensor(OF_COLOUR, device=self.device), UNASKED)])
        seeing = question_loss(self.seeing.answers(shown, self._noise(shown, generator)), seen)
        image = shown[: len(chosen)]
        scores = clip.logit_scale.exp().clamp(max=100) * F.normalize(image, dim=1) @ F.normalize(text, dim=1).mT
        contrast = contrastive_loss(scores)
        total = contrast + self.numbers.question_weight * (reading + seeing) / len(QUESTIONS)
        return {"total": total, "reading": reading, "seeing": seeing, "contrast": contrast}

    def _noise(self, embedding: Tensor, generator: torch.Generator) -> Tensor:
        return self.numbers.question_noise * torch.randn(embedding.shape, generator=generator).to(self.device)

    def begin_with(self, path: Path) -> None:
        """Take up both towers; the head that asks begins anew.

        Raises:
            GlidewireError: when they are another network's, or as `load_clip`.
        """
        known = load_clip(path)
        if known.spec != self.seeing.clip.spec:
            raise GlidewireError(f"weights {path.name} are another network's than {self.name}'s")
        self.seeing.clip.load_state_dict(known.network.state_dict())

    def _tokens(self, found: Sequence[Caption]) -> Tensor:
        return self.tokenizer.encode_batch([one.text for one in found], POSITIONS).to(self.device)

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write open_clip's layout, and the text tower once more for networks that attend to its states."""
        seeing: Any = averaged
        clip: Clip = seeing.clip
        words = {VOCABULARY: ",".join(map(str, self.tokenizer.kept)), CLIP: self.name}
        heads = {"image_heads": clip.spec.image.heads, "text_heads": clip.spec.text.heads, "quick_gelu": False}
        strings = {**metadata, **words, SPEC: json.dumps({"family": "clip", **heads})}
        save_published(clip, checkpoint.key_map(clip.spec), path, metadata=strings, dtype=torch.float16)
        strings = {**metadata, **words, SPEC: to_json("clip_text", clip.spec.text)}
        alone = path.with_name(f"{self.name}-text.safetensors")
        save_published(clip.text, text_checkpoint.key_map(clip.spec.text), alone, metadata=strings, dtype=torch.float16)


def lesson(
    options: Options,
    reading_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the time in which the text tower alone learns to read.")
    ] = ClipCourse.reading_share,
    locked_text: Annotated[bool, typer.Option(help="Train the image tower alone; needs --start.")] = False,
) -> ClipLesson:
    """Train mini CLIP, or go on with the run in OUT."""
    if locked_text and options.start is None:
        raise GlidewireError(
            "--locked-text leaves no text tower that can read", hint="Give the file of one as --start."
        )
    course = options.course(ClipCourse, reading_share=reading_share, locked_text=locked_text)
    return ClipLesson(course, options.opened(course), options.where)


if __name__ == "__main__":
    run_command(recipe_command(lesson, ClipCourse))
