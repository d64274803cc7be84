from __future__ import annotations

from typing import Any
from zlib import crc32

import pytest
import torch
from glidewire.diffusion.attention_maps import AttentionStore
from glidewire.diffusion.prompt_to_prompt import (
    CrossEdit,
    PromptToPrompt,
    SelfInjection,
    Window,
    word_windows,
)
from glidewire.diffusion.token_alignment import (
    Refinement,
    Tokenization,
    equalizer,
    refinement,
    replacement,
)
from glidewire.errors import GlidewireError
from hypothesis import given
from hypothesis import strategies as st

TOY = Tokenization(lambda text: [crc32(word.encode()) for word in text.split()], 8)
MAPS = torch.rand(2, 3, 4, 8, generator=torch.Generator().manual_seed(0)).softmax(-1)
SELF = SelfInjection((0.0, 1.0), 4)
ALWAYS = torch.ones(5, 8)
FRACTIONS = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).map(tuple)


def as_window(bounds: Any) -> Window:
    """The published short form: a number is where a window ends."""
    return (0.0, bounds) if isinstance(bounds, float) else tuple(bounds)


def golden_windows(tokens: Tokenization, target: str, steps: int, bounds: Any) -> torch.Tensor:
    """Published windows name words of any target; ours are those of one."""
    named = bounds if isinstance(bounds, dict) else {"default_": bounds}
    words = {word: as_window(own) for word, own in named.items() if word in target.split(" ")}
    return word_windows(tokens, target, steps, as_window(named.get("default_", 1.0)), words)


# --- golden data ------------------------------------------------------------------------------------------------------


def test_windows_as_published(parity, golden_tokens) -> None:
    case = parity("prompt_to_prompt")
    told, tokens = case.config["time_windows"], golden_tokens(case)
    for name, bounds in told["cases"]:
        windows = [golden_windows(tokens, target, told["num_steps"], bounds) for target in told["prompts"][1:]]
        case.assert_close(f"time_alpha_{name}", torch.stack(windows, dim=1))


def golden_edit(tokens: Tokenization, told: dict[str, Any], mode: str) -> PromptToPrompt:
    source, *targets = told["prompts"][mode]
    steps = told["num_steps"]
    factors = None
    if mode in told["equalizer"]:
        prompt, word, scale = told["equalizer"][mode]
        factors = equalizer(tokens, prompt, {word: scale})
    edits = [
        CrossEdit(
            golden_windows(tokens, target, steps, told["cross_replace_steps"][mode]),
            replacement(tokens, source, target) if mode.startswith("replace") else None,
            refinement(tokens, source, target) if mode.startswith("refine") else None,
            factors,
        )
        for target in targets
    ]
    return PromptToPrompt(edits, SelfInjection(as_window(told["self_replace_steps"][mode]), steps))


def test_edits_and_their_store_as_published(parity, golden_tokens) -> None:
    case = parity("prompt_to_prompt")
    told, tokens = case.config["edits"], golden_tokens(case)
    for mode, prompts in told["prompts"].items():
        edit = golden_edit(tokens, told, mode)
        conditional = {
            layer: case.inputs[f"attn_layer_{layer}"].unflatten(1, (2, len(prompts), told["heads"]))[:, 1]
            for layer in (0, 1)
        }
        copies = {layer: maps.clone() for layer, maps in conditional.items()}
        store, edited = AttentionStore(), {0: [], 1: []}
        for step in range(told["num_steps"]):
            edited[0].append(edit.cross(conditional[0][step], step))
            edited[1].append(edit.within(conditional[1][step], step))
            store = store.with_step({"down_cross": edited[0][-1]})
        for layer, steps in edited.items():
            case.assert_close(f"{mode}/targets_layer_{layer}", torch.stack(steps)[:, 1:].flatten(1, 2))
            assert torch.equal(torch.stack(steps)[:, 0], copies[layer][:, 0]), "the source is left alone"
            assert torch.equal(conditional[layer], copies[layer])
        case.assert_close(f"{mode}/store_down_cross_sum", store.sums["down_cross"].flatten(0, 1))


# --- properties -------------------------------------------------------------------------------------------------------


EQUAL = "a cat on a mat"


@pytest.mark.parametrize(
    "edit",
    [
        CrossEdit(ALWAYS),
        CrossEdit(ALWAYS, mapper=replacement(TOY, EQUAL, EQUAL)),
        CrossEdit(ALWAYS, refinement=refinement(TOY, EQUAL, EQUAL)),
        CrossEdit(ALWAYS, factors=equalizer(TOY, EQUAL, {"cat": 1.0})),
    ],
    ids=["injection", "replace", "refine", "reweight"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_identity_gives_the_source_bit_for_bit(edit: CrossEdit, dtype: torch.dtype) -> None:
    source, own = MAPS.to(dtype)
    assert torch.equal(edit(source, own, 0), source)
    assert torch.equal(edit(source, source, 0), source)
    assert edit(source, own, 0).dtype == dtype


@given(window=FRACTIONS, step=st.integers(0, 4))
def test_outside_its_window_a_target_keeps_its_own_maps(window: Window, step: int) -> None:
    alpha = word_windows(TOY, "a dog on a mat", 4, window, {"dog": (0.0, 0.0)})
    edited = CrossEdit(alpha, replacement(TOY, EQUAL, "a dog on a mat"))(*MAPS, step)
    inside = int(window[0] * 5) <= step < int(window[1] * 5)
    assert torch.equal(edited, MAPS[1]) == (not inside)
    assert torch.equal(edited[..., 2], MAPS[1][..., 2]), "the dog has an empty window of its own"


def test_added_words_keep_their_own_maps() -> None:
    edit = CrossEdit(ALWAYS, refinement=refinement(TOY, "a cat", "a red cat"))
    edited = edit(*MAPS, 0)
    assert torch.equal(edited[..., 2], MAPS[1][..., 2])
    assert torch.equal(edited[..., 3], MAPS[0][..., 2])


@given(scale=st.floats(-4, 4))
def test_reweighting_scales_one_column_of_what_came_before(scale: float) -> None:
    aligned = refinement(TOY, "a cat", "a red cat")
    plain = CrossEdit(ALWAYS, refinement=aligned)(*MAPS, 0)
    scaled = CrossEdit(ALWAYS, refinement=aligned, factors=equalizer(TOY, "a red cat", {"red": scale}))(*MAPS, 0)
    others = torch.arange(8) != 2
    assert torch.equal(scaled[..., others], plain[..., others])
    assert torch.equal(scaled[..., 2], plain[..., 2] * torch.tensor(scale))


@given(window=FRACTIONS, steps=st.integers(1, 20))
def test_self_attention_is_the_sources_in_its_window_and_on_small_maps(window: Window, steps: int) -> None:
    injection = SelfInjection(window, steps, largest=4)
    active = [torch.equal(injection(*MAPS, step), MAPS[0]) for step in range(steps)]
    assert active == [int(steps * window[0]) <= step < int(steps * window[1]) for step in range(steps)]
    larger = MAPS.repeat(1, 1, 2, 1)
    assert torch.equal(SelfInjection((0.0, 1.0), steps, largest=4)(*larger, 0), larger[1])


def test_edits_tell_themselves_apart() -> None:
    edits = [
        CrossEdit(ALWAYS),
        CrossEdit(ALWAYS * 0),
        CrossEdit(ALWAYS, mapper=torch.eye(8)),
        CrossEdit(ALWAYS, factors=torch.ones(8)),
    ]
    digests = {PromptToPrompt([edit], SELF).digest for edit in edits}
    digests |= {PromptToPrompt(edits[:1], SelfInjection((0.0, 0.5), 4)).digest}
    assert len(digests) == 5
    assert PromptToPrompt([CrossEdit(ALWAYS)], SELF).digest in digests


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [(0.5, 0.2), (-0.1, 1.0), (0.0, 1.1), (0.0, float("nan"))])
def test_impossible_windows(window: Window) -> None:
    with pytest.raises(GlidewireError, match="prompt-to-prompt: impossible window; expected 0 <= start <= end <= 1"):
        word_windows(TOY, "a cat", 4, window)
    with pytest.raises(GlidewireError, match="impossible window of 'cat'"):
        word_windows(TOY, "a cat", 4, (0.0, 1.0), {"cat": window})
    with pytest.raises(GlidewireError, match="impossible window of self-attention"):
        SelfInjection(window, 4)


def test_edits_that_do_not_fit_together() -> None:
    with pytest.raises(GlidewireError, match="replace and refine exclude each other"):
        CrossEdit(ALWAYS, torch.eye(8), Refinement(torch.arange(8), torch.ones(8, dtype=torch.bool)))
    with pytest.raises(GlidewireError, match=r"for different texts; expected 8 positions; got .*'mapper': 7"):
        CrossEdit(ALWAYS, torch.eye(7))


def test_maps_of_something_else() -> None:
    edit = CrossEdit(ALWAYS)
    with pytest.raises(GlidewireError, match=r"maps do not belong .* 8 positions; got \(3, 4, 7\)"):
        edit(MAPS[0, ..., :7], MAPS[1, ..., :7], 0)
    with pytest.raises(GlidewireError, match="a step outside the run; expected 0 to 4; got 5"):
        edit(*MAPS, 5)
    for of in (PromptToPrompt([edit, edit], SELF).cross, PromptToPrompt([edit, edit], SELF).within):
        with pytest.raises(GlidewireError, match="not a source and its targets; expected 3 prompts; got 2"):
            of(MAPS, 0)
