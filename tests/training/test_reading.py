"""Learning to read: the questions fit the captions, and a small transformer starts to answer them."""

from __future__ import annotations

from dataclasses import replace

import torch
from glidewire.models.glide.network import TextTransformer
from glidewire.scenes import parse
from glidewire.training.reading import (
    ANSWERS,
    QUESTIONS,
    UNASKED,
    answers_to,
    learn_to_read,
    question_loss,
    widen_embeddings,
)
from glidewire.training.recipe import MINI, caption_tokenizer


def words(text: str) -> list[str]:
    answers = zip(answers_to(parse(text)), QUESTIONS, strict=True)
    return [possible[answer] if answer < len(possible) else "-" for answer, possible in answers]


def test_answers_are_what_a_caption_states() -> None:
    assert words("a small red cube") == ["cube", "red", "small", "-", "-", "-", "-", "-", "one"]
    assert words("a cone right of a large blue sphere on sand") == [
        *("sphere", "blue", "large"),
        *("cone", "-", "-"),
        *("left of", "sand", "two"),
    ]


def test_a_transformer_learns_to_answer() -> None:
    tokenizer = caption_tokenizer()
    torch.manual_seed(0)
    spec = replace(MINI, vocabulary_size=tokenizer.vocabulary_size, text_width=32, text_layers=1)
    text = TextTransformer(spec)
    torch.nn.init.normal_(text.padding_embedding, std=0.01)
    widen_embeddings(text)
    before = learn_to_read(text, tokenizer, steps=5, seed=0)
    after = learn_to_read(text, tokenizer, steps=200, seed=1)
    assert after > before + 0.2
    tokens, mask = tokenizer.encode_batch(["a red cube", "a blue cone over a cube"], spec.text_context)
    assert 0.5 < float(text(tokens, mask)[0].detach().std()) < 2


def test_a_question_that_is_not_asked_costs_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, sum(ANSWERS), generator=generator)
    right = torch.stack([torch.randint(count, (3,), generator=generator) for count in ANSWERS], dim=1)
    partly = right.clone()
    partly[2, 0] = UNASKED
    each = [torch.nn.functional.cross_entropy(part, right[:, i]) for i, part in enumerate(scores.split(ANSWERS, dim=1))]
    assert torch.allclose(question_loss(scores, right), torch.stack(each).sum())
    first = scores[:2, : ANSWERS[0]]
    shorter = torch.nn.functional.cross_entropy(first, right[:2, 0])
    assert torch.allclose(question_loss(scores, partly), shorter + torch.stack(each[1:]).sum())
