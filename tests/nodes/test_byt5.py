"""ByT5: bytes as tokens, cut before whole characters, beside CLIP in Paella v3."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.models.paella.byt5 import byte_tokens
from glidewire.nodes import byt5, guidance, paella
from glidewire.nodes.sockets import Condition
from hypothesis import given
from hypothesis import strategies as st

QUIET = Context()


def test_bytes_are_tokens_and_the_end_is_1() -> None:
    assert byte_tokens("aé")[0].tolist() == [97 + 3, 0xC3 + 3, 0xA9 + 3, 1]
    assert byte_tokens("")[0].tolist() == [1]
    with pytest.raises(GlidewireError, match="the prompt is not valid Unicode"):
        byte_tokens("\ud800")


@given(st.text(max_size=30), st.integers(1, 40))
def test_what_is_kept_and_what_is_dropped_make_the_text(text: str, positions: int) -> None:
    tokens, dropped = byte_tokens(text, positions)
    assert len(tokens) <= positions
    assert bytes(token - 3 for token in tokens.tolist()[:-1]).decode() + dropped == text


def test_a_long_prompt_is_cut_with_a_warning(materials: Any) -> None:
    said: list[str] = []
    states = byt5.byt5_text(materials.byt5, "a" * 766 + "éz", context=Context(on_warning=said.append)).tensors["byt5"]
    assert states.shape == (1, 767, 12)
    assert said == ["the prompt is longer than 767 bytes; dropped: 'éz'"]


def test_paella_v3_attends_to_both_texts(materials: Any) -> None:
    said, empty = (byt5.byt5_text(materials.byt5, prompt, context=QUIET) for prompt in ("a red cube", ""))
    leaves = [
        paella.paella_denoiser(materials.paella_v3, materials.embedding(), None, said),
        paella.paella_denoiser(materials.paella_v3, materials.embedding(1, 6), None, empty),
        paella.paella_denoiser(materials.paella_v3, byt5=said),
    ]
    made = []
    for denoiser in (*leaves, guidance.classifier_free_guidance(leaves[0], leaves[1], 4.0)):
        start = paella.token_noise_start(denoiser, 4, 4, 1, seed=3)
        made.append(paella.paella_linear_sampler(denoiser, start, steps=2, context=QUIET).tensor)
    assert all(one.shape == (1, 4, 4) for one in made)
    assert not all(torch.equal(made[0], one) for one in made[1:])


def test_what_does_not_fit_is_refused(materials: Any) -> None:
    said = byt5.byt5_text(materials.byt5, "a", context=QUIET)
    with pytest.raises(GlidewireError, match="does not fit the predictor; expected no states: v1 reads CLIP alone"):
        paella.paella_denoiser(materials.paella, byt5=said)
    with pytest.raises(GlidewireError, match="expected width 12; got states of width 5"):
        paella.paella_denoiser(materials.paella_v3, byt5=Condition({"byt5": torch.zeros(1, 3, 5)}))
    with pytest.raises(GlidewireError, match="expected width 12; got no states of ByT5"):
        paella.paella_denoiser(materials.paella_v3, byt5=materials.latent_text())
    with pytest.raises(
        GlidewireError, match=r"holds clip_text text_encoder; expected a component 'text_encoder' of imagen"
    ):
        byt5.load_byt5(materials.clip_text_file, context=materials.context)
    with pytest.raises(GlidewireError, match=r"is no ByT5; expected a T5 encoder with 259 to 384 tokens"):
        byt5.load_byt5(materials.t5_files["checkpoint"], context=materials.context)
