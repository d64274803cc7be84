"""What the guidance nodes decide by themselves: schedules for scales, 0 for no limit, inputs that are not wired."""

from __future__ import annotations

import math

import pytest
from glidewire.diffusion import schedules
from glidewire.diffusion.denoiser import Denoiser, signature
from glidewire.diffusion.guidance import ScaleSchedule
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.nodes import (
    clip_guiding,
    guidance,
    guidance_attention,
    guidance_bounds,
    guidance_conditions,
    latent_guiding,
    noised_clip,
)


def text(denoiser: Denoiser) -> str:
    return signature(denoiser, 1, 4)


@pytest.fixture
def pair(materials) -> tuple[Denoiser, Denoiser]:
    return materials.denoiser(), materials.denoiser("")


@pytest.mark.parametrize(
    "node",
    [
        guidance.classifier_free_guidance,
        guidance.cfg_plus_plus_guidance,
        guidance.autoguidance,
        guidance.adaptive_projected_guidance,
        guidance.zero_star_guidance,
        guidance.tangential_guidance,
        guidance.magnitude_aware_guidance,
    ],
)
def test_a_wired_schedule_takes_the_place_of_the_scale(node, pair) -> None:
    ramp = guidance_bounds.scale_schedule(7.0, 2.0, "cosine")
    assert text(node(*pair, 3.0, schedule=ramp)) == text(node(*pair, 5.0, schedule=ramp))
    assert text(node(*pair, 3.0)) != text(node(*pair, 3.0, schedule=ramp))
    assert text(node(*pair, 3.0)) != text(node(*pair, 5.0))


def test_nothing_to_limit_by(pair) -> None:
    free = guidance.adaptive_projected_guidance(*pair, norm_threshold=0.0)
    assert free.parameters["threshold"] == math.inf
    assert guidance_bounds.dynamic_threshold(pair[0]).parameters["maximum"] == math.inf
    assert guidance_bounds.dynamic_threshold(pair[0], maximum=1.5).parameters["maximum"] == 1.5
    with pytest.raises(GlidewireError, match=r"dynamic_threshold: impossible maximum; expected 1 or more; got 0\.5"):
        guidance_bounds.dynamic_threshold(pair[0], maximum=0.5)


def test_weights_stay_with_their_conditions(materials, pair) -> None:
    c, u = pair
    other = materials.denoiser("a cone")
    gap = guidance_conditions.composable_guidance(u, c, fourth=other, first_weight=2.0, fourth_weight=-1.0)
    beside = guidance_conditions.composable_guidance(u, c, other, first_weight=2.0, second_weight=-1.0)
    assert text(gap) == text(beside)
    alone = guidance_conditions.perpendicular_negative_guidance(c, u, other, negative_weight=0.5)
    assert [name for name in alone.inputs if name.startswith("negative")] == ["negative_1"]
    assert alone.parameters["negative_1"] == 0.5


def test_noise_levels_become_parts_of_the_run() -> None:
    interval = guidance_bounds.noise_level_interval(schedules.squared_cosine(100))
    assert 0 < interval.start < interval.end < 1


def test_guidance_is_annealed_before_not_after(pair) -> None:
    with pytest.raises(GlidewireError, match="Anneal the conditional denoiser first, and guide the result"):
        guidance_conditions.annealed_condition(guidance.classifier_free_guidance(*pair))


def test_every_scale_can_change_over_the_run(materials, pair) -> None:
    c, u = pair
    other, falling = materials.denoiser("a cone"), ScaleSchedule(5.0, 1.0)
    noised_text = noised_clip.noised_clip_text_encoder(materials.noised_clip, "a cube", context=Context())
    for node, branches, scale, schedule in (
        (guidance.frequency_decoupled_guidance, (c, u), "high_scale", "high_schedule"),
        (guidance.frequency_decoupled_guidance, (c, u), "low_scale", "low_schedule"),
        (guidance_conditions.image_and_text_guidance, (c, other, u), "image_scale", "image_schedule"),
        (guidance_conditions.image_and_text_guidance, (c, other, u), "text_scale", "text_schedule"),
        (guidance_conditions.composable_guidance, (u, c, other), "second_weight", "second_schedule"),
        (guidance_conditions.negative_prompt_guidance, (c, u, other), "negative_scale", "negative_schedule"),
        (guidance_conditions.perpendicular_negative_guidance, (c, u, other), "negative_weight", "negative_schedule"),
        (
            guidance_conditions.perpendicular_negative_guidance,
            (c, u, other, u),
            "second_weight",
            "second_schedule",
        ),
        (guidance_bounds.static_threshold, (c,), "bound", "schedule"),
        (noised_clip.noised_clip_guidance, (c, materials.noised_clip, noised_text), "scale", "schedule"),
        (clip_guiding.clip_guidance, (c, materials.clip, materials.embedding(1, 6)), "scale", "schedule"),
        (clip_guiding.classifier_guidance, (c, materials.noised_clip, "a cube\na cone"), "scale", "schedule"),
        (
            latent_guiding.latent_clip_guidance,
            (materials.latent_denoiser(), materials.autoencoder, materials.clip, materials.embedding(1, 6)),
            "scale",
            "schedule",
        ),
        (
            latent_guiding.latent_noised_clip_guidance,
            (materials.latent_denoiser(), materials.autoencoder, materials.noised_clip, noised_text),
            "scale",
            "schedule",
        ),
        (guidance_attention.perturbed_attention_guidance, (c,), "scale", "schedule"),
        (guidance_attention.self_attention_guidance, (c, materials.schedule), "scale", "scale_schedule"),
    ):
        changing = node(*branches, **{schedule: falling})
        assert signature(changing, 0, 4) != signature(changing, 3, 4)
        assert text(changing) != text(node(*branches, **{scale: 5.0}))


def test_fractions_can_change_over_the_run_too(pair) -> None:
    c, u = pair
    rising = ScaleSchedule(0.5, 1.0)
    for changing in (
        guidance_bounds.rescale_guidance(c, u, schedule=rising),
        guidance_bounds.dynamic_threshold(c, schedule=rising),
    ):
        assert signature(changing, 0, 4) != signature(changing, 3, 4)
    with pytest.raises(GlidewireError, match="rescale: impossible fraction; expected 0 to 1; got 7"):
        guidance_bounds.rescale_guidance(c, u, schedule=ScaleSchedule(7.0, 1.0))
    with pytest.raises(
        GlidewireError, match=r"static_threshold: impossible bound; expected a number above 0; got 0\.0"
    ):
        guidance_bounds.static_threshold(c, schedule=ScaleSchedule(1.0, 0.0))
