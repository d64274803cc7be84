"""Texts of encoders as words: which positions a word has, prompts with weights, and edits between two prompts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..diffusion import prompt_syntax, prompt_weights, token_alignment
from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.prompt_syntax import Emphasis
from ..diffusion.prompt_to_prompt import Window, require_window
from ..diffusion.rewriting import leaves
from ..diffusion.token_alignment import Tokenization
from ..errors import GlidewireError
from ..models.clip.model import ClipModel
from ..models.glide.model import GlideModel
from ..models.imagen.model import T5TextEncoder
from ..models.ldm.text import TextEncoder

# Longer than any prompt that somebody writes.
_ROOM = 4096


PromptEncoder = TextEncoder | GlideModel | T5TextEncoder | ClipModel
"""What turns prompts into something that a U-Net attends to."""


def tokenization(encoder: PromptEncoder, before: int = 0) -> Tokenization:
    """The tokenizer of an encoder, and where its tokens lie among the positions that a denoiser attends to.

    Args:
        encoder: CLIP's, BERT's, T5's or GLIDE's.
        before: Positions of the denoiser's context that stand in front of the text's.
    """
    words: Any = encoder.tokenizer
    if isinstance(encoder, GlideModel):
        positions = encoder.spec.text_context
        return Tokenization(lambda text: _kept(words.encode(text, _ROOM)), before + positions, before, 0)
    if isinstance(encoder, T5TextEncoder):
        positions = encoder.network.spec.positions
        return Tokenization(lambda text: _kept(words.encode(text, _ROOM))[:-1], before + positions, before, 1)
    positions = encoder.spec.text.positions if isinstance(encoder, ClipModel) else encoder.network.spec.positions
    encode = _clip if _is_clip(words) else _bert
    return Tokenization(lambda text: encode(words, text), before + positions, before + 1)


def tokenization_for(branches: Mapping[int, Leaf], encoder: PromptEncoder) -> Tokenization:
    """The same among the positions that some branches of a denoiser attend to."""
    networks: list[Any] = [leaf.network for leaf in branches.values()]
    return tokenization(encoder, getattr(networks[0], "before_text", 0))


def _kept(encoded: Any) -> list[int]:
    return encoded.tokens[encoded.mask].tolist()


def _is_clip(words: Any) -> bool:
    # Imported here, so that start-up does not wait for the library of its vocabulary.
    from ..models.clip.tokenizer import ClipTokenizer

    return isinstance(words, ClipTokenizer)


def _clip(words: Any, text: str) -> list[int]:
    encoded = words.encode(text, _ROOM)
    return encoded.tokens[1 : encoded.length - 1].tolist()


def _bert(words: Any, text: str) -> list[int]:
    ids = words.encode(text, _ROOM).tokens.tolist()
    end = words.encode("", 2).tokens[-1].item()
    return ids[1 : ids.index(end)]


def words_of(text: str) -> list[str]:
    """Words or phrases as users list them, with commas between."""
    return [word.strip() for word in text.split(",") if word.strip()]


def require_words(prompt: str, words: Iterable[str | int]) -> None:
    """Raise a GlidewireError for a word that is not in a prompt, by the texts alone."""
    for word in words:
        token_alignment.word_numbers(prompt, word)


def selected(tokens: Tokenization, prompt: str, words: Sequence[str]) -> Tensor:
    """1 on the positions of each word, "words positions"; raises GlidewireError for one that is not in the prompt."""
    rows = []
    for word in words:
        row = torch.zeros(tokens.positions)
        row[tokens.word_positions(prompt, word)] = 1
        rows.append(row)
    if not rows:
        raise GlidewireError("no word is named", expected="words of the prompt, with commas between", got="nothing")
    return torch.stack(rows)


def read_weights(prompt: str, syntax: str) -> tuple[Emphasis, ...]:
    """A prompt's stretches and weights; raises GlidewireError for a weight that is out of range."""
    stretches = prompt_syntax.SYNTAXES[syntax].parse(prompt)
    for text, weight in stretches:
        prompt_weights.require_weight(text, weight)
    return stretches


def weighted_states(encoder: TextEncoder, prompt: str, syntax: str, interpretation: str) -> tuple[Tensor, Tensor]:
    """States of a prompt with emphasis, and the weights that are left for attention.

    Args:
        encoder: CLIP's text encoder.
        prompt: As one of the syntaxes reads it.
        syntax: "comfy" or "a1111".
        interpretation: What a weight does: one of `prompt_weights.INTERPRETATIONS` on states; "attention" leaves
            states as they are and the weights for attention; "drop" leaves words of weight 0 out, and nothing else.

    Returns:
        "1 chunks*positions width", and weights "chunks*positions", all 1 but for "attention".

    Raises:
        GlidewireError: An encoder that is not CLIP's, or a weight that is out of range.
    """
    words: Any = encoder.tokenizer
    if not _is_clip(words):
        raise GlidewireError(
            "prompt weights need CLIP's text encoder",
            expected="a start and an end token",
            got=type(words).__name__,
            hint="Weigh words in attention instead: that works with every text encoder.",
        )
    stretches = read_weights(prompt, syntax)
    if interpretation == "drop":
        stretches = prompt_syntax.without_silenced(stretches)
        stretches = tuple(stretch._replace(weight=1.0) for stretch in stretches)
    layout = prompt_weights.ChunkLayout(
        encoder.network.spec.positions, words.start_token, words.end_token, words.padding, _whole_below(encoder)
    )
    chunks = prompt_weights.chunk(stretches, lambda text: _clip(words, text), layout)
    device = next(encoder.network.parameters()).device
    with torch.no_grad():
        states = encoder.network(chunks.tokens.to(device))
        if chunks.weighted and interpretation in prompt_weights.INTERPRETATIONS:
            empty = encoder.network(words.encode("", layout.positions).tokens[None].to(device))
            weigh = prompt_weights.INTERPRETATIONS[interpretation]
            states = weigh(states, chunks.weights.to(states), empty)
    weights = chunks.weights if interpretation == "attention" else torch.ones_like(chunks.weights)
    return states.flatten(0, 1)[None], weights.flatten()


def _whole_below(encoder: TextEncoder) -> int:
    return min(8, encoder.network.spec.positions - 1)


def under(denoiser: Denoiser, encoder: PromptEncoder, prompt: str) -> dict[int, Leaf]:
    """The leaves of a guidance expression that are under a prompt, by their identity.

    Raises:
        GlidewireError: None is, or none attends to words.
    """
    attending = [leaf for leaf in leaves(denoiser) if hasattr(leaf.network, "retold")]
    if not attending:
        raise GlidewireError(
            "this network has no attention to words that can be reached",
            expected="a U-Net that attends to a text: GLIDE, unCLIP's decoder, a latent one or IF, or a view of one",
            got=", ".join(dict.fromkeys(type(leaf.network).__name__ for leaf in leaves(denoiser))),
        )
    tensors, _ = encoder.encode_prompt(prompt)
    found = {id(leaf): leaf for leaf in attending if retold(leaf, tensors, tensors) is not None}
    if not found:
        raise GlidewireError(
            "no branch of the denoiser is under this prompt",
            expected="the prompt of its conditional branch, by the same text encoder",
            got=repr(prompt[:80]),
            hint="Wire the same text into both; a prompt with weights or a batch of prompts is another condition.",
        )
    return found


def retold(leaf: Leaf, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Mapping[str, Tensor] | None:
    """What of a leaf's condition is another under another text; None where it is not under the first one."""
    network: Any = leaf.network
    return network.retold(leaf.conditioning, before, after) if hasattr(network, "retold") else None


def windows_of(text: str) -> dict[str | int, Window]:
    """Words with parts of the run as users write them, "cone: 0.2, red: 0.1-0.5"; one number is an end.

    Raises:
        GlidewireError: A part that is no word with a window.
    """
    found: dict[str | int, Window] = {}
    for part in words_of(text):
        word, _, numbers = part.rpartition(":")
        start, dash, end = numbers.partition("-")
        try:
            window = (float(start), float(end)) if dash else (0.0, float(start))
        except ValueError:
            raise GlidewireError(
                "words with windows cannot be read", expected='such as "cone: 0.2, red: 0.1-0.5"', got=repr(part)
            ) from None
        require_window(f"window of {word.strip()!r}", window)
        found[word.strip()] = window
    return found


def weights_of(text: str) -> dict[str | int, float]:
    """Words with numbers as users write them, "red: 1.5, blue sphere: 0.5".

    Raises:
        GlidewireError: A part that is no word with a number, or a weight that is out of range.
    """
    found: dict[str | int, float] = {}
    for part in words_of(text):
        word, _, number = part.rpartition(":")
        try:
            weight = float(number)
        except ValueError:
            raise GlidewireError(
                "words with weights cannot be read", expected='such as "red: 1.5, cube: 0.5"', got=repr(part)
            ) from None
        prompt_weights.require_weight(word.strip(), weight)
        found[word.strip()] = weight
    return found
