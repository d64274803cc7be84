"""GLIDE's tokenizer: the published ids exactly, and small vocabularies of one's own."""

from __future__ import annotations

import json

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.glide.tokenizer import GlideTokenizer
from hypothesis import given
from hypothesis import strategies as st


def test_the_published_ids(parity) -> None:
    case = parity("glide_tokenizer")
    tokenizer, context = GlideTokenizer.published(), case.config["glide_text_ctx"]
    assert tokenizer.vocabulary_size == case.config["glide_n_vocab"]
    assert tokenizer.end_token == case.config["glide_pad"]
    strings = json.loads(case.metadata["strings"])
    tokens, mask = tokenizer.encode_batch(strings, context)
    case.assert_close("glide_ids", tokens)
    case.assert_close("glide_mask", mask)
    lengths = [tokenizer.encode(text, context).length for text in strings]
    case.assert_close("glide_len", torch.tensor(lengths))
    empty = tokenizer.encode("", context)
    case.assert_close("glide_uncond_ids", empty.tokens)
    case.assert_close("glide_uncond_mask", empty.mask)


def test_what_does_not_fit_is_dropped_from_the_end_and_told() -> None:
    tokenizer = GlideTokenizer.published()
    whole = tokenizer.encode("a dog on a hill", 5)
    cut = tokenizer.encode("a dog on a hill", 3)
    assert whole.dropped == "" and whole.mask.all()
    assert cut.tokens.tolist() == whole.tokens.tolist()[:3]
    assert cut.dropped == " a hill" and cut.length == whole.length == 5


@given(text=st.text(max_size=80))
def test_any_text_encodes_to_its_lower_case_bytes(text: str) -> None:
    tokenizer = GlideTokenizer.from_merges([])  # every id is a byte
    encoded = tokenizer.encode(text, 400)
    assert int(encoded.mask.sum()) == len(text.lower().encode())
    assert set(encoded.tokens[~encoded.mask].tolist()) <= {tokenizer.end_token}
    assert encoded.dropped == ""


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(GlidewireError, match="prompt is not valid Unicode text"):
        GlideTokenizer.from_merges([]).encode("\ud800", 4)


def test_a_trained_vocabulary_makes_a_word_one_token_and_survives_its_lines(tokenizer: GlideTokenizer) -> None:
    assert tokenizer.vocabulary_size <= 300
    again = GlideTokenizer.from_merges(["#version: 0.2", *tokenizer.merges, ""])
    assert again == tokenizer
    encoded = again.encode("A small cube", 5)
    assert encoded.mask.tolist() == [True] * 3 + [False] * 2
    assert encoded.tokens[3:].tolist() == [tokenizer.vocabulary_size - 1] * 2
    assert torch.equal(encoded.tokens, tokenizer.encode("a small cube", 5).tokens)


@pytest.mark.parametrize("line", ["ab", "a b c", "zz q", "a  b", " a"])
def test_merges_that_cannot_be_applied_are_refused(line: str) -> None:
    with pytest.raises(GlidewireError, match="line 2 cannot be applied"):
        GlideTokenizer.from_merges(["x y", line])
