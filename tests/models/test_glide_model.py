"""A whole GLIDE model: a prompt goes in by the vocabulary that the checkpoint carries."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.glide.model import load_model
from glidewire.models.glide.network import GlideTextToImage


def test_a_prompt_is_encoded_as_its_tokens(saved: Path, model: GlideTextToImage) -> None:
    whole = load_model(saved)
    tensors, dropped = whole.encode_prompt("a red cube")
    encoded = whole.tokenizer.encode("a red cube", model.spec.text_context)
    expected = model.encode_text(encoded.tokens[None], encoded.mask[None])
    assert dropped == ""
    assert all(torch.equal(tensors[name], value) for name, value in expected.items())
    assert whole.spec == model.spec and whole.digest() == whole.network.digest()
    assert whole.nbytes() == 4 * sum(value.numel() for value in model.parameters())


def test_the_empty_prompt_is_all_padding_and_a_long_one_is_cut(saved: Path) -> None:
    model = load_model(saved)
    empty, _ = model.encode_prompt("")
    padding = torch.zeros(1, model.spec.text_context, dtype=torch.bool)
    unconditional = model.network.encode_text(padding.long(), padding)
    assert torch.equal(empty["text_states"], unconditional["text_states"])
    _, dropped = model.encode_prompt("a small red cube left of a small blue sphere above a cone")
    assert dropped.endswith(" cone")


def test_stated_hyper_parameters_reach_the_network(saved: Path) -> None:
    assert load_model(saved, stated={"xf_heads": 8}).spec.text_heads == 8
    with pytest.raises(GlidewireError, match="text_heads does not fit"):
        load_model(saved, stated={"xf_heads": 5})
