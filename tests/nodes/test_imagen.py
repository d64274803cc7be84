"""Imagen's line as nodes: texts, a cascade of two stages under guidance with thresholds, and what does not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from glidewire.diffusion.evaluator import evaluate
from glidewire.diffusion.prediction import Step
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.nodes import guidance_bounds, imagen, samplers
from glidewire.nodes.guidance import classifier_free_guidance
from glidewire.nodes.sockets import Sample


def test_a_cascade_makes_a_large_picture_of_a_small_one(materials: Any) -> None:
    context, schedule = materials.context, materials.schedule
    encoder = imagen.load_t5_text_encoder(**materials.t5_files, context=context)
    texts = [imagen.t5_text(encoder, prompt) for prompt in ("red", "")]
    stage, noise = imagen.load_imagen_stage(materials.imagen_file(), context=context)
    assert len(noise) == 1000
    guided = classifier_free_guidance(*(imagen.imagen_denoiser(stage, text) for text in texts), 7.0)
    bounded = guidance_bounds.dynamic_threshold(guided, 0.95, 1.5)
    small = samplers.ancestral_sampler(bounded, schedule, samplers.noise_start(bounded, 8, 8, batch=2), clip=False)
    later, _ = imagen.load_imagen_stage(materials.imagen_file(True), context=context)
    branches = [imagen.imagen_upsampler_denoiser(later, text, small, 16, 16, level=0.25, seed=3) for text in texts]
    assert torch.equal(branches[0].conditioning["low_res"], branches[1].conditioning["low_res"])
    assert branches[0].conditioning["noise_level"].tolist() == [250.0, 250.0]
    larger = classifier_free_guidance(*branches, 4.0)
    large = samplers.ancestral_sampler(larger, schedule, samplers.noise_start(larger, 16, 16, batch=2))
    assert large.tensor.shape == (2, 3, 16, 16) and large.tensor.isfinite().all()


def test_more_noise_hides_more_of_the_small_picture_and_is_told(materials: Any) -> None:
    model, text, small = materials.imagen(True), materials.t5_text(), materials.sample(1)

    def seen(level: float) -> torch.Tensor:
        leaf = imagen.imagen_upsampler_denoiser(model, text, small, 16, 16, level=level)
        assert float(leaf.conditioning["noise_level"][0]) == int(level * 1000)
        return leaf.conditioning["low_res"]

    distances = [(seen(level) - small.tensor).norm() for level in (0.0, 0.25, 0.9)]
    assert distances[0] < distances[1] < distances[2]
    alone = imagen.imagen_upsampler_denoiser(
        model, text, Sample(materials.sample(2).tensor[1:]), 16, 16, level=0.5, first_item=1
    )
    both = imagen.imagen_upsampler_denoiser(model, text, materials.sample(2), 16, 16, level=0.5)
    assert torch.equal(alone.conditioning["low_res"][0], both.conditioning["low_res"][1])


def test_another_level_than_the_noises_may_be_told(materials: Any) -> None:
    model, text, small = materials.imagen(True), materials.t5_text(), materials.sample(1)
    own, other = (
        imagen.imagen_upsampler_denoiser(model, text, small, 16, 16, level=0.3, told=told) for told in (None, 0.1)
    )
    assert torch.equal(own.conditioning["low_res"], other.conditioning["low_res"])
    assert [float(leaf.conditioning["noise_level"]) for leaf in (own, other)] == [300, 100]
    x_t, step = materials.pixels(), Step.of(materials.schedule, 1)
    assert not torch.allclose(evaluate(own, x_t, step).value, evaluate(other, x_t, step).value, atol=1e-4)
    for level in (1.0, -0.1, float("nan")):
        with pytest.raises(GlidewireError, match="impossible level; expected 0 to below 1"):
            imagen.imagen_upsampler_denoiser(model, text, small, 16, 16, told=level)


def test_what_does_not_fit_is_told(materials: Any) -> None:
    first, later, text = materials.imagen(), materials.imagen(True), materials.t5_text()
    with pytest.raises(GlidewireError, match="this stage is an upsampler; expected a first stage"):
        imagen.imagen_denoiser(later, text)
    with pytest.raises(GlidewireError, match="this stage is a first stage; expected an upsampler"):
        imagen.imagen_upsampler_denoiser(first, text, materials.sample())
    with pytest.raises(GlidewireError, match="no T5 text; expected text_states; got text_embedding, text_states"):
        imagen.imagen_denoiser(first, materials.text())
    with pytest.raises(GlidewireError, match="no picture yet; expected pixels; got tiny latents"):
        imagen.imagen_upsampler_denoiser(later, text, materials.latents())
    with pytest.raises(GlidewireError, match="is no stage of IF; expected imagen; got ldm"):
        imagen.load_imagen_stage(materials.latent_file(), context=materials.context)


def test_a_prompt_beyond_the_positions_is_cut_with_a_warning(materials: Any) -> None:
    said: list[str] = []
    imagen.t5_text(materials.t5, "red " * 99, context=Context(on_warning=said.append))
    assert len(said) == 1 and "longer than" in said[0]
