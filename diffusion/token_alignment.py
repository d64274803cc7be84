"""Which token of a source prompt stands behind which token of a target prompt, over any tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import GlidewireError


@dataclass(frozen=True)
class Tokenization:
    """A tokenizer, and where its tokens lie among the positions of a cross-attention.

    Args:
        encode: Ids of a text without start and end. A text's ids must begin with those of its first words.
        positions: Keys of the cross-attention.
        start: Special positions in front of the text.
        end: Special positions kept behind it.
    """

    encode: Callable[[str], Sequence[int]]
    positions: int = 77
    start: int = 1
    end: int = 1

    def ids(self, prompt: str) -> list[int]:
        """The ids that fit."""
        return list(self.encode(prompt))[: self.positions - self.start - self.end]

    def length(self, prompt: str) -> int:
        """Positions of the prompt with its ends."""
        return self.start + len(self.ids(prompt)) + self.end

    def word_spans(self, prompt: str) -> list[range]:
        """The positions of every word.

        Raises:
            GlidewireError: A tokenizer whose tokens reach over blanks.
        """
        ids, limit, ends, behind = list(self.encode(prompt)), self.positions - self.end, [0], -1
        for word in split_words(prompt):
            behind += 1 + len(word)
            prefix = list(self.encode(prompt[:behind]))
            if prefix != ids[: len(prefix)]:
                raise GlidewireError(
                    f"the tokens of {word!r} depend on the words behind it",
                    hint="Words of this prompt cannot be told apart in its tokens; write it with plain blanks.",
                )
            ends.append(len(prefix))
        inside = [min(self.start + end, limit) for end in ends]
        return [range(*pair) for pair in pairwise(inside)]

    def word_positions(self, prompt: str, word: str | int) -> list[int]:
        """The positions of a word or of words in a row, at each place where the prompt has them.

        Args:
            prompt: The prompt.
            word: As written in the prompt, or else without regard to case and outer punctuation; or its number.

        Raises:
            GlidewireError: A word that is not in the prompt, or not among the positions.
        """
        spans = self.word_spans(prompt)
        positions = [position for number in word_numbers(prompt, word) for position in spans[number]]
        if not positions:
            raise GlidewireError(
                f"the word {word!r} does not fit into the text encoder",
                expected=f"within the first {self.positions - self.start - self.end} tokens",
                hint="Shorten the prompt or move the word to its front.",
            )
        return positions


def split_words(prompt: str) -> list[str]:
    """The words of a prompt: what single blanks, tabs or ends of lines part (two in a row part an empty word)."""
    return re.split(r"\s", prompt)


def word_numbers(prompt: str, word: str | int) -> list[int]:
    """The numbers of the words that a word or phrase covers.

    Args:
        prompt: The prompt.
        word: As `Tokenization.word_positions` takes it.

    Raises:
        GlidewireError: A word that is not in the prompt.
    """
    words = split_words(prompt)
    if isinstance(word, str):
        found = _places(words, split_words(word))
    else:
        found = [word] if 0 <= word < len(words) else []
    if not found:
        raise GlidewireError("a word to edit is not in the prompt", expected=f"one of {words}", got=repr(word))
    return found


def _places(words: list[str], wanted: list[str]) -> list[int]:
    """Numbers of the words that a phrase covers, as written or, if it is nowhere, by its bare words."""
    bare = [[word.casefold().strip(".,;:!?\"'()[]") for word in each] for each in (wanted, words)]
    for sought, among in ((wanted, words), bare):
        starts = [at for at in range(len(words) - len(wanted) + 1) if among[at : at + len(wanted)] == sought]
        if starts and any(sought):
            return sorted({start + offset for start in starts for offset in range(len(wanted))})
    return []


def replacement(tokens: Tokenization, source: str, target: str, *, follow_words: bool = False) -> Tensor:
    """The matrix M that carries source maps to a target with words swapped, A_target = A_source M.

    Words that differ give all of their tokens to all of the new word's, 1/n each where the numbers of tokens differ
    (n the target's). Behind the last swapped word the published mapper keeps *positions*, although words may have
    shifted against them.

    Args:
        tokens: The tokenizer.
        source: Prompt of the source.
        target: Prompt of as many words.
        follow_words: Let what is behind the last swapped word follow its words instead.

    Returns:
        float32 "positions positions", source by target.

    Raises:
        GlidewireError: Prompts of different numbers of words.

    Source: Hertz et al. 2022, section 3, word swap.
    """
    words = require_equal_length(source, target)
    spans = list(zip(tokens.word_spans(source), tokens.word_spans(target), strict=True))
    swapped = [index for index, pair in enumerate(zip(*words, strict=True)) if pair[0] != pair[1]]
    mapper = torch.zeros(tokens.positions, tokens.positions)
    mapper[: tokens.start, : tokens.start] = torch.eye(tokens.start)
    behind = swapped[-1] + 1 if swapped else 0
    for old, new in spans[:behind]:
        block = mapper[old.start : old.stop, new.start : new.stop]
        block.copy_(torch.eye(len(old)) if len(old) == len(new) else torch.full_like(block, 1 / max(len(new), 1)))
    old_end, new_end = (spans[behind - 1][0].stop, spans[behind - 1][1].stop) if behind else (tokens.start,) * 2
    rest = torch.arange(new_end, min(tokens.positions, tokens.positions + new_end - old_end))
    mapper[rest + (old_end - new_end) if follow_words else rest, rest] = 1
    return mapper


def require_equal_length(source: str, target: str) -> tuple[list[str], list[str]]:
    """The words of two prompts; raises a GlidewireError that offers refine where one has more than the other."""
    words = split_words(source), split_words(target)
    if len(words[0]) != len(words[1]):
        raise GlidewireError(
            "replace: the prompts differ in their number of words",
            expected=f"{len(words[0])} words as in the source",
            got=f"{len(words[1])} words",
            hint="Use refine for words that are added or left out.",
        )
    return words


class Refinement(NamedTuple):
    """Where each target position looks in the source.

    Attributes:
        positions: int64 "positions"; -1 for tokens that only the target has.
        taken: bool "positions"; whether the source has the token.
    """

    positions: Tensor
    taken: Tensor


def refinement(tokens: Tokenization, source: str, target: str) -> Refinement:
    """Align the tokens of two prompts; tokens that only the target has keep the target's own maps.

    Args:
        tokens: The tokenizer.
        source: Prompt of the source.
        target: Any other prompt.

    Returns:
        Behind the target's end every position stands for itself.

    Source: Hertz et al. 2022, section 3, adding a new phrase; Needleman & Wunsch 1970.
    """
    # Start and end are tokens of their own, equal to nothing but themselves.
    first, last = [-1] * tokens.start, [-2] * tokens.end
    found = align([*first, *tokens.ids(source), *last], [*first, *tokens.ids(target), *last])
    positions = torch.tensor(found + list(range(len(found), tokens.positions)))
    return Refinement(positions, positions >= 0)


def align(source: Sequence[int], target: Sequence[int]) -> list[int]:
    """The global alignment with match 1, mismatch -1 and gaps 0.

    Where paths tie, read from the end, a token that only the target has comes first, then one that only the source
    has, then a pair.

    Args:
        source: Tokens.
        target: Tokens.

    Returns:
        For each target token the index of its source token, -1 for a gap.

    Source: Needleman & Wunsch 1970.
    """
    score = [[0] * (len(target) + 1) for _ in range(len(source) + 1)]
    for i, ours in enumerate(source, 1):
        for j, theirs in enumerate(target, 1):
            pair = score[i - 1][j - 1] + (1 if ours == theirs else -1)
            score[i][j] = max(score[i][j - 1], score[i - 1][j], pair)
    found, i, j = [-1] * len(target), len(source), len(target)
    while i and j:
        if score[i][j] == score[i][j - 1]:
            j -= 1
        elif score[i][j] == score[i - 1][j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            found[j] = i
    return found


def equalizer(tokens: Tokenization, prompt: str, scales: Mapping[str | int, float]) -> Tensor:
    """The factor c of every position: a word's scale on each of its tokens, 1 elsewhere.

    Args:
        tokens: The tokenizer.
        prompt: The prompt of the words.
        scales: Of words, as `Tokenization.word_positions` finds them; a later one wins.

    Returns:
        float32 "positions".

    Raises:
        GlidewireError: A word that is not in the prompt.

    Source: Hertz et al. 2022, section 3, attention re-weighting.
    """
    factors = torch.ones(tokens.positions)
    for word, scale in scales.items():
        factors[tokens.word_positions(prompt, word)] = scale
    return factors


def word_selection(tokens: Tokenization, prompt: str, words: Sequence[str | int]) -> Tensor:
    """1 on the tokens of the words and 0 elsewhere, float32 "positions".

    Raises:
        GlidewireError: A word that is not in the prompt.
    """
    selected = torch.zeros(tokens.positions)
    for word in words:
        selected[tokens.word_positions(prompt, word)] = 1
    return selected
