"""CLIP's tokenizer: the published ids, and what does not fit."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.clip.tokenizer import VOCABULARY, ClipTokenizer


def test_the_published_ids(parity) -> None:
    case = parity("glide_tokenizer")
    tokenizer, strings = ClipTokenizer(case.config["clip_pad"]), json.loads(case.metadata["strings"])
    assert (tokenizer.start_token, tokenizer.end_token) == (case.config["clip_sot"], case.config["clip_eot"])
    # open_clip spells its special tokens otherwise; and without ftfy broken text stays broken.
    apart = set(json.loads(case.metadata["clip_special_literal_rows"]))
    if importlib.util.find_spec("ftfy") is None:
        apart |= set(json.loads(case.metadata["clip_needs_ftfy"]))
    rows = [row for row in range(len(strings)) if row not in apart]
    encoded = [tokenizer.encode(strings[row], case.config["clip_text_ctx"]) for row in rows]
    expected = case.outputs["clip_ids"][rows]
    assert torch.equal(torch.stack([one.tokens for one in encoded]), expected)
    for one, row, length in zip(encoded, rows, case.outputs["clip_len"][rows].tolist(), strict=True):
        assert min(one.length, case.config["clip_text_ctx"]) == length, strings[row]
        assert bool(one.dropped) == (one.length > case.config["clip_text_ctx"])


def test_padding_is_chosen_and_the_rest_is_told() -> None:
    tokenizer = ClipTokenizer(padding=49407)
    short = tokenizer.encode("a corgi", 6)
    assert short.tokens.tolist()[-2:] == [tokenizer.end_token] * 2 and short.dropped == ""
    cut = tokenizer.encode("a corgi on a skateboard", 5)
    assert cut.tokens[-1] == tokenizer.end_token and cut.dropped == "a skateboard" and cut.length == 7
    assert tokenizer.encode_batch(["a", "b"], 4).shape == (2, 4)
    assert tokenizer.vocabulary_size == tokenizer.end_token + 1


def test_errors() -> None:
    with pytest.raises(GlidewireError, match="too few positions; expected at least 2; got 1"):
        ClipTokenizer().encode("a", 1)
    with pytest.raises(GlidewireError, match="prompt is not valid Unicode text"):
        ClipTokenizer().encode("\ud800", 8)


def test_a_small_model_has_rows_for_the_words_it_knows() -> None:
    whole = ClipTokenizer()
    known = sorted({*whole.encode("a red cube", 8).tokens.tolist()} - {0})
    small = ClipTokenizer.of({VOCABULARY: ",".join(map(str, known))})
    assert small.vocabulary_size == len(known) + 1 and small.end_token == len(known)
    assert small.encode("a red cube", 6).tokens.tolist()[-2:] == [small.end_token, 0]
    # What it has no row for is row 0, and still takes its place.
    assert small.encode("a red dog", 5).tokens.tolist() == [
        small.start_token,
        *small.encode("a red", 4).tokens.tolist()[1:3],
        0,
        small.end_token,
    ]
    assert ClipTokenizer.of({}) == whole


@pytest.mark.parametrize("text", ["1,2", "49407,49406", "x,49406,49407", "5,5,49406,49407"])
def test_what_is_no_part_of_the_vocabulary_is_refused(text: str) -> None:
    with pytest.raises(GlidewireError, match=r"no part of CLIP's vocabulary.*ascending ids"):
        ClipTokenizer.of({VOCABULARY: text})
