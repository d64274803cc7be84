from __future__ import annotations

import math
import re

import pytest
import torch
from glidewire.diffusion import prompt_weights
from glidewire.diffusion.prompt_syntax import SYNTAXES, Emphasis, without_silenced
from glidewire.diffusion.prompt_weights import INTERPRETATIONS, ChunkLayout, chunk
from glidewire.errors import GlidewireError
from hypothesis import given
from hypothesis import strategies as st

LAYOUT = ChunkLayout(positions=10, start=1, end=2, padding=0, whole_below=4)
# Dense in brackets, because those of arbitrary text hardly ever meet.
PROMPTS = st.one_of(st.text(), st.text(alphabet="()[]:\\ab1.-+ \n", max_size=40))
WEIGHTS = st.floats(-8, 8).map(lambda weight: round(weight, 3))
STATES = torch.randn(2, 10, 6, generator=torch.Generator().manual_seed(0))
EMPTY = torch.randn(10, 6, generator=torch.Generator().manual_seed(1))
ONES = torch.ones(2, 10)


def toy_encode(ids: dict[str, int]):
    """The tokenizer of the golden case: words and signs, long words in pieces of three letters."""

    def pieces(word: str) -> list[str]:
        return [word[at : at + 3] for at in range(0, len(word), 3)] if len(word) > 5 else [word]

    return lambda text: [ids[piece] for word in re.findall(r"\w+|[^\w\s]", text) for piece in pieces(word)]


# --- golden data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_prompts_read_as_in_the_program(parity, syntax: str) -> None:
    for prompt, expected in parity("prompt_weights").config[syntax]:
        found = SYNTAXES[syntax].parse(prompt)
        assert [text for text, _ in found] == [text for text, _ in expected], prompt
        for (_, weight), (_, wanted) in zip(found, expected, strict=True):
            assert weight == pytest.approx(float(wanted), rel=1e-12, abs=0, nan_ok=True), prompt


def test_chunks_and_embeddings_as_in_the_programs(parity) -> None:
    case = parity("prompt_weights")
    config = case.config
    layout = ChunkLayout(
        config["max_length"], config["start"], config["end"], config["pad"], whole_below=config["max_word_length"]
    )
    encode = toy_encode(config["toy_tokenizer"]["ids"])
    for number, (prompt, told) in enumerate(config["chunk_prompts"]):
        chunks = chunk(SYNTAXES["comfy"].parse(prompt), encode, layout)
        assert len(chunks.tokens) == told["chunks"]
        assert chunks.weighted == told["weights_used"]
        case.assert_close(f"chunks_{number}/tokens", chunks.tokens)
        case.assert_close(f"chunks_{number}/weights", chunks.weights)
        states, empty = case.inputs[f"embeddings_{number}"][:-1], case.inputs[f"embeddings_{number}"][-1]
        for name, weigh in INTERPRETATIONS.items():
            weighed = weigh(states, chunks.weights, empty)
            case.assert_close(f"{name}_{number}", weighed.flatten(0, 1)[None])


# --- parsers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(prompt=PROMPTS)
def test_any_prompt_can_be_read(syntax: str, prompt: str) -> None:
    found = SYNTAXES[syntax].parse(prompt)
    kept = "".join(text for text, _ in found)
    letters = iter(prompt)
    assert all(letter in letters for letter in kept), "what is read is what was written, in its order"
    if not set(prompt) & set("()[]\\"):
        assert kept == prompt
        assert all(weight == 1 for _, weight in found)


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(text=PROMPTS)
def test_an_escaped_text_is_that_text(syntax: str, text: str) -> None:
    found = SYNTAXES[syntax].parse(SYNTAXES[syntax].escape(text))
    assert "".join(stretch.text for stretch in found) == text
    assert {stretch.weight for stretch in found} <= {1.0}


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(text=PROMPTS.filter(bool), weight=WEIGHTS)
def test_an_escaped_text_keeps_the_weight_of_its_bracket(syntax: str, text: str, weight: float) -> None:
    found = SYNTAXES[syntax].parse(f"({SYNTAXES[syntax].escape(text)}:{weight:.3f})")
    assert found == (Emphasis(text, weight),)


def test_the_two_readings_differ_where_people_notice() -> None:
    comfy, a1111 = SYNTAXES["comfy"].parse, SYNTAXES["a1111"].parse
    assert comfy("((cat:1.5))") == (Emphasis("cat", 1.5),)
    assert a1111("((cat:1.5))") == (Emphasis("cat", 1.5 * 1.1),)
    assert comfy("[cat]") == (Emphasis("[cat]", 1.0),)
    assert a1111("[cat]") == (Emphasis("cat", 1 / 1.1),)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_deep_nesting_is_no_recursion(syntax: str) -> None:
    depth = 1500
    assert SYNTAXES[syntax].parse("(" * depth + "cat" + ")" * depth)[0].weight == pytest.approx(1.1**depth)


def test_numbers_that_are_none_are_text() -> None:
    assert SYNTAXES["a1111"].parse("(cat:1.2.3)") == (Emphasis("cat:1.2.3", 1.1),)
    assert SYNTAXES["comfy"].parse("(cat:1.2.3)") == (Emphasis("cat:1.2.3", 1.1),)


def test_silenced_words_can_be_left_out() -> None:
    stretches = SYNTAXES["comfy"].parse("a (red:0) cat")
    assert without_silenced(stretches) == (Emphasis("a ", 1.0), Emphasis(" cat", 1.0))


# --- chunks -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.text("abc", max_size=30), WEIGHTS), max_size=8))
def test_chunks_hold_every_token_once_and_in_order(words: list[tuple[str, float]]) -> None:
    def encode(text: str) -> list[int]:
        return [ord(letter) for letter in text]

    chunks = chunk([Emphasis(*word) for word in words], encode, LAYOUT)
    inner = chunks.tokens > 2
    assert chunks.tokens[inner].tolist() == [token for text, _ in words for token in encode(text)]
    weights = torch.tensor([weight for text, weight in words for _ in text])
    assert torch.equal(chunks.weights[inner], weights)
    assert (chunks.weights[~inner] == 1).all()
    assert (chunks.tokens[:, 0] == LAYOUT.start).all()
    assert ((chunks.tokens == LAYOUT.end).sum(1) == 1).all()


def test_short_stretches_are_not_split() -> None:
    chunks = chunk([Emphasis("a" * 7, 1.0), Emphasis("bcd", 2.0)], lambda text: [ord(one) for one in text], LAYOUT)
    assert chunks.tokens[1, 1:4].tolist() == [ord(letter) for letter in "bcd"]


@pytest.mark.parametrize(("positions", "whole_below"), [(2, 0), (8, 8)])
def test_chunks_without_room(positions: int, whole_below: int) -> None:
    with pytest.raises(GlidewireError, match=f"prompt chunks: too few positions; expected at least .* got {positions}"):
        ChunkLayout(positions, 1, 2, 0, whole_below)


@pytest.mark.parametrize("number", ["nan", "inf", "1e999"])
def test_weights_that_are_not_finite(number: str) -> None:
    with pytest.raises(GlidewireError, match="prompt weight of 'cat' is not a number"):
        chunk(SYNTAXES["comfy"].parse(f"(cat:{number})"), lambda text: [5], LAYOUT)


# --- what weights do --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", INTERPRETATIONS)
def test_weight_one_changes_nothing(name: str) -> None:
    assert torch.equal(INTERPRETATIONS[name](STATES, ONES, EMPTY), STATES)
    assert torch.equal(prompt_weights.on_attention(STATES, torch.ones(6)), STATES)


def test_weight_zero_is_the_empty_prompt() -> None:
    assert torch.allclose(INTERPRETATIONS["comfy"](STATES, ONES * 0, EMPTY), EMPTY.expand_as(STATES))
    assert torch.equal(INTERPRETATIONS["a1111"](STATES, ONES * 0, EMPTY), STATES * 0)


@given(scale=st.floats(0.1, 4))
def test_the_mean_stays(scale: float) -> None:
    weights, states = ONES.clone(), STATES.double()  # some scale brings the mean near 0, where float32 is lost
    weights[:, 3:5] = scale
    weighed = INTERPRETATIONS["a1111"](states, weights, EMPTY)
    assert torch.allclose(weighed.mean((1, 2)), states.mean((1, 2)), atol=1e-5)


@pytest.mark.parametrize("name", INTERPRETATIONS)
def test_embeddings_of_another_prompt(name: str) -> None:
    with pytest.raises(GlidewireError, match=rf"{name}: weights and embeddings .*\(2, 10\); got \(2, 9\)"):
        INTERPRETATIONS[name](STATES, ONES[:, :9], EMPTY)
    with pytest.raises(GlidewireError, match=f"{name}: a prompt weight is not finite"):
        INTERPRETATIONS[name](STATES, ONES * math.nan, EMPTY)


def test_an_empty_prompt_of_another_encoder() -> None:
    with pytest.raises(GlidewireError, match=r"comfy: the empty prompt's .*\(10, 6\); got \(10, 5\)"):
        INTERPRETATIONS["comfy"](STATES, ONES, EMPTY[:, :5])


def test_attention_columns_are_scaled_where_the_region_says() -> None:
    maps = torch.full((1, 4, 3), 1 / 3)
    region = torch.ones(4, 3)
    region[:2, 1] = 0
    weighed = prompt_weights.on_attention(maps, region)
    assert torch.equal(weighed == 0, region[None] == 0)
    with pytest.raises(GlidewireError, match=r"attention weights .* expected shape \(3,\) or \(4, 3\); got \(2,\)"):
        prompt_weights.on_attention(maps, torch.ones(2))
    with pytest.raises(GlidewireError, match="attention: a weight is not finite"):
        prompt_weights.on_attention(maps, torch.ones(3) * math.inf)
