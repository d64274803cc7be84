"""T5's tokenizer from files that the user has: `tokenizer.json`, or the sentence-piece model `spiece.model`."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from ...errors import GlidewireError

FILES = ("tokenizer.json", "spiece.model")
TOKENIZER = "glidewire.tokenizer"
"""Where an encoder's file may carry the content of its tokenizer.json."""
_END, _PADDING = "</s>", "<pad>"
_LIMIT = 64 * 2**20  # T5's own model takes less than a megabyte
_UNKNOWN = 2  # sentence-piece's type of the piece that stands for all others


@dataclass(frozen=True)
class T5Tokens:
    """One text's tokens.

    Attributes:
        tokens: Ids "positions" int64: text, end, padding.
        mask: True for text and end, "positions" bool.
        dropped: The end of the text that did not fit, empty if all of it did.
    """

    tokens: Tensor
    mask: Tensor
    dropped: str


class T5Tokenizer:
    """Unigram pieces (Kudo & Richardson 2018) as T5 was trained with.

    Args:
        content: Of `tokenizer.json` or `spiece.model`.
        where: Named in errors.

    Raises:
        GlidewireError: It cannot be read, or it has no end or padding token.
    """

    def __init__(self, content: bytes, where: str) -> None:
        try:
            is_json = content[:1] == b"{"
            self._pieces = Tokenizer.from_str(content.decode("utf-8")) if is_json else _sentence_pieces(content)
        except GlidewireError:
            raise
        except Exception as error:  # tokenizers raises bare Exception on anything it does not like
            raise GlidewireError(
                f"{where} cannot be read", expected=f"T5's {' or '.join(FILES)}", got=str(error)[:200]
            ) from error
        self._pieces.no_truncation()
        self._pieces.no_padding()
        ends = [self._pieces.token_to_id(token) for token in (_END, _PADDING)]
        if None in ends:
            raise GlidewireError(f"{where} is not T5's", expected=f"the tokens {_END} and {_PADDING}")
        self._end, self._padding = ends
        self.vocabulary_size = self._pieces.get_vocab_size()

    @classmethod
    def read(cls, path: str | Path) -> T5Tokenizer:
        """The tokenizer of a file, or of a folder that holds one.

        Raises:
            GlidewireError: There is no such file, or as the class.
        """
        path = Path(path)
        found = next((path / name for name in FILES if (path / name).is_file()), None) if path.is_dir() else path
        if found is None:
            raise GlidewireError(f"folder {path.name} holds no tokenizer", expected=f"one of {', '.join(FILES)}")
        where = f"tokenizer {found.name}"
        try:
            with found.open("rb") as file:
                content = file.read(_LIMIT + 1)
        except OSError as error:
            raise GlidewireError(f"{where} cannot be read", got=str(error)[:200]) from error
        return cls(content, where)

    @classmethod
    def of_words(cls, words: Sequence[str]) -> T5Tokenizer:
        """A small tokenizer that knows whole words alone; all others are one unknown piece."""
        pieces = [(_PADDING, 0.0), (_END, 0.0), ("<unk>", 0.0), *((f"▁{word}", -1.0) for word in words)]
        tokenizer = Tokenizer(models.Unigram(pieces, 2, False))
        tokenizer.pre_tokenizer = _words()  # pyrefly: ignore
        return cls(tokenizer.to_str().encode(), "of words")

    def to_json(self) -> str:
        """The content of a `tokenizer.json`."""
        return self._pieces.to_str()

    def encode(self, text: str, positions: int = 77) -> T5Tokens:
        """Tokens of a text, lower-cased and stripped as the published pipelines do.

        Args:
            text: Any text; the empty one is the unconditional prompt.
            positions: Length of the result, at least 1.
        """
        text = text.lower().strip()
        encoding = self._pieces.encode(text, add_special_tokens=False)
        kept = encoding.ids[: positions - 1]
        dropped = text[encoding.offsets[len(kept)][0] :].strip() if len(kept) < len(encoding.ids) else ""
        ids = [*kept, self._end]
        padding = positions - len(ids)
        tokens = torch.tensor(ids + [self._padding] * padding, dtype=torch.int64)
        return T5Tokens(tokens, torch.tensor([True] * len(ids) + [False] * padding), dropped)

    def encode_batch(self, texts: Sequence[str], positions: int) -> tuple[Tensor, Tensor]:
        """Tokens and mask of several texts, each "batch positions"."""
        encoded = [self.encode(text, positions) for text in texts]
        return torch.stack([one.tokens for one in encoded]), torch.stack([one.mask for one in encoded])


def _sentence_pieces(content: bytes) -> Tokenizer:
    """The tokenizer of a serialised sentence-piece model, which is a protocol buffer."""
    pieces: list[tuple[str, float]] = []
    unknown: int | None = None
    rules = b""
    for number, value in _fields(content):
        if number == 1 and isinstance(value, bytes):
            piece = dict(_fields(value))
            if piece.get(3) == _UNKNOWN:
                unknown = len(pieces)
            text, score = piece.get(1, b""), piece.get(2, 0.0)
            assert isinstance(text, bytes) and isinstance(score, float)
            pieces.append((text.decode("utf-8"), score))
        elif number == 3 and isinstance(value, bytes):
            found = dict(_fields(value)).get(2, b"")
            rules = found if isinstance(found, bytes) else b""
    if not pieces or unknown is None:
        raise ValueError(f"a sentence-piece model with an unknown piece, but {len(pieces)} pieces were found")
    tokenizer = Tokenizer(models.Unigram(pieces, unknown, False))
    steps: list[normalizers.Normalizer] = [normalizers.Precompiled(rules)] if rules else []
    steps += [normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")]
    tokenizer.normalizer = normalizers.Sequence(steps)  # pyrefly: ignore
    tokenizer.pre_tokenizer = _words()  # pyrefly: ignore
    return tokenizer


def _words() -> pre_tokenizers.Metaspace:
    """Words, each with a mark in front."""
    return pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")


def _fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Numbers and values of a protocol buffer's fields; raises ValueError on anything else."""
    place = 0

    def number() -> int:
        nonlocal place
        value = shift = 0
        while True:
            if place >= len(message) or shift > 63:
                raise ValueError("not a protocol buffer")
            byte = message[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(message):
        tag = number()
        kind = tag & 7
        if kind == 0:
            yield tag >> 3, number()
            continue
        if kind not in (1, 2, 5):
            raise ValueError("not a protocol buffer")
        length = {1: 8, 5: 4}.get(kind) or (number() if kind == 2 else 0)
        value = message[place : place + length]
        if len(value) != length:
            raise ValueError("a truncated protocol buffer")
        place += length
        yield tag >> 3, struct.unpack("<f", value)[0] if kind == 5 else value
