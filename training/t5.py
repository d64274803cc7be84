"""The recipe of mini T5: an encoder of T5's form learns to say what mini GLIDE's text transformer says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn

from ..models.checkpoint import save_published
from ..models.glide.model import GlideModel, load_model
from ..models.hyper_parameters import SPEC, to_json
from ..models.imagen.model import load_t5
from ..models.imagen.t5 import T5Spec, key_map
from ..models.imagen.text import T5Text
from ..models.imagen.tokenizer import TOKENIZER, T5Tokenizer
from ..scenes import caption, sample_scene
from . import batches
from .commands import Options, recipe_command, run_command
from .pool import Pool
from .reading import ANSWERS, QUESTIONS, answers_to, question_loss
from .run import Course, Lesson

NAME = "mini-t5"
_BATCH = 500


def caption_words() -> tuple[str, ...]:
    """The words of the caption grammar."""
    texts = (caption(sample_scene(seed, tints=0.5), seed).text for seed in range(4000))
    return tuple(sorted({word for text in texts for word in text.split()}))


def mini_spec(vocabulary: int, positions: int) -> T5Spec:
    """Three blocks of T5 v1.1's form."""
    return T5Spec(
        vocabulary_size=vocabulary,
        width=96,
        layers=3,
        heads=4,
        head_channels=24,
        hidden_width=128,
        buckets=16,
        max_distance=32,
        positions=positions,
    )


@dataclass(frozen=True)
class T5Course(Course):
    """The numbers of T5's recipe.

    Attributes:
        captions: How many it reads.
        empty_captions: Share of captions replaced by nothing.
        silence: Chance that a caption leaves out an object's shape, or else its colour.
        pairs: Share of captions of two solids.
    """

    minutes: float = 14.0
    batch_size: int = 64
    learning_rate: float = 2e-3
    pool_size: int = 40_000
    decay_from: float = 0.3
    ema: float = 0.99
    captions: int = 12_000
    empty_captions: float = 0.02
    silence: float = 0.1
    pairs: float = 0.75


class T5Lesson(Lesson):
    """T5 learns what captions state and the states of another text transformer, through maps that are thrown away.

    Imagen's own T5 learnt from texts alone and was left as it was (Saharia et al. 2022, section 2.1). A text corpus of
    a few dozen words teaches nothing; another encoder that pictures taught does.

    Args:
        course: The recipe's numbers.
        pool: Training scenes, whose captions it reads.
        glide: Whose text transformer it listens to.
        device: To train on.
    """

    name = NAME

    def __init__(self, course: T5Course, pool: Pool, glide: GlideModel, device: torch.device) -> None:
        self.course, self.pool, self.glide, self.device = course, pool, glide, device
        self.numbers = course
        self.tokenizer = T5Tokenizer.of_words(caption_words())
        torch.manual_seed(course.seed)
        self.text = T5Text(mini_spec(self.tokenizer.vocabulary_size, glide.spec.text_context))
        self.linear = nn.Linear(self.text.spec.width, glide.spec.text_width)
        self.answers = nn.Linear(self.text.spec.width, sum(ANSWERS))
        parts = {"text": self.text, "linear": self.linear, "answers": self.answers}
        self.model = nn.ModuleDict(parts).to(device)

    def begin_with(self, path: Path) -> None:
        """Take up a published T5; errors as `load_t5`."""
        self.text.load_state_dict(load_t5(path).network.state_dict())

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The cross-entropy of what captions state, and the mean square error of every position's states.

        Errors are over what texts change of a position's states. Padding counts too: GLIDE's last one tells all.
        """
        (tokens, mask), states, right = self.read
        rng = self.course.choices(step)
        chosen = torch.from_numpy(rng.integers(len(tokens), size=self.course.batch_size))
        seen, wanted = mask[chosen].to(self.device), states[chosen].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            found = self.text(tokens[chosen].to(self.device), seen)
            pooled = (found * seen[..., None]).sum(1) / seen.sum(1, keepdim=True)
            said, answers = self.linear(found).float(), self.answers(pooled).float()
        errors = (said - wanted).square().mean(dim=(0, 2)) / self.spread
        asked = question_loss(answers, right[chosen].to(self.device)) / len(QUESTIONS)
        return {"total": asked + errors.mean(), "asked": asked, "states": errors.mean()}

    @cached_property
    def read(self) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
        """Tokens and mask of captions, what GLIDE says of them "captions positions width", and what they state."""
        rng = np.random.default_rng((self.course.seed, 4))
        chosen = self.pool.choose(rng, self.numbers.captions, self.numbers.pairs)
        found = batches.captions(self.pool, chosen, rng, silence=self.numbers.silence)
        texts = [one.text for one in found]
        right = torch.tensor([answers_to(one.statement) for one in found])
        empty = np.flatnonzero(rng.random(len(texts)) < self.numbers.empty_captions)
        for index in empty:
            texts[index], right[index] = "", torch.tensor(ANSWERS) - 1
        parts = [glide_states(self.glide, texts[first : first + _BATCH]) for first in range(0, len(texts), _BATCH)]
        return self.tokenizer.encode_batch(texts, self.text.spec.positions), torch.cat(parts), right

    @cached_property
    def spread(self) -> Tensor:
        """How much texts change each position's states: their mean variance, "positions"."""
        return self.read[1].var(dim=0).mean(dim=1).clamp_min(0.02).to(self.device)

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write T5's layout, with the tokenizer in it."""
        text: Any = averaged
        strings = {**metadata, SPEC: to_json("imagen", self.text.spec), TOKENIZER: self.tokenizer.to_json()}
        save_published(text["text"], key_map(self.text.spec), path, metadata=strings, dtype=torch.float16)


@torch.no_grad()
def glide_states(glide: GlideModel, texts: Sequence[str]) -> Tensor:
    """The states of GLIDE's text transformer, "batch positions width"."""
    device = glide.network.text.positional_embedding.device
    found = glide.tokenizer.encode_batch(texts, glide.spec.text_context)
    return glide.network.encode_text(*(part.to(device) for part in found))["text_states"]


def lesson(
    options: Options,
    glide: Annotated[Path, typer.Option(help="Mini GLIDE, whose text transformer it listens to.")],
) -> T5Lesson:
    """Train mini T5, or go on with the run in OUT."""
    course, where = options.course(T5Course), options.where
    return T5Lesson(course, options.opened(course), load_model(glide, device=where), where)


if __name__ == "__main__":
    run_command(recipe_command(lesson, T5Course))
