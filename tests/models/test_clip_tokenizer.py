"""CLIP's tokenizer: the published ids, and what does not fit."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.clip.tokenizer import ClipTokenizer


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
