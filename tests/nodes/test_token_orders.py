"""MaskGIT's and Halton's samplers on Paella's predictor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.nodes import guidance, paella, token_orders

QUIET = Context()


@pytest.mark.parametrize("sampler", [token_orders.maskgit_sampler, token_orders.halton_sampler])
def test_every_token_is_made_and_an_item_is_made_again_alone(materials: Any, sampler: Any) -> None:
    denoiser = guidance.classifier_free_guidance(materials.token_denoiser(), materials.token_denoiser(6), 2.0)
    start = paella.token_noise_start(denoiser, 4, 4, 2, seed=3)
    told: list[int] = []
    context = Context(on_progress=lambda done, total, text, preview: told.append(done))
    made = sampler(denoiser, start, steps=4, context=context)
    assert told == [1, 2, 3, 4]
    assert made.tensor.shape == (2, 4, 4) and made.tensor.max() < 32
    alone = sampler(denoiser, paella.token_noise_start(denoiser, 4, 4, 1, 3, first_item=1), steps=4, context=QUIET)
    assert torch.equal(alone.tensor, made.tensor[1:])
    assert not torch.equal(made.tensor, start.tensor)


def test_known_tokens_stay_where_confidence_paints_around_them(materials: Any) -> None:
    tokens, denoiser = materials.tokens(2), materials.token_denoiser()
    start = paella.token_inpainting_start(denoiser, tokens, materials.mask(), seed=1)
    made = token_orders.maskgit_sampler(denoiser, start, steps=3, context=QUIET)
    assert torch.equal(made.tensor[:, :, :2], tokens.tensor[:, :, :2])
    assert not torch.equal(made.tensor[:, :, 2:], tokens.tensor[:, :, 2:])
    with pytest.raises(GlidewireError, match="the Halton sampler makes whole pictures"):
        token_orders.halton_sampler(denoiser, start, context=QUIET)


def test_settings_reach_the_samplers(materials: Any) -> None:
    denoiser = materials.token_denoiser()
    start = paella.token_noise_start(denoiser, 8, 8, 1, seed=3)

    def made(**settings: Any) -> list[int]:
        return (
            token_orders.maskgit_sampler(denoiser, start, steps=4, context=QUIET, **settings).tensor.flatten().tolist()
        )

    assert made() != made(choice_temperature=0.0)
    assert made() != made(schedule="pow3")
    greedy = token_orders.halton_sampler(denoiser, start, steps=4, top_k=1, context=QUIET)
    other_seed = replace(start, seeds=(9,))
    same = token_orders.halton_sampler(denoiser, other_seed, steps=4, top_k=1, context=QUIET)
    assert torch.equal(greedy.tensor, same.tensor), "the likeliest code leaves nothing to chance"
    assert not torch.equal(greedy.tensor, token_orders.halton_sampler(denoiser, start, steps=4, context=QUIET).tensor)


def test_bad_input_is_refused(materials: Any) -> None:
    denoiser = materials.token_denoiser()
    start = paella.token_edit_start(denoiser, materials.tokens(), 0.5)
    for sampler in (token_orders.maskgit_sampler, token_orders.halton_sampler):
        with pytest.raises(GlidewireError, match=r"must know which tokens are to be made; .*a share of 0.5 is noise"):
            sampler(denoiser, start, context=QUIET)
        with pytest.raises(GlidewireError, match="another codebook than the denoiser's"):
            sampler(denoiser, replace(start, codebook="another"), context=QUIET)
    with pytest.raises(GlidewireError, match="unknown schedule of masks"):
        token_orders.maskgit_sampler(denoiser, start, schedule="sine", context=QUIET)
