"""The tokenizer of latent diffusion's text models: BERT's word pieces, from a vocabulary that the user has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers.implementations import BertWordPieceTokenizer
from torch import Tensor

from ...errors import GlidewireError

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_LIMIT = 16 * 2**20  # BERT's own vocabulary takes a quarter of a megabyte


@dataclass(frozen=True)
class BertTokens:
    """One text's tokens.

    Attributes:
        tokens: Ids "positions" int64: [CLS], text, [SEP], [PAD].
        dropped: The end of the text that did not fit, empty if all of it did.
    """

    tokens: Tensor
    dropped: str


class BertTokenizer:
    """Lower-cased word pieces (Devlin et al. 2019), which txt2img-1.4B and text2img256 were trained with.

    Args:
        vocabulary: A `vocab.txt`, one piece a line; "bert-base-uncased" has 30522.

    Raises:
        GlidewireError: The file cannot be read, or is no such vocabulary.
    """

    def __init__(self, vocabulary: str | Path) -> None:
        path = Path(vocabulary)
        try:
            text = path.read_bytes()[: _LIMIT + 1].decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise GlidewireError(
                f"vocabulary {path.name} cannot be read", expected="a vocab.txt in UTF-8", got=str(error)
            ) from error
        pieces = text.splitlines()
        absent = [special for special in _SPECIAL if special not in pieces]
        if absent or len(pieces) != len(set(pieces)) or len(text) > _LIMIT:
            raise GlidewireError(
                f"vocabulary {path.name} is not BERT's",
                expected=f"one piece a line, among them {', '.join(_SPECIAL)}",
                got=f"{len(pieces)} lines" + (f" without {', '.join(absent)}" if absent else ""),
            )
        self.vocabulary_size = len(pieces)
        self._pieces = BertWordPieceTokenizer({piece: index for index, piece in enumerate(pieces)}, lowercase=True)

    def encode(self, text: str, positions: int) -> BertTokens:
        """Tokens of a text.

        Args:
            text: Any text; the empty one is the unconditional prompt.
            positions: Length of the result, at least 2.
        """
        encoding = self._pieces.encode(text)
        ids, ends = encoding.ids[1:-1], encoding.offsets[1:-1]
        kept = ids[: positions - 2]
        dropped = text[ends[len(kept)][0] :] if len(kept) < len(ids) else ""
        framed = [encoding.ids[0], *kept, encoding.ids[-1]]
        padding = self._pieces.token_to_id("[PAD]")
        return BertTokens(torch.tensor(framed + [padding] * (positions - len(framed)), dtype=torch.int64), dropped)
