"""Each guidance node in each space: a sample where it is defined, and a refusal in words where it is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from glidewire.diffusion.denoiser import Denoiser, Leaf
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.nodes import (
    guidance,
    guidance_attention,
    guidance_bounds,
    guidance_conditions,
    guidance_plot,
    other_priors,
    paella,
    samplers,
)
from torch import Tensor

QUIET = Context()
Guide = Callable[[Any, Denoiser, Denoiser, Denoiser], Denoiser]


@dataclass(frozen=True)
class Space:
    """Three conditions of one network, and how a guidance of them is sampled."""

    conditions: Sequence[Denoiser]
    sampled: Callable[[Denoiser], Tensor]


def pixels(m: Any) -> Space:
    def sampled(denoiser: Denoiser) -> Tensor:
        return samplers.ddim_sampler(denoiser, m.schedule, m.start(), context=QUIET).tensor

    return Space([m.denoiser(text) for text in ("a red cube", "", "a cone")], sampled)


def latents(m: Any) -> Space:
    def sampled(denoiser: Denoiser) -> Tensor:
        start = samplers.noise_start(denoiser, 8, 8)
        return samplers.ancestral_sampler(denoiser, m.schedule, start, clip=False, context=QUIET).tensor

    network = m.latent_model().network
    texts = [m.text_encoder.encode_prompt(text)[0] for text in ("a red cube", "", "a cone")]
    return Space([Leaf(network, text) for text in texts], sampled)


def tokens(m: Any) -> Space:
    def sampled(denoiser: Denoiser) -> Tensor:
        start = paella.token_noise_start(denoiser, 8, 8)
        return paella.paella_sampler(denoiser, start, steps=3, context=QUIET).tensor

    return Space([m.token_denoiser(seed) for seed in (5, 6, 7)], sampled)


def embeddings(m: Any) -> Space:
    def sampled(denoiser: Denoiser) -> Tensor:
        drawn = other_priors.laion_prior_sampler(m.laion_prior, denoiser, m.schedule, steps=3, context=QUIET)
        return drawn.tensor

    network = m.laion_prior.network
    return Space([Leaf(network, network.conditioning(m.embedding(1, seed).tensor)) for seed in (1, 2, 3)], sampled)


SPACES = {"pixels": pixels, "latents": latents, "tokens": tokens, "embeddings": embeddings}


def strong(c: Denoiser, u: Denoiser) -> Denoiser:
    return guidance.classifier_free_guidance(c, u, 7.0)


GUIDED: dict[str, Guide] = {
    "classifier-free": lambda m, c, u, n: strong(c, u),
    "interval": lambda m, c, u, n: guidance.classifier_free_guidance(c, u, 7.0, 0.3, 0.7),
    "schedule": lambda m, c, u, n: guidance.classifier_free_guidance(
        c, u, schedule=guidance_bounds.scale_schedule(9.0, 3.0, "cosine")
    ),
    "negative as unconditional": lambda m, c, u, n: strong(c, n),
    "negative": lambda m, c, u, n: guidance_conditions.negative_prompt_guidance(c, u, n),
    "and, not": lambda m, c, u, n: guidance_conditions.composable_guidance(u, c, n, second_weight=-2.0),
    "Perp-Neg": lambda m, c, u, n: guidance_conditions.perpendicular_negative_guidance(c, u, n),
    "two scales": lambda m, c, u, n: guidance_conditions.image_and_text_guidance(c, n, u),
    "rescale": lambda m, c, u, n: guidance_bounds.rescale_guidance(strong(c, u), c),
    "dynamic threshold": lambda m, c, u, n: guidance_bounds.dynamic_threshold(strong(c, u), 0.5),
    "static threshold": lambda m, c, u, n: guidance_bounds.static_threshold(strong(c, u), 0.2),
    "CFG++": lambda m, c, u, n: guidance.cfg_plus_plus_guidance(c, u),
    "APG": lambda m, c, u, n: guidance.adaptive_projected_guidance(c, u),
    "autoguidance": lambda m, c, u, n: guidance.autoguidance(c, n, 2.5),
    "CFG-Zero*": lambda m, c, u, n: guidance.zero_star_guidance(c, u),
    "TCFG": lambda m, c, u, n: guidance.tangential_guidance(c, u),
    "MAMBO-G": lambda m, c, u, n: guidance.magnitude_aware_guidance(c, u, damping=0.5),
    "FDG": lambda m, c, u, n: guidance.frequency_decoupled_guidance(c, u),
    "CADS": lambda m, c, u, n: strong(guidance_conditions.annealed_condition(c, noise_scale=2.0), u),
    "PAG": lambda m, c, u, n: guidance_attention.perturbed_attention_guidance(strong(c, u)),
    "SLG": lambda m, c, u, n: guidance_attention.skip_layer_guidance(strong(c, u)),
    "SEG": lambda m, c, u, n: guidance_attention.smoothed_energy_guidance(strong(c, u)),
    "SAG": lambda m, c, u, n: guidance_attention.self_attention_guidance(strong(c, u), m.schedule, threshold=0.5),
    "nested": lambda m, c, u, n: guidance_bounds.rescale_guidance(
        guidance.autoguidance(guidance_conditions.composable_guidance(u, c, n), strong(n, u), 1.5), c, schedule=(
            guidance_bounds.scale_schedule(1.0, 0.0)
        ),
    ),
}  # fmt: skip

A_CLEAN_SAMPLE = "scores of tokens imply neither a clean sample nor a noise"
A_U_NET = "attention cannot be (perturbed|looked at); expected a U-Net"
REFUSED = {
    **{("tokens", name): A_CLEAN_SAMPLE for name in ("dynamic threshold", "static threshold", "CFG++", "APG")},
    **{(space, name): A_U_NET for space in ("tokens", "embeddings") for name in ("PAG", "SLG", "SEG", "SAG")},
    ("embeddings", "FDG"): "the sample has no such pyramid",
}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", GUIDED)
def test_a_guidance_is_sampled_or_refused_in_words(materials: Any, space: str, name: str) -> None:
    there = SPACES[space](materials)
    if (space, name) in REFUSED:
        with pytest.raises(GlidewireError, match=REFUSED[space, name]) as refusal:
            there.sampled(GUIDED[name](materials, *there.conditions))
        assert refusal.value.expected and refusal.value.got
        return
    made = there.sampled(GUIDED[name](materials, *there.conditions))
    assert made.isfinite().all()
    # Not that it does nothing: what it makes is nobody's own.
    for condition in there.conditions:
        assert not torch.equal(made, there.sampled(condition))


@pytest.mark.parametrize("first", SPACES)
@pytest.mark.parametrize("second", SPACES)
def test_denoisers_of_two_spaces_are_not_sampled(materials: Any, first: str, second: str) -> None:
    one, other = SPACES[first](materials), SPACES[second](materials)
    mixed = guidance.classifier_free_guidance(one.conditions[0], other.conditions[1], 3.0)
    if first == second:
        assert one.sampled(mixed).isfinite().all()
        return
    with pytest.raises(
        GlidewireError, match=r"combines denoisers of different spaces; expected one space.* and .*Guide"
    ):
        one.sampled(mixed)
    with pytest.raises(GlidewireError, match="combines denoisers of different spaces"):
        guidance_plot.plot_guidance(mixed, materials.schedule, materials.start(), context=QUIET)
