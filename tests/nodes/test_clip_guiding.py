"""CLIP guidance on the predicted x_0, and classifier guidance, as nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from glidewire.diffusion.denoiser import Combination
from glidewire.diffusion.evaluator import evaluate
from glidewire.diffusion.prediction import Step
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.nodes import clip, clip_guiding, samplers
from glidewire.nodes.sockets import Image
from glidewire.nodes.token_sockets import Embedding

QUIET = Context()


def similarity(materials: Any, x: torch.Tensor, text: Embedding) -> float:
    pictures = Image(x.clamp(-1, 1).add(1).div(2).movedim(1, -1))
    found = clip.clip_image_embedding(materials.clip, pictures)
    return torch.cosine_similarity(found.tensor, text.tensor).mean().item()


@pytest.mark.parametrize("through", [True, False])
def test_a_small_step_along_the_gradient_fits_the_text_better(materials: Any, through: bool) -> None:
    text = clip.clip_text_embedding(materials.clip, "a red cube", context=QUIET).embedding
    guided = clip_guiding.clip_guidance(
        materials.denoiser(""), materials.clip, text, 1.0, cutouts=4, through_network=through
    )
    step = Step.of(materials.schedule, len(materials.schedule) - 1)
    x_t = materials.pixels(1) * 0.3
    shift = evaluate(guided, x_t, step).mean_shift
    assert shift is not None and shift.isfinite().all() and shift.abs().max() > 0
    leaf = materials.denoiser("")

    def fit(x: torch.Tensor) -> float:
        with torch.no_grad():
            return similarity(materials, evaluate(leaf, x, step).x_0(x, step), text)

    moved = x_t + 0.3 * shift / shift.square().mean().sqrt()
    assert fit(moved) > fit(x_t)


def test_samplers_walk_under_it_and_scale_0_is_nothing(materials: Any) -> None:
    denoiser, text = materials.denoiser(""), materials.embedding(1, 6)
    made = [
        samplers.ancestral_sampler(
            clip_guiding.clip_guidance(denoiser, materials.clip, text, scale, cutouts=2),
            materials.schedule,
            materials.start(),
            context=QUIET,
        ).tensor
        for scale in (0.0, 500.0, 500.0)
    ]
    assert torch.equal(made[1], made[2])
    assert not torch.equal(made[0], made[1])
    plain = samplers.ancestral_sampler(denoiser, materials.schedule, materials.start(), context=QUIET).tensor
    assert torch.equal(made[0], plain)


def test_a_classifier_leads_towards_its_class_and_away_below_0(materials: Any) -> None:
    denoiser, classes = materials.denoiser(""), "a cube\n\na sphere\na cone"
    step = Step.of(materials.schedule, 2)
    first, second, away = (
        evaluate(
            clip_guiding.classifier_guidance(denoiser, materials.noised_clip, classes, label, scale, context=QUIET),
            materials.pixels(2),
            step,
        ).mean_shift
        for label, scale in ((0, 1.0), (1, 1.0), (0, -1.0))
    )
    torch.testing.assert_close(away, -first)
    assert not torch.allclose(first, second)


def test_bad_input_is_refused(materials: Any) -> None:
    denoiser, text = materials.denoiser(""), materials.embedding()
    with pytest.raises(GlidewireError, match=r"the embedding is another CLIP's.*got another"):
        clip_guiding.clip_guidance(denoiser, materials.clip, Embedding(text.tensor, "another"))
    with pytest.raises(GlidewireError, match="the sample lives in another space than the denoiser"):
        clip_guiding.clip_guidance(materials.latent_denoiser(), materials.clip, text)
    with pytest.raises(GlidewireError, match=r"impossible class; expected two classes or more, .*got 1 classes"):
        clip_guiding.classifier_guidance(denoiser, materials.noised_clip, "a cube\n", context=QUIET)
    with pytest.raises(GlidewireError, match=r"impossible class; .*got 2 classes, class 2"):
        clip_guiding.classifier_guidance(denoiser, materials.noised_clip, "a\nb", 2, context=QUIET)


def test_the_score_of_every_step_is_told_to_the_inspector_and_nothing_else_changes(materials: Any) -> None:
    text = materials.embedding(1, 6)
    plain = materials.denoiser("")
    watched = clip_guiding.watch_clip_score(plain, materials.clip, text)
    guided = clip_guiding.clip_guidance(plain, materials.clip, text, 1.0, cutouts=2)
    made = [
        samplers.ancestral_sampler(one, materials.schedule, materials.start(), context=QUIET).tensor
        for one in (plain, watched)
    ]
    assert torch.equal(made[0], made[1])
    x_t, step = materials.pixels(2), Step.of(materials.schedule, 1)
    for denoiser in (watched, guided):
        assert isinstance(denoiser, Combination) and denoiser.measure is not None
        prediction = evaluate(denoiser, x_t, step)
        told = denoiser.measure(prediction, x_t, step)["CLIP score"]
        assert told.shape == (2,)
        expected = similarity(materials, prediction.x_0(x_t, step), text)
        assert told.mean().item() == pytest.approx(expected, abs=1e-5)


def test_the_score_wants_pictures_and_an_embedding_of_the_same_clip(materials: Any) -> None:
    with pytest.raises(GlidewireError, match="the embedding"):
        clip_guiding.watch_clip_score(
            materials.denoiser(""), materials.clip, replace(materials.embedding(1, 6), clip="another")
        )
