"""Latent diffusion's tokenizer: BERT's word pieces from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from glidewire.errors import GlidewireError
from glidewire.models.ldm.tokenizer import BertTokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "vir", "##us", "mon", "##ster", "is", ",", "play", "##ing"]


@pytest.fixture
def tokenizer(tmp_path: Path) -> BertTokenizer:
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    return BertTokenizer(tmp_path / "vocab.txt")


def test_words_become_pieces(tokenizer: BertTokenizer) -> None:
    found = tokenizer.encode("A virus, Mónster is playing guitar", 15)
    expected = ["[CLS]", "a", "vir", "##us", ",", "mon", "##ster", "is", "play", "##ing", "[UNK]", "[SEP]"]
    assert [PIECES[index] for index in found.tokens.tolist()] == expected + ["[PAD]"] * 3
    assert found.dropped == "" and tokenizer.vocabulary_size == len(PIECES)
    assert tokenizer.encode("", 4).tokens.tolist() == [2, 3, 0, 0]


def test_what_does_not_fit_is_told(tokenizer: BertTokenizer) -> None:
    found = tokenizer.encode("a virus is playing", 5)
    assert [PIECES[index] for index in found.tokens.tolist()] == ["[CLS]", "a", "vir", "##us", "[SEP]"]
    assert found.dropped == "is playing"


def test_as_transformers_does(tokenizer: BertTokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertTokenizerFast(vocab={piece: i for i, piece in enumerate(PIECES)}, do_lower_case=True)
    for text in ("A virus, monster is playing", "", "playing playing PLAYING!", "a ¿b? 漢字"):
        expected = theirs(text, max_length=9, truncation=True, padding="max_length")["input_ids"]
        assert tokenizer.encode(text, 9).tokens.tolist() == expected


def test_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GlidewireError, match=r"vocabulary none\.txt cannot be read"):
        BertTokenizer(tmp_path / "none.txt")
    (tmp_path / "m").write_bytes(b"\xff\xfe")
    with pytest.raises(GlidewireError, match=r"cannot be read; expected a vocab\.txt in UTF-8"):
        BertTokenizer(tmp_path / "m")
    (tmp_path / "m").write_text("[PAD]\n[CLS]\na\n")
    with pytest.raises(GlidewireError, match=r"is not BERT's.*got 3 lines without \[UNK\], \[SEP\]"):
        BertTokenizer(tmp_path / "m")
