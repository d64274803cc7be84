"""Noised CLIP as nodes: guidance in a host's inference mode, its direction, and files that do not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.models.checkpoint import save_published
from glidewire.models.noised_clip.checkpoint import build, key_map
from glidewire.nodes import noised_clip, samplers
from glidewire.nodes.sockets import Condition


def guided_sample(materials: Any, scale: float) -> torch.Tensor:
    """From files to a sample, through the nodes."""
    context = materials.context
    model = noised_clip.load_noised_clip(**materials.noised_clip_files, context=context)
    text = noised_clip.noised_clip_text_encoder(model, "a red cube", context=context)
    denoiser = noised_clip.noised_clip_guidance(materials.denoiser(""), model, text, scale)
    start = samplers.noise_start(materials.denoiser(""), 16, 16, seed=2)
    return samplers.ancestral_sampler(denoiser, materials.schedule, start, context=context).tensor


def similarity(materials: Any, sample: torch.Tensor) -> float:
    model = materials.noised_clip
    image, text = model.image(sample, torch.zeros(1, dtype=torch.long)), model.encode_prompt("a red cube")[0]
    return F.cosine_similarity(image, text).item()


def test_it_guides_where_a_host_runs_nodes_in_inference_mode(materials: Any) -> None:
    plain = guided_sample(materials, 3.0)
    with torch.inference_mode():
        assert torch.equal(guided_sample(materials, 3.0), plain)
    assert not torch.equal(guided_sample(materials, 0.0), plain)


def test_it_leads_towards_the_text_and_below_0_away_from_it(materials: Any) -> None:
    away, none, towards = (similarity(materials, guided_sample(materials, scale)) for scale in (-3.0, 0.0, 3.0))
    assert away < none < towards


def test_a_text_of_another_encoder_is_refused(materials: Any) -> None:
    with pytest.raises(GlidewireError) as caught:
        noised_clip.noised_clip_guidance(materials.denoiser(), materials.noised_clip, materials.text())
    assert "embedding of noised CLIP; expected noised_clip_text; got text_embedding, text_states" in str(caught.value)
    wide = Condition({"noised_clip_text": torch.ones(1, 7)})
    denoiser = noised_clip.noised_clip_guidance(materials.denoiser(), materials.noised_clip, wide)
    with pytest.raises(GlidewireError, match="embedding does not fit the image tower; expected batch x 6; got 1 x 7"):
        samplers.ddim_sampler(denoiser, materials.schedule, materials.start())


def test_a_picture_of_another_size_is_refused(materials: Any) -> None:
    text = noised_clip.noised_clip_text_encoder(materials.noised_clip, "a cube")
    denoiser = noised_clip.noised_clip_guidance(materials.denoiser(), materials.noised_clip, text)
    start = samplers.noise_start(denoiser, 32, 16)
    with pytest.raises(GlidewireError, match="picture does not fit the image tower; expected batch x 3 x 16 x 16"):
        samplers.ddim_sampler(denoiser, materials.schedule, start)


def test_towers_that_are_none_or_lie_in_each_others_place_are_refused(materials: Any) -> None:
    files, context = materials.noised_clip_files, materials.context
    swapped = dict(zip(files, reversed(files.values()), strict=True))
    with pytest.raises(GlidewireError, match="holds noised_clip text_encoder; expected a component"):
        noised_clip.load_noised_clip(**swapped, context=context)
    with pytest.raises(GlidewireError, match="is no tower of noised CLIP; expected noised_clip; got clip_text"):
        noised_clip.load_noised_clip(files["image_encoder"], materials.clip_text_file, context=context)
    spec = replace(materials.noised_clip.text.spec, embedding_width=5)
    other = "another_text.safetensors"
    save_published(build(spec), key_map(spec), materials.folder / other, metadata={})
    with pytest.raises(GlidewireError, match=r"not trained together; expected embeddings of width 6.* got 5"):
        noised_clip.load_noised_clip(files["image_encoder"], other, context=context)


def test_a_prompt_beyond_the_context_is_cut_with_a_warning(materials: Any) -> None:
    said: list[str] = []
    long = "a red cube left of a blue sphere"
    noised_clip.noised_clip_text_encoder(materials.noised_clip, long, context=Context(on_warning=said.append))
    assert said == ["the prompt is longer than 8 tokens; dropped: 'blue sphere'"]
