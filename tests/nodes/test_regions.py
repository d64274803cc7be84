"""Regions as nodes: masks beside their denoisers, and Paella under a map of vectors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from glidewire.diffusion.evaluator import evaluate
from glidewire.diffusion.prediction import Progress
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.nodes import paella, regions, samplers
from glidewire.nodes.token_sockets import Embedding, TokenStart

QUIET = Context()


def test_a_picture_is_made_of_regions(materials: Any) -> None:
    background, other = materials.denoiser(), materials.denoiser("a cone")
    regional = regions.denoise_by_region(background, other, materials.mask())
    made = samplers.ddim_sampler(regional, materials.schedule, materials.start(), context=QUIET)
    assert made.tensor.isfinite().all()
    nowhere = regions.denoise_by_region(background, other, 0 * materials.mask())
    plain, same = (
        samplers.ddim_sampler(one, materials.schedule, materials.start(), context=QUIET).tensor
        for one in (background, nowhere)
    )
    torch.testing.assert_close(same, plain)


def test_a_region_alone_is_refused(materials: Any) -> None:
    background, mask = materials.denoiser(), materials.mask()
    with pytest.raises(GlidewireError, match=r"region 2 needs its denoiser and its mask together.*the denoiser alone"):
        regions.denoise_by_region(background, background, mask, second=background)
    with pytest.raises(GlidewireError, match=r"region 3 needs its denoiser and its mask together.*a mask alone"):
        regions.denoise_by_region(background, background, mask, third_mask=mask)


def test_a_map_of_one_vector_is_that_vector(materials: Any) -> None:
    vector, other = materials.embedding(), materials.embedding(1, 6)
    tokens, step = materials.tokens(2).tensor, Progress(0, 4, 0.25)
    plain = evaluate(paella.paella_denoiser(materials.paella, vector), tokens, step).value
    everywhere = regions.paella_region_denoiser(materials.paella, other, vector, torch.ones(1, 16, 16))
    torch.testing.assert_close(evaluate(everywhere, tokens, step).value, plain, rtol=1e-4, atol=1e-5)
    nowhere = regions.paella_region_denoiser(materials.paella, vector, other, torch.zeros(1, 16, 16))
    torch.testing.assert_close(evaluate(nowhere, tokens, step).value, plain, rtol=1e-4, atol=1e-5)
    half = regions.paella_region_denoiser(materials.paella, vector, other, materials.mask())
    assert not torch.allclose(evaluate(half, tokens, step).value, plain, atol=1e-3)


def test_large_masks_make_small_maps_and_samplers_walk_them(materials: Any) -> None:
    mask = materials.mask(512, 256)
    leaf = regions.paella_region_denoiser(materials.paella, materials.embedding(), materials.embedding(1, 6), mask)
    assert leaf.conditioning["clip"].shape == (1, 8, 64, 32)
    start = TokenStart(materials.tokens(1).tensor, materials.tokens().codebook, seeds=(3,))
    assert paella.paella_sampler(leaf, start, steps=2, context=QUIET).tensor.shape == (1, 4, 4)


def test_what_paella_cannot_paint_is_refused(materials: Any) -> None:
    vector, mask = materials.embedding(), materials.mask()
    arguments = (materials.paella, vector)
    with pytest.raises(GlidewireError, match=r"another CLIP's|different spaces"):
        regions.paella_region_denoiser(*arguments, Embedding(vector.tensor, "another"), mask)
    with pytest.raises(GlidewireError, match="masks of the regions differ in size; expected one size"):
        regions.paella_region_denoiser(*arguments, vector, mask, vector, materials.mask(8, 8))
    with pytest.raises(GlidewireError, match=r"Paella v3 takes no map of vectors.*Use denoise by region"):
        regions.paella_region_denoiser(materials.paella_v3, vector, vector, mask)
