"""CLIP and unCLIP as nodes: spaces on the wire, the chain from a text to a picture, what is done with embeddings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.models.unclip.model import PriorModel
from glidewire.nodes import clip, embeddings, guidance, samplers, unclip
from glidewire.nodes.token_sockets import Embedding

QUIET = Context()


def test_headers_alone_name_the_clip(materials: Any) -> None:
    told = clip.load_clip.declaration.static_dims(materials.folder / materials.clip_file, activation="gelu")
    loaded = clip.load_clip(materials.clip_file, activation="gelu", context=materials.context)
    assert told == {"width": 8, "positions": 8, "text_width": 12, "clip": loaded.clip}
    prior = materials.folder / materials.unclip_file(materials.unclip_prior.network)
    dims = unclip.load_unclip_prior.declaration.static_dims(prior, clip="a")
    assert dims == {"width": 8, "positions": 8, "text_width": 12, "clip": "a"}
    decoder = materials.folder / materials.unclip_file(materials.unclip_decoder.network, "published")
    dims = unclip.load_unclip_decoder.declaration.static_dims(decoder, clip="a")
    of_unet = {"sides": "2", "context_width": "6", "bottleneck": "64", "time_width": "128"}
    assert dims == {"channels": 3, "width": 8, "text_width": 12, "space": "pixels", "clip": "a", **of_unet}
    with pytest.raises(GlidewireError, match="does not tell which CLIP's embeddings"):
        unclip.load_unclip_decoder(decoder.name, context=materials.context)


def test_from_a_text_to_a_picture(materials: Any) -> None:
    model = materials.clip
    said, empty = (clip.clip_text_embedding(model, prompt, context=QUIET) for prompt in ("a red cube", ""))
    assert not torch.equal(said.embedding.tensor, empty.embedding.tensor)
    prior = materials.unclip_prior
    leaves = [unclip.unclip_prior_denoiser(prior, one.text) for one in (said, empty)]
    guided = guidance.classifier_free_guidance(*leaves, 4.0)
    made = unclip.unclip_prior_sampler(prior, guided, materials.schedule, 2, 2, seed=1, context=QUIET)
    assert made.tensor.shape == (4, 8)
    kept = embeddings.rerank_embeddings(made, said.embedding)
    assert kept.tensor.shape == (2, 8)
    decoder = unclip.unclip_decoder_denoiser(materials.unclip_decoder, kept, said.text)
    plain = unclip.unclip_decoder_denoiser(materials.unclip_decoder, None, empty.text)
    start = samplers.noise_start(decoder, 16, 16, batch=2)
    walked = guidance.classifier_free_guidance(decoder, plain, 2.0)
    picture = samplers.ddim_sampler(walked, materials.schedule, start, context=QUIET)
    assert picture.tensor.shape == (2, 3, 16, 16)
    assert picture.space == "pixels"


def test_an_item_of_the_prior_is_made_again_alone(materials: Any) -> None:
    arguments = (materials.unclip_prior, materials.prior_denoiser(), materials.schedule)
    whole = unclip.unclip_prior_sampler(*arguments, batch=2, candidates=2, seed=3, context=QUIET).tensor
    alone = unclip.unclip_prior_sampler(*arguments, candidates=2, seed=3, first_item=1, context=QUIET).tensor
    assert torch.allclose(whole[2:], alone, atol=1e-4)
    assert not torch.allclose(whole[:2], alone, atol=1e-2)


def test_a_long_prompt_is_told(materials: Any) -> None:
    warned: list[str] = []
    clip.clip_text_embedding(materials.clip, "red " * 20, context=Context(on_warning=warned.append))
    assert "longer than 8 tokens" in warned[0]


def test_another_clip_is_refused_everywhere(materials: Any) -> None:
    vector, text = materials.embedding(), materials.clip_text()
    other, foreign = Embedding(vector.tensor, "other"), replace(text, clip="other")
    with pytest.raises(GlidewireError, match="different spaces"):
        embeddings.interpolate_embeddings(vector, other)
    with pytest.raises(GlidewireError, match="text is another CLIP's"):
        unclip.unclip_prior_denoiser(materials.unclip_prior, foreign)
    with pytest.raises(GlidewireError, match="embedding is another CLIP's"):
        unclip.unclip_decoder_denoiser(materials.unclip_decoder, other, text)
    with pytest.raises(GlidewireError, match="expected a text"):
        unclip.unclip_decoder_denoiser(materials.unclip_decoder, vector)
    with pytest.raises(GlidewireError, match="not of this prior's embeddings"):
        prior: PriorModel = materials.unclip_prior
        unclip.unclip_prior_sampler(prior, materials.denoiser(), materials.schedule, context=QUIET)


def test_interpolation_walks_the_sphere() -> None:
    a, b = (Embedding(torch.tensor([row]), "x") for row in ([2.0, 0.0], [0.0, 2.0]))
    middle = embeddings.interpolate_embeddings(a, b, 0.5).tensor
    assert torch.allclose(middle, torch.tensor([[2.0, 2.0]]) / 2**0.5)
    assert torch.allclose(embeddings.interpolate_embeddings(a, b, 0.0).tensor, a.tensor)
    assert torch.allclose(embeddings.interpolate_embeddings(a, b, 1.0).tensor, b.tensor, atol=1e-6)
    same = embeddings.interpolate_embeddings(a, Embedding(a.tensor * 3, "x"), 0.5).tensor
    assert torch.allclose(same, a.tensor * 2)
    with pytest.raises(GlidewireError, match="slerp: the embeddings do not fit together"):
        embeddings.interpolate_embeddings(a, Embedding(torch.ones(1, 3), "x"))


def test_a_text_difference_turns_the_picture(materials: Any) -> None:
    image, source, target = materials.embedding(2), materials.embedding(1, 6), materials.embedding(1, 7)
    turned = embeddings.text_difference(image, source, target, 0.4).tensor
    assert torch.allclose(turned.norm(dim=-1), image.tensor.norm(dim=-1), atol=1e-5)
    wish = torch.nn.functional.normalize(target.tensor, dim=-1) - torch.nn.functional.normalize(source.tensor, dim=-1)
    before, after = (torch.cosine_similarity(vectors, wish) for vectors in (image.tensor, turned))
    assert (after > before).all()
    assert torch.allclose(embeddings.text_difference(image, source, target, 0.0).tensor, image.tensor, atol=1e-6)
    with pytest.raises(GlidewireError, match="both texts have the same embedding"):
        embeddings.text_difference(image, source, source)


def test_reranking_keeps_the_nearest_of_each_item() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 9.0], [3.0, 1.0], [1.0, 3.0]])
    best = embeddings.rerank_embeddings(Embedding(rows, "x"), Embedding(torch.tensor([[1.0, 0.1]]), "x"))
    assert torch.equal(best.tensor, rows[[0, 2]])
    with pytest.raises(GlidewireError, match="cannot be divided among the items"):
        embeddings.rerank_embeddings(Embedding(rows[:3], "x"), Embedding(rows[:1], "x"))
