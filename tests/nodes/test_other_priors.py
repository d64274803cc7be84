"""The autoregressive and LAION's priors as nodes, and principal components of what they make."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.nodes import clip, components, embeddings, guidance, other_priors
from glidewire.nodes.clip_sockets import ClipText
from glidewire.nodes.token_sockets import Embedding

QUIET = Context()


def test_headers_alone_name_the_clip(materials: Any) -> None:
    path = materials.folder / materials.autoregressive_prior_file
    dims = other_priors.load_autoregressive_prior.declaration.static_dims(path)
    assert dims == {"width": 8, "text_width": 12, "clip": "tiny CLIP"}
    path = materials.folder / materials.laion_prior_file
    dims = other_priors.load_laion_prior.declaration.static_dims(path, clip="a")
    assert dims == {"width": 8, "positions": 8, "clip": "a"}
    with pytest.raises(GlidewireError, match=r"laion.safetensors does not tell which CLIP's.*got one of width 8"):
        other_priors.load_laion_prior(path.name, context=materials.context)
    silent = materials.unclip_file(materials.unclip_prior.network)
    with pytest.raises(GlidewireError, match="is no autoregressive prior; expected autoregressive_prior; got unclip"):
        other_priors.load_autoregressive_prior(silent, context=materials.context)
    with pytest.raises(GlidewireError, match="is no prior of DALLE2-pytorch"):
        other_priors.load_laion_prior(silent, context=materials.context)


def test_codes_are_drawn_with_progress_and_an_item_is_made_again_alone(materials: Any) -> None:
    told: list[tuple[int, int]] = []
    context = Context(on_progress=lambda done, total, text, preview: told.append((done, total)))
    arguments = (materials.autoregressive_prior, materials.clip_text())
    made = other_priors.autoregressive_prior_sampler(*arguments, batch=2, candidates=2, seed=3, context=context)
    assert made.tensor.shape == (4, 8) and made.clip == "tiny CLIP"
    assert told == [(index, 4) for index in range(1, 5)]
    alone = other_priors.autoregressive_prior_sampler(*arguments, candidates=2, seed=3, first_item=1, context=QUIET)
    torch.testing.assert_close(alone.tensor, made.tensor[2:])
    guided = other_priors.autoregressive_prior_sampler(
        *arguments, batch=2, candidates=2, guidance_scale=8.0, seed=3, context=QUIET
    )
    assert not torch.equal(guided.tensor, made.tensor)
    best = embeddings.rerank_embeddings(made, clip.clip_text_embedding(materials.clip, "a", context=QUIET).embedding)
    assert best.tensor.shape == (2, 8)


def test_laions_prior_is_guided_against_its_learned_branch(materials: Any) -> None:
    prior = materials.laion_prior
    leaves = [other_priors.laion_prior_denoiser(prior, text) for text in (materials.wide_clip_text(), None)]
    guided = guidance.classifier_free_guidance(*leaves, 3.0)
    made = [
        other_priors.laion_prior_sampler(prior, denoiser, prior.schedule, 4, batch=2, seed=1, context=QUIET).tensor
        for denoiser in (leaves[0], guided)
    ]
    assert made[0].shape == (2, 8)
    assert not torch.allclose(*made, atol=1e-3)
    assert all(one.isfinite().all() for one in made)


def test_texts_of_another_clip_and_foreign_denoisers_are_refused(materials: Any) -> None:
    text = materials.clip_text()
    other = ClipText(text.tensor, text.embedding, text.mask, "another")
    with pytest.raises(GlidewireError, match=r"the text is another CLIP's.*expected tiny CLIP; got another"):
        other_priors.autoregressive_prior_sampler(materials.autoregressive_prior, other, context=QUIET)
    with pytest.raises(GlidewireError, match="the text is another CLIP's"):
        other_priors.laion_prior_denoiser(materials.laion_prior, other)
    with pytest.raises(GlidewireError, match="not of this prior's embeddings"):
        other_priors.laion_prior_sampler(materials.laion_prior, materials.denoiser(), materials.schedule, context=QUIET)
    with pytest.raises(GlidewireError, match="impossible number of steps; expected 2 to 1000; got 1"):
        prior = materials.laion_prior
        other_priors.laion_prior_sampler(prior, materials.laion_denoiser(), prior.schedule, 1, context=QUIET)


def test_all_components_give_the_embedding_back_and_none_give_the_mean(materials: Any) -> None:
    cloud = materials.embedding(40)
    found = components.principal_components(cloud, 99)
    assert found.tensor.shape == (8, 8)
    one = materials.embedding(3, 9)
    torch.testing.assert_close(components.keep_components(one, found, 8).tensor, one.tensor)
    mean = components.keep_components(one, found, 0).tensor
    torch.testing.assert_close(mean, cloud.tensor.mean(dim=0).expand(3, -1), rtol=1e-4, atol=1e-5)
    errors = [(components.keep_components(one, found, k).tensor - one.tensor).norm().item() for k in range(9)]
    assert errors == sorted(errors, reverse=True)
    with pytest.raises(GlidewireError, match="there are not so many components; expected 0 to 8; got 9"):
        components.keep_components(one, found, 9)
    with pytest.raises(GlidewireError, match="the embedding is another CLIP's"):
        components.keep_components(Embedding(one.tensor, "another"), found, 2)


def test_a_priors_own_components_hold_what_it_draws(materials: Any) -> None:
    prior = materials.autoregressive_prior
    found = other_priors.autoregressive_prior_components(prior)
    made = other_priors.autoregressive_prior_sampler(prior, materials.clip_text(), batch=2, context=QUIET)
    torch.testing.assert_close(components.keep_components(made, found, 4).tensor, made.tensor, rtol=1e-3, atol=1e-4)
