"""What words of prompts must be, told from texts and numbers alone: `check` asks, before anything is loaded."""

from __future__ import annotations

from ..diffusion import token_alignment
from ..diffusion.prompt_to_prompt import require_window
from ..errors import GlidewireError
from . import prompt_texts


def weights_are_read(prompt: str, interpretation: str, syntax: str) -> None:
    """Raise a GlidewireError for a weight in a prompt that is out of range."""
    prompt_texts.read_weights(prompt, syntax_of(interpretation, syntax))


def syntax_of(interpretation: str, syntax: str) -> str:
    """How brackets are read: as stated, or as the interpretation's program reads them."""
    return ("a1111" if interpretation.startswith("a1111") else "comfy") if syntax == "same" else syntax


def weighed_are_there(prompt: str, weights: str) -> None:
    """Raise a GlidewireError for weights that cannot be read, or of words that are not in a prompt."""
    prompt_texts.require_words(prompt, prompt_texts.weights_of(weights))


def shown_are_there(prompt: str, words: str) -> None:
    """Raise a GlidewireError for a word that is not in a prompt."""
    prompt_texts.require_words(prompt, prompt_texts.words_of(words))


def _targets_weighed_are_there(target: str, weights: str) -> None:
    weighed_are_there(target, weights)


def _windowed_are_there(target: str, word_windows: str) -> None:
    prompt_texts.require_words(target, prompt_texts.windows_of(word_windows))


def _words_are_as_many(mode: str, source: str, target: str) -> None:
    if mode == "replace":
        token_alignment.require_equal_length(source, target)


def blended_are_there(source: str, target: str, blend_source: str, blend_target: str) -> None:
    """Raise a GlidewireError for words of a local blend that are not in their prompt, or of one prompt only."""
    blend = prompt_texts.words_of(blend_source), prompt_texts.words_of(blend_target)
    if bool(blend[0]) != bool(blend[1]):
        raise GlidewireError("a local blend needs words of both prompts", expected="both or neither", got="one of them")
    for prompt, words in zip((source, target), blend, strict=True):
        prompt_texts.require_words(prompt, words)


def _cross_window(cross_start: float, cross_end: float) -> None:
    require_window("window of cross-attention", (cross_start, cross_end))


def _self_window(self_start: float, self_end: float) -> None:
    require_window("window of self-attention", (self_start, self_end))


EDIT = (
    _words_are_as_many,
    _targets_weighed_are_there,
    _windowed_are_there,
    blended_are_there,
    _cross_window,
    _self_window,
)
"""What an edit of prompt-to-prompt must hold to."""
