"""CLIP's byte-pair tokenizer as open_clip carries it, with what did not fit told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from ...errors import GlidewireError

VOCABULARY = "glidewire.vocabulary"
"""Where a file says which of CLIP's ids it has rows for: numbers with commas between."""


@dataclass(frozen=True)
class ClipText:
    """A text as CLIP's text towers take it.

    Attributes:
        tokens: Ids "positions": the start token, the text, the end token, and padding.
        length: Ids of the whole text with both of its ends, more than there are positions if it did not fit.
        dropped: The end of the text that did not fit, decoded; empty if all of it did.
    """

    tokens: Tensor
    length: int
    dropped: str = ""


@dataclass(frozen=True)
class ClipTokenizer:
    """Lower-case byte-pair encoding of cleaned text, between a start and an end token (Radford et al. 2021, 2.4).

    Args:
        padding: The id behind the end token: 0 in CLIP, the end token itself in Stable Diffusion 1.
        kept: Ids of CLIP's vocabulary, ascending, that a small model has rows for: its own id of the first of
            them is 1, and 0 stands for all others. Empty for all of CLIP's.
    """

    padding: int = 0
    kept: tuple[int, ...] = ()

    @classmethod
    def of(cls, metadata: Mapping[str, str], padding: int = 0) -> ClipTokenizer:
        """The tokenizer of a file with these strings: CLIP's own, or the part of it that the file names.

        Raises:
            GlidewireError: What the file names is no part of CLIP's vocabulary.
        """
        text = metadata.get(VOCABULARY, "")
        found = text.split(",") if text else []
        kept = tuple(int(number) for number in found if number.isdecimal())
        whole = cls(padding)
        ends = (whole.start_token, whole.end_token) if kept else ()
        if len(kept) != len(found) or tuple(sorted({*kept})) != kept or kept[-2:] != ends:
            raise GlidewireError(
                f"{VOCABULARY} is no part of CLIP's vocabulary",
                expected="ascending ids with commas between, CLIP's start and end token last",
                got=text[:80],
            )
        return cls(padding, kept)

    @cached_property
    def _bpe(self) -> SimpleTokenizer:
        return SimpleTokenizer()

    @cached_property
    def _rows(self) -> Mapping[int, int]:
        return {token: row for row, token in enumerate(self.kept, 1)}

    @property
    def vocabulary_size(self) -> int:
        """Number of ids; the last two are the start and the end token."""
        return len(self.kept) + 1 if self.kept else self._bpe.vocab_size

    @property
    def start_token(self) -> int:
        """The id in front of every text."""
        return self._row(self._bpe.sot_token_id)

    @property
    def end_token(self) -> int:
        """The id behind every text, and the largest."""
        return self._row(self._bpe.eot_token_id)

    def _row(self, token: int) -> int:
        return self._rows.get(token, 0) if self.kept else token

    def encode(self, text: str, context: int) -> ClipText:
        """Encode one text.

        Args:
            text: Any text; mended, unescaped, stripped and put into lower case.
            context: Positions, at least 2; what does not fit between the two ends is dropped.

        Raises:
            GlidewireError: Text that is not valid Unicode (a lone surrogate), or no room for the two ends.
        """
        if context < 2:
            raise GlidewireError("CLIP text: too few positions", expected="at least 2", got=context)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise GlidewireError("prompt is not valid Unicode text", got=repr(text[:80])) from error
        ids = self._bpe.encode(text)
        kept, dropped = ids[: context - 2], ids[context - 2 :]
        whole = [self.start_token, *map(self._row, kept), self.end_token]
        tokens = torch.tensor(whole + [self.padding] * (context - len(whole)), dtype=torch.long)
        return ClipText(tokens, len(ids) + 2, self._bpe.decode(dropped).strip())

    def encode_batch(self, texts: Sequence[str], context: int) -> Tensor:
        """Tokens of several texts, "batch positions"."""
        return torch.stack([self.encode(text, context).tokens for text in texts])
