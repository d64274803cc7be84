"""Learning to read: the text transformer first learns what captions state, long before pictures could teach it.

Which colour belongs to which shape, and what "right of" does to both, changes few pixels of a noisy picture. A
linear head that is thrown away afterwards asks the text embedding for it directly, in minutes.
"""

from __future__ import annotations

from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor, nn

from ..models.glide.network import TextTransformer
from ..models.glide.tokenizer import GlideTokenizer
from ..scenes import Described, Statement, caption, sample_scene
from ..scenes.world import COLOURS, GROUNDS, SHAPES, SIZES, TINTS, Axis

# What is asked, in order, and its possible answers; the last answer is always "not stated".
_OF_A_SOLID: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("shape", SHAPES),
    ("colour", (*COLOURS, *TINTS)),
    ("size", SIZES),
)
QUESTIONS: tuple[tuple[str, ...], ...] = (
    *(answers for _ in range(2) for _, answers in _OF_A_SOLID),
    get_args(Axis),
    tuple(GROUNDS),
    ("one", "two"),
)
# The questions that a picture without colours cannot answer: of the solids' colours, and of the ground.
OF_COLOUR: tuple[int, ...] = (1, 4, 7)
ANSWERS: list[int] = [len(possible) + 1 for possible in QUESTIONS]
"""How many answers each question has: what a head of `sum(ANSWERS)` scores is split into."""
UNASKED = -100  # what cross-entropy leaves out


def answers_to(statement: Statement) -> list[int]:
    """The index of the right answer to each question."""
    solids = (*statement.objects, Described())[:2]
    words = [getattr(solid, name) for solid in solids for name, _ in _OF_A_SOLID]
    words += [statement.relation, statement.ground, ("one", "two")[len(statement.objects) - 1]]
    return [
        possible.index(word) if word is not None else len(possible)
        for word, possible in zip(words, QUESTIONS, strict=True)
    ]


def question_loss(scores: Tensor, right: Tensor) -> Tensor:
    """Cross-entropy summed over the questions.

    Args:
        scores: A head's, "batch sum(ANSWERS)".
        right: The index of each right answer, "batch questions"; `UNASKED` where a question is not asked.
    """
    parts = zip(scores.split(ANSWERS, dim=1), right.unbind(1), strict=True)
    return torch.stack([F.cross_entropy(answers, truth) for answers, truth in parts]).sum()


def _batch(
    tokenizer: GlideTokenizer, context: int, size: int, seed: int, tints: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens and mask "batch positions" of training captions, and right answers "batch questions"."""
    rng = np.random.default_rng((seed, 3))
    # Pairs are what is hard to read: three in four captions are of two solids.
    captions = []
    while len(captions) < size:
        number = int(rng.integers(2**31))
        scene = sample_scene(number, tints=tints)
        if len(scene.solids) == 2 or len(captions) % 4 == 0:
            captions.append(caption(scene, number))
    tokens, mask = tokenizer.encode_batch([one.text for one in captions], context)
    return tokens, mask, torch.tensor([answers_to(one.statement) for one in captions])


@torch.no_grad()
def widen_embeddings(text: TextTransformer) -> None:
    """Rescale fresh embeddings, in place, to a standard deviation of 0.5: words then learn their places sooner."""
    text.token_embedding.weight.mul_(25)
    text.positional_embedding.mul_(50)
    text.padding_embedding.mul_(50)


def learn_to_read(
    text: TextTransformer,
    tokenizer: GlideTokenizer,
    *,
    steps: int,
    seed: int,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    tints: float = 0.0,
) -> float:
    """Train a text transformer, in place, until its embedding answers what captions state.

    Args:
        text: The transformer.
        tokenizer: Its own.
        steps: Updates; 0 leaves it as it is.
        seed: Of the captions and the head.
        batch_size: Captions an update.
        learning_rate: Of AdamW, after a warm-up of 100 updates; falls to nothing as the square root of what remains.
        tints: Chance that a solid has a colour between the named ones.

    Returns:
        The share of answers that were right over the last 50 updates.
    """
    device = text.transformer_proj.weight.device
    context, width = text.positional_embedding.shape[0], text.transformer_proj.out_features
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(width, sum(ANSWERS)).to(device)
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator) / width**0.5)
        head.bias.zero_()
    optimizer = torch.optim.AdamW([*text.parameters(), *head.parameters()], betas=(0.9, 0.99), fused=True)
    recent: list[float] = []
    for step in track(range(steps), description="Reading"):
        tokens, mask, right = (part.to(device) for part in _batch(tokenizer, context, batch_size, seed + step, tints))
        scores = head(text(tokens, mask)[0])
        loss = question_loss(scores, right)
        share = min(1.0, (step + 1) / 100) * (1 - step / steps) ** 0.5
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * share
        loss.backward()
        torch.nn.utils.clip_grad_norm_(text.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            found = torch.stack([answers.argmax(1) for answers in scores.split(ANSWERS, dim=1)], dim=1)
            recent = [*recent[-49:], float((found == right).float().mean())]
    _rescale(text, *_batch(tokenizer, context, batch_size, seed, tints)[:2])
    return sum(recent) / max(1, len(recent))


@torch.no_grad()
def _rescale(text: TextTransformer, tokens: Tensor, mask: Tensor) -> None:
    """Bring the embedding to a standard deviation of 1, like the time embedding that it is added to."""
    device = text.transformer_proj.weight.device
    scale = 1 / text(tokens.to(device), mask.to(device))[0].std()
    text.transformer_proj.weight.mul_(scale)
    text.transformer_proj.bias.mul_(scale)
