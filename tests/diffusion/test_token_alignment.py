from __future__ import annotations

from zlib import crc32

import pytest
import torch
from glidewire.diffusion.token_alignment import (
    Tokenization,
    align,
    equalizer,
    refinement,
    replacement,
    word_selection,
)
from glidewire.errors import GlidewireError
from hypothesis import given
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer
from tokenizers import ByteLevelBPETokenizer

# Two letters a token, so that words differ in their number of tokens.
TOY = Tokenization(
    lambda text: [crc32(word[at : at + 2].encode()) for word in text.split() for at in range(0, len(word), 2)], 24
)
WORDS = st.sampled_from(["a", "on", "cat", "house", "lagoon"])
PROMPTS = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)


# --- golden data ------------------------------------------------------------------------------------------------------


def test_tokens_and_words_as_published(parity, golden_tokens) -> None:
    case = parity("prompt_to_prompt")
    config, tokens = case.config, golden_tokens(case)
    ends = config["tokenizer"]
    for prompt, ids in config["token_ids"].items():
        assert [ends["bos"], *tokens.ids(prompt), ends["eos"]] == ids
        assert tokens.length(prompt) == len(ids)
    for prompt, number, positions in config["word_inds"]:
        assert tokens.word_positions(prompt, number) == positions


def test_mappers_and_factors_as_published(parity, golden_tokens) -> None:
    case = parity("prompt_to_prompt")
    tokens = golden_tokens(case)
    for number, pair in enumerate(case.config["replace_pairs"]):
        case.assert_close(f"replace_{number:02d}/mapper", replacement(tokens, *pair))
    for number, pair in enumerate(case.config["refine_pairs"]):
        found = refinement(tokens, *pair)
        case.assert_close(f"refine_{number:02d}/mapper", found.positions)
        case.assert_close(f"refine_{number:02d}/alphas", found.taken.float())
    for number, (prompt, word, (scale,)) in enumerate(case.config["reweight"]):
        case.assert_close(f"reweight_{number:02d}/equalizer", equalizer(tokens, prompt, {word: scale}))


# --- properties -------------------------------------------------------------------------------------------------------


@given(prompt=PROMPTS)
def test_equal_prompts_have_the_identity_mapper(prompt: str) -> None:
    assert torch.equal(replacement(TOY, prompt, prompt), torch.eye(24))
    assert torch.equal(replacement(TOY, prompt, prompt, follow_words=True), torch.eye(24))
    found = refinement(TOY, prompt, prompt)
    assert torch.equal(found.positions, torch.arange(24))
    assert found.taken.all()


@given(prompt=PROMPTS)
def test_words_tile_the_text(prompt: str) -> None:
    positions = [position for span in TOY.word_spans(prompt) for position in span]
    assert positions == list(range(1, 1 + len(TOY.ids(prompt))))


@given(words=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=30), follow=st.booleans())
def test_prompts_that_do_not_fit_have_mappers_too(words: list[tuple[str, str]], follow: bool) -> None:
    source, target = (" ".join(each) for each in zip(*words, strict=True))
    mapper = replacement(TOY, source, target, follow_words=follow)
    assert mapper.shape == (24, 24)
    assert ((mapper >= 0) & (mapper <= 1)).all()
    found = refinement(TOY, source, target)
    assert found.positions.shape == found.taken.shape == (24,)
    assert (found.positions < 24).all()


# Seven words always fit, so that no word is cut in one prompt and whole in the other.
@given(words=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=7), follow=st.booleans())
def test_a_replacement_gives_each_new_word_its_old_one(words: list[tuple[str, str]], follow: bool) -> None:
    source, target = (" ".join(each) for each in zip(*words, strict=True))
    mapper = replacement(TOY, source, target, follow_words=follow)
    last = max((index for index, pair in enumerate(words) if pair[0] != pair[1]), default=-1)
    spans = list(zip(TOY.word_spans(source), TOY.word_spans(target), strict=True))
    for old, new in spans if follow else spans[: last + 1]:
        outside = torch.ones(24, dtype=torch.bool)
        outside[list(old)] = False
        assert (mapper[outside][:, list(new)] == 0).all()
        if len(old):
            # The shares are 1/n for n the target's tokens: the whole block weighs what the source has tokens.
            assert mapper[list(old)][:, list(new)].sum() == pytest.approx(len(old) if len(new) else 0)


def test_published_replacements_keep_positions_behind_the_last_swapped_word() -> None:
    published = replacement(TOY, "lagoon on a", "cat on a")
    followed = replacement(TOY, "lagoon on a", "cat on a", follow_words=True)
    assert published[:, 3].argmax() == 3, "part of the lagoon"
    assert followed[:, 3].argmax() == 4, "the word itself"


@given(source=st.lists(st.integers(0, 3), max_size=12), target=st.lists(st.integers(0, 3), max_size=12))
def test_an_alignment_is_monotone_and_pairs_only_equals(source: list[int], target: list[int]) -> None:
    found = align(source, target)
    pairs = [(ours, theirs) for theirs, ours in enumerate(found) if ours >= 0]
    assert len(found) == len(target)
    assert pairs == sorted(pairs)
    assert len({ours for ours, _ in pairs}) == len(pairs)
    # A gap costs 0 and a mismatch -1, so the best alignment is the longest common subsequence.
    assert all(source[ours] == target[theirs] for ours, theirs in pairs)
    assert len(pairs) == _longest_common(source, target)


def _longest_common(source: list[int], target: list[int]) -> int:
    row = [0] * (len(target) + 1)
    for one in source:
        last = row
        row = [0]
        for index, other in enumerate(target):
            row.append(last[index] + 1 if one == other else max(row[-1], last[index + 1]))
    return row[-1]


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "positions"),
    [("a", [1, 5]), ("cat,", [2, 3]), ("cat", [2, 3]), ("CAT", [2, 3]), ("on a", [4, 5]), (0, [1]), (4, [6, 7])],
)
def test_words_are_found_as_written_or_bare(word: str | int, positions: list[int]) -> None:
    assert TOY.word_positions("a cat, on a mat", word) == positions
    assert word_selection(TOY, "a cat, on a mat", [word]).nonzero().flatten().tolist() == positions


def test_real_tokenizers_keep_words_apart() -> None:
    prompt = "a photo of a hedgehog, at dawn"
    clip = SimpleTokenizer()
    assert clip.decode(
        [clip.encode(prompt)[at - 1] for at in Tokenization(clip.encode).word_positions(prompt, "hedgehog")]
    ).split() == ["hedgehog", ","]
    # Byte-level tokens hold the blank in front of their word; GLIDE's have no start token.
    byte_level = ByteLevelBPETokenizer()
    byte_level.train_from_iterator([prompt], vocab_size=280, show_progress=False)
    tokens = Tokenization(lambda text: byte_level.encode(text).ids, positions=64, start=0, end=0)
    ids = [tokens.ids(prompt)[at] for at in tokens.word_positions(prompt, "hedgehog,")]
    assert byte_level.decode(ids) == " hedgehog,"


def test_blanks_in_a_row_are_empty_words() -> None:
    assert TOY.word_positions("a  cat", "cat") == [2, 3]


def test_ends_of_lines_part_words_as_blanks_do() -> None:
    assert TOY.word_positions("a\nred cat", "red cat") == TOY.word_positions("a red cat", "red cat")
    assert torch.equal(replacement(TOY, "a\tred\ncat", "a blue cat"), replacement(TOY, "a red cat", "a blue cat"))


@pytest.mark.parametrize("word", ["dog", "", "cat on", 3, -1])
def test_words_that_are_not_in_the_prompt(word: str | int) -> None:
    with pytest.raises(GlidewireError, match=r"not in the prompt; expected one of \['a', 'red', 'cat'\]; got"):
        equalizer(TOY, "a red cat", {word: 2.0})


def test_words_that_do_not_fit() -> None:
    with pytest.raises(GlidewireError, match="the word 'cat' does not fit into the text encoder; expected within"):
        TOY.word_positions(" ".join(["a"] * 22) + " cat", "cat")
    assert TOY.length(" ".join(["a"] * 40)) == 24


def test_prompts_of_different_lengths_offer_refine() -> None:
    with pytest.raises(GlidewireError, match=r"replace: .* expected 2 words .* got 3 words\. Use refine"):
        replacement(TOY, "a cat", "a red cat")


def test_tokens_that_reach_over_blanks() -> None:
    joined = Tokenization(lambda text: [len(text)])
    with pytest.raises(GlidewireError, match="the tokens of 'a' depend on the words behind it"):
        joined.word_spans("a cat")
