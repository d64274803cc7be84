"""Guidance of latents by an ordinary CLIP and by noised CLIP, through an autoencoder's decoder."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from glidewire.diffusion.denoiser import Combination, Denoiser
from glidewire.diffusion.evaluator import evaluate
from glidewire.diffusion.noise import SeededNoise
from glidewire.diffusion.prediction import Prediction, Step
from glidewire.diffusion.schedules import squared_cosine
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.models.noised_clip.renoised import RenoisedCritic
from glidewire.nodes import clip, latent_guiding, samplers
from glidewire.nodes.sockets import Condition, Image
from glidewire.nodes.token_sockets import Embedding

QUIET = Context()


def wanted(seed: int = 3) -> Condition:
    return Condition({"noised_clip_text": torch.randn(1, 6, generator=torch.Generator().manual_seed(seed))})


def guided(materials: Any, kind: str, *, through: bool, scale: float = 1.0) -> Denoiser:
    leaf, autoencoder = materials.latent_denoiser(), materials.autoencoder
    if kind == "noised":
        return latent_guiding.latent_noised_clip_guidance(
            leaf, autoencoder, materials.noised_clip, wanted(), scale, through
        )
    text = clip.clip_text_embedding(materials.clip, "a red cube", context=QUIET).embedding
    return latent_guiding.latent_clip_guidance(leaf, autoencoder, materials.clip, text, scale, 4, 1.0, through)


def told(denoiser: Denoiser, x_t: torch.Tensor, step: Step) -> float:
    """The score that a step is said to have."""
    assert isinstance(denoiser, Combination) and denoiser.measure is not None
    with torch.no_grad():
        return denoiser.measure(evaluate(denoiser, x_t, step), x_t, step)["CLIP score"].mean().item()


@pytest.mark.parametrize("kind", ["ordinary", "noised"])
@pytest.mark.parametrize("through", [True, False])
def test_a_small_step_along_the_gradient_fits_the_text_better(materials: Any, kind: str, through: bool) -> None:
    step = Step.of(materials.schedule, len(materials.schedule) - 1)
    x_t = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    denoiser = guided(materials, kind, through=through)
    shift = evaluate(denoiser, x_t, step).mean_shift
    assert shift is not None and shift.isfinite().all() and shift.abs().max() > 0
    nearer, farther = (x_t + sign * 0.05 * shift / shift.square().mean().sqrt() for sign in (1, -1))
    assert told(denoiser, nearer, step) > told(denoiser, farther, step)


@pytest.mark.parametrize("kind", ["ordinary", "noised"])
def test_samplers_walk_under_it_where_a_host_runs_in_inference_mode_and_scale_0_is_nothing(
    materials: Any, kind: str
) -> None:
    plain = materials.latent_denoiser()
    start = samplers.noise_start(plain, 8, 8, batch=2, seed=1)

    def walked(denoiser: Denoiser) -> torch.Tensor:
        return samplers.ddim_sampler(denoiser, materials.schedule, start, clip=False, context=QUIET).tensor

    first = walked(guided(materials, kind, through=True, scale=40.0))
    with torch.inference_mode():
        second = walked(guided(materials, kind, through=True, scale=40.0))
    assert torch.equal(first, second) and first.isfinite().all()
    nothing = walked(guided(materials, kind, through=True, scale=0.0))
    assert torch.equal(nothing, walked(plain)) and not torch.equal(first, nothing)


def test_a_picture_is_noised_to_the_steps_level_before_noised_clip_reads_it(materials: Any) -> None:
    tower, text = materials.noised_clip.image, wanted().tensors["noised_clip_text"]
    trained_on = squared_cosine(tower.spec.timesteps)
    timestep = tower.spec.timesteps // 2
    signal = trained_on.alpha_bar[timestep].item()
    step = replace(Step.of(materials.schedule, 1), alpha_bar=signal, timestep=7)  # another system's number
    picture = materials.pixels(2).clamp(-1, 1)
    noise = SeededNoise((5, 5))(step.index, picture, "renoise")
    x_u = math.sqrt(signal) * picture + math.sqrt(1 - signal) * noise
    expected = F.cosine_similarity(tower(x_u, torch.full((2,), timestep)), text, dim=-1)
    critic = RenoisedCritic(tower, text, seed=5)
    torch.testing.assert_close(critic(picture, step), 100 * expected)
    measured = critic.measure(Prediction(picture, "x_0"), picture, step)
    torch.testing.assert_close(measured["CLIP score"], expected)
    assert critic.digest() != RenoisedCritic(tower, text, seed=6).digest()


def test_a_picture_of_another_size_is_fitted_to_the_tower(materials: Any) -> None:
    tower, text = materials.noised_clip.image, wanted().tensors["noised_clip_text"]
    side = tower.spec.image_size
    large = F.interpolate(materials.pixels(1).clamp(-1, 1), (2 * side, 2 * side))
    score = RenoisedCritic(tower, text, seed=0)(large, Step.of(materials.schedule, 1))
    assert score.shape == (1,) and score.isfinite().all()


def test_bad_input_is_refused(materials: Any) -> None:
    text = materials.embedding()
    pixels = materials.denoiser("")
    with pytest.raises(GlidewireError, match="the sample lives in another space than the denoiser"):
        latent_guiding.latent_clip_guidance(pixels, materials.autoencoder, materials.clip, text)
    with pytest.raises(GlidewireError, match="the sample lives in another space than the denoiser"):
        latent_guiding.latent_noised_clip_guidance(pixels, materials.autoencoder, materials.noised_clip, wanted())
    leaf = materials.latent_denoiser()
    with pytest.raises(GlidewireError, match=r"the embedding is another CLIP's.*got another"):
        latent_guiding.latent_clip_guidance(
            leaf, materials.autoencoder, materials.clip, Embedding(text.tensor, "another")
        )
    with pytest.raises(GlidewireError, match="the text is no embedding of noised CLIP"):
        latent_guiding.latent_noised_clip_guidance(
            leaf, materials.autoencoder, materials.noised_clip, Condition({"context": torch.zeros(1, 6)})
        )


def test_vector_quantised_latents_are_decoded_smoothly() -> None:
    from glidewire.models.first_stage.model import Autoencoder
    from glidewire.models.first_stage.network import FirstStage
    from glidewire.models.first_stage.spec import FirstStageSpec

    spec = FirstStageSpec(
        kind="vq", channels=32, channel_mult=(1, 1), num_res_blocks=1, latent_scale=1.0, code_channels=3, codes=8
    )
    torch.manual_seed(0)
    autoencoder = Autoencoder(FirstStage(spec).eval().requires_grad_(False), "tiny")
    latents = torch.randn(1, 3, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(autoencoder.decode_smoothly(latents).sum(), latents)
    assert gradient.abs().max() > 0 and not Image(gradient).isnan().any()
