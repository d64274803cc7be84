"""Bad input, node by node: finite pictures or an error in words that names the node and the step, never silent NaN."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.cache import Cache
from glidewire.graph_runtime.context import Context, Policy
from glidewire.graph_runtime.execute import run
from glidewire.graph_runtime.folders import Folders
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.literals import refusal
from glidewire.graph_runtime.registry import collect
from glidewire.models.glide import checkpoint as glide_checkpoint
from glidewire.nodes import (
    autoencoders,
    clip,
    glide,
    glide_editing,
    guidance,
    latent_conditions,
    latent_diffusion,
    masks,
    noised_clip,
    paella,
    replacement,
    samplers,
    schedules,
)

REGISTRY = collect("glidewire.nodes")
PROMPTS = ["", " ", "qwzx vrrb", "🦊 лиса 狐狸", "a red cube " * 200, "\u0000", "-1e9", "(((", "a\nb"]


@pytest.mark.parametrize("prompt", PROMPTS, ids=range(len(PROMPTS)))
def test_any_prompt_is_encoded_and_a_long_one_is_cut_with_a_warning(materials: Any, prompt: str) -> None:
    said: list[str] = []
    context = Context(on_warning=said.append)
    found = [
        *glide.glide_text_encoder(materials.glide, prompt, context=context).tensors.values(),
        clip.clip_text_embedding(materials.clip, prompt, context=context).embedding.tensor,
        *latent_conditions.encode_prompt(materials.text_encoder, prompt, context=context).tensors.values(),
        *noised_clip.noised_clip_text_encoder(materials.noised_clip, prompt, context=context).tensors.values(),
    ]
    assert all(tensor.float().isfinite().all() for tensor in found)
    if len(prompt) > 100:
        assert len(said) == 4 and all("is longer than 8 tokens; dropped: " in one for one in said)


def test_batches_and_steps_of_nothing_are_refused_by_their_widgets() -> None:
    asked = [
        (declaration.name, given)
        for declaration in REGISTRY
        for given in declaration.inputs
        if given.id in ("batch", "steps", "candidates", "count") and given.is_literal
        and declaration.name not in ("keep_components", "sample_until")  # where 0 has a meaning
    ]  # fmt: skip
    assert len(asked) > 15
    for name, given in asked:
        assert refusal(given, 0, Folders()) is not None, f"{name}: {given.id} 0"
        assert refusal(given, -1, Folders()) is not None, f"{name}: {given.id} -1"


def _latent_inpainting(m: Any, mask: torch.Tensor) -> Any:
    model, text = m.latent_model(9), m.latent_text()
    return latent_diffusion.latent_inpainting_denoiser(model, m.autoencoder, m.picture(1), mask, text)


MASKED: dict[str, Callable[[Any, torch.Tensor], Any]] = {
    "known region": lambda m, mask: glide_editing.known_region(m.denoiser(), m.sample(), mask),
    "GLIDE inpainting": lambda m, mask: glide_editing.glide_inpainting_denoiser(
        m.glide_variant("inpaint"), m.text(), m.picture(1), mask
    ),
    "latent inpainting": _latent_inpainting,
    "token inpainting": lambda m, mask: paella.token_inpainting_start(m.token_denoiser(), m.tokens(), mask),
    "RePaint": lambda m, mask: replacement.repaint_sampler(
        m.denoiser(), m.schedule, m.start(), m.sample(), mask, context=Context()
    ),
}


@pytest.mark.parametrize("name", MASKED)
def test_a_mask_of_another_size_or_batch_is_refused(materials: Any, name: str) -> None:
    for mask in (torch.ones(1, 15, 16), torch.ones(1, 16, 15), torch.ones(3, 16, 16), torch.ones(1, 2, 2)):
        with pytest.raises(GlidewireError, match="mask does not fit the"):
            MASKED[name](materials, mask)


def test_an_inverted_mask_keeps_what_the_other_repaints(materials: Any) -> None:
    mask, sample = materials.mask(), materials.sample()
    for given, kept in ((mask, slice(0, 8)), (masks.invert_mask(mask), slice(8, 16))):
        made = replacement.repaint_sampler(
            materials.denoiser(), materials.schedule, materials.start(), sample, given, 1, 1, context=Context()
        )
        torch.testing.assert_close(made.tensor[..., kept], sample.tensor[..., kept])


def test_sides_that_the_stride_does_not_divide_are_refused(materials: Any) -> None:
    with pytest.raises(GlidewireError, match="15"):
        autoencoders.encode_latents(materials.autoencoder, materials.picture(1, 15, 16))
    with pytest.raises(GlidewireError, match="15"):
        paella.encode_tokens(materials.token_autoencoder, materials.picture(1, 16, 15))
    with pytest.raises(GlidewireError, match="multiples of"):
        start = samplers.noise_start(materials.denoiser(), 13, 16)
        samplers.ddim_sampler(materials.denoiser(), materials.schedule, start, context=Context())


def test_one_step_is_a_run(materials: Any) -> None:
    one = schedules.respace(materials.schedule, "1")
    for sampler in (samplers.ddim_sampler, samplers.ancestral_sampler):
        made = sampler(materials.denoiser(), one, materials.start(), context=Context())
        assert made.tensor.isfinite().all() and made.tensor.abs().max() <= 1
    start = paella.token_noise_start(materials.token_denoiser(), 4, 4)
    for sampler in (paella.paella_sampler, paella.paella_linear_sampler):
        assert sampler(materials.token_denoiser(), start, steps=1, context=Context()).tensor.max() < 32


@pytest.mark.parametrize("scale", [0.0, -30.0, 30.0, 1e12, 1e30, 3e38])
def test_any_scale_gives_numbers_or_an_error_that_names_the_step(materials: Any, scale: float) -> None:
    pair = (materials.denoiser(), materials.denoiser(""))
    guided = guidance.classifier_free_guidance(*pair, scale)
    for sampler in (samplers.ddim_sampler, samplers.ancestral_sampler):
        try:
            made = sampler(guided, materials.schedule, materials.start(), context=Context()).tensor
        except GlidewireError as problem:
            assert "Sampling step" in str(problem) and "not finite" in str(problem)
            assert scale > 1e20, "a scale that a user can set gives a picture"
        else:
            assert made.isfinite().all()
    tokens = guidance.classifier_free_guidance(materials.token_denoiser(), materials.token_denoiser(6), scale)
    start = paella.token_noise_start(tokens, 4, 4)
    try:
        assert paella.paella_sampler(tokens, start, steps=2, context=Context()).tensor.max() < 32
    except GlidewireError as problem:
        assert "Sampling step 0 of 2: the scores of tokens are not numbers" in str(problem)


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_a_scale_that_is_no_number_is_refused(materials: Any, scale: float) -> None:
    with pytest.raises(GlidewireError, match="finite"):
        guidance.classifier_free_guidance(materials.denoiser(), materials.denoiser(""), scale)


def test_a_network_that_overflows_fails_at_the_sampler_and_its_step(materials: Any) -> None:
    broken = copy.deepcopy(materials.glide.network)
    with torch.no_grad():
        next(weight for name, weight in broken.named_parameters() if "conv_in" in name).fill_(1e38)
    glide_checkpoint.save(broken, materials.folder / "broken.safetensors", merges=materials.glide.tokenizer)
    calls = [
        NodeCall("1", "GlidewireLoadGlide", {"checkpoint": "broken.safetensors"}),
        NodeCall("2", "GlidewireGlideEmptyText", {"model": Wire("1", 0)}),
        NodeCall("3", "GlidewireGlideDenoiser", {"model": Wire("1", 0), "text": Wire("2", 0)}),
        NodeCall("4", "GlidewireRespace", {"schedule": Wire("1", 1), "spacing": "3"}),
        NodeCall("5", "GlidewireNoiseStart", {"denoiser": Wire("3", 0), "width": 16, "height": 16}),
        NodeCall(
            "6",
            "GlidewireDdimSampler",
            {"denoiser": Wire("3", 0), "schedule": Wire("4", 0), "start": Wire("5", 0)},
            title="My sampler",
        ),
        NodeCall("7", "GlidewireSampleToImage", {"sample": Wire("6", 0)}),
        NodeCall("8", "GlidewirePreviewImage", {"image": Wire("7", 0)}),
    ]
    result = run(Graph(calls), REGISTRY, Cache(), folders=materials.context.folders, policy=Policy())
    assert not result.ok
    (failure,) = result.failures
    assert failure.title == "My sampler"
    assert failure.error.startswith("Sampling step 0 of 3 (timestep 999): the state is not finite; expected numbers")
