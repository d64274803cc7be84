"""Starts and samplers as nodes: what they promise about seeds, spaces, progress, cancelling and segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from glidewire.diffusion.schedules import respace, squared_cosine
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import CancelledError, CancelToken, Context, Memo
from glidewire.nodes import glide, guidance, samplers
from glidewire.nodes.sockets import CLEAN, PIXELS, Sample, Start


class Remembering(Memo):
    def __init__(self) -> None:
        self.kept: dict[str, Mapping[str, torch.Tensor]] = {}
        self.found = 0

    def recall(self, key: str) -> Mapping[str, torch.Tensor] | None:
        self.found += key in self.kept
        return self.kept.get(key)

    def store(self, key: str, value: Mapping[str, torch.Tensor], seconds: float) -> None:
        self.kept[key] = value


def test_a_picture_of_a_batch_is_made_again_alone(materials: Any) -> None:
    denoiser, schedule = materials.denoiser(), materials.schedule
    batch = samplers.noise_start(denoiser, 16, 16, batch=3, seed=5)
    alone = samplers.noise_start(denoiser, 16, 16, batch=1, seed=5, first_item=2)
    assert torch.equal(batch.tensor[2:], alone.tensor)
    whole = samplers.ancestral_sampler(denoiser, schedule, batch)
    again = samplers.ancestral_sampler(denoiser, schedule, alone)
    # The noise is the same bit for bit; a batched matrix product rounds differently from a single one.
    assert torch.allclose(whole.tensor[2:], again.tensor, atol=1e-4)


def test_temperature_scales_the_noise(materials: Any) -> None:
    hot, cold = (samplers.noise_start(materials.denoiser(), 16, 16, seed=1, temperature=t) for t in (1.0, 0.5))
    assert torch.equal(hot.tensor * 0.5, cold.tensor)


def test_guidance_of_scale_one_is_the_conditional(materials: Any) -> None:
    conditional, unconditional = materials.denoiser(), materials.denoiser("")
    start, schedule = materials.start(), materials.schedule
    guided = guidance.classifier_free_guidance(conditional, unconditional, 1.0)
    plain = samplers.ddim_sampler(conditional, schedule, start)
    assert torch.equal(samplers.ddim_sampler(guided, schedule, start).tensor, plain.tensor)
    strong = guidance.classifier_free_guidance(conditional, unconditional, 4.0)
    assert not torch.equal(samplers.ddim_sampler(strong, schedule, start).tensor, plain.tensor)


def test_an_edit_starts_where_its_schedule_stands(materials: Any) -> None:
    sample, schedule = materials.sample(), respace(squared_cosine(), "10")
    noised = samplers.noised_start(sample, schedule, strength=0.5, seed=1)
    assert noised.timestep == schedule.timesteps[4]
    kept = samplers.noised_start(sample, schedule, strength=0.0)
    assert kept.timestep == CLEAN
    unchanged = samplers.ddim_sampler(materials.denoiser(), schedule, kept)
    assert torch.equal(unchanged.tensor, sample.tensor)


def test_another_schedule_than_the_starts_is_refused(materials: Any) -> None:
    schedule, other = (respace(squared_cosine(), spacing) for spacing in ("10", "ddim50"))
    noised = samplers.noised_start(materials.sample(), schedule, strength=0.5)
    with pytest.raises(GlidewireError) as caught:
        samplers.ddim_sampler(materials.denoiser(), other, noised)
    assert "the start lies at timestep 444, which the sampler's schedule does not visit" in str(caught.value)
    assert "the nearest being [420, 440, 460]" in str(caught.value)
    assert "Wire the same schedule into the start and the sampler" in str(caught.value)


def test_a_start_of_another_space_is_refused(materials: Any) -> None:
    elsewhere = Start(materials.pixels(), "kl-f8", (0,))
    with pytest.raises(GlidewireError, match="another space than the denoiser; expected pixels; got kl-f8"):
        samplers.ddim_sampler(materials.denoiser(), materials.schedule, elsewhere)
    with pytest.raises(GlidewireError, match="another space than the denoiser"):
        samplers.ddim_inversion(materials.denoiser(), materials.schedule, Sample(materials.pixels(), "kl-f8"))


def test_inversion_leads_back(materials: Any) -> None:
    denoiser, schedule = materials.denoiser(), respace(squared_cosine(), "100")
    # A sample that the network can make at all.
    start = samplers.noise_start(denoiser, 16, 16, seed=4)
    made = samplers.ddim_sampler(denoiser, schedule, start, clip=False)
    inverted = samplers.ddim_inversion(denoiser, schedule, made)
    back = samplers.ddim_sampler(denoiser, schedule, inverted, clip=False)
    error, size = (back.tensor - made.tensor).square().mean().sqrt(), made.tensor.square().mean().sqrt()
    assert error < 0.1 * size


def test_inversion_may_stop_on_the_way(materials: Any) -> None:
    denoiser, schedule = materials.denoiser(), respace(squared_cosine(), "100")
    given = Sample(materials.pixels(), PIXELS)
    inverted = samplers.ddim_inversion(denoiser, schedule, given, strength=0.6)
    assert inverted.timestep == schedule.timesteps[59]
    back = samplers.ddim_sampler(denoiser, schedule, inverted, clip=False)
    # Also of a picture that the network would never make, as its signal is still there.
    assert (back.tensor - given.tensor).square().mean().sqrt() < 0.1


def test_the_progress_of_an_inversion_counts_up(materials: Any) -> None:
    told: list[tuple[int, int, str]] = []
    context = Context(on_progress=lambda done, total, text, _: told.append((done, total, text)))
    sample = Sample(materials.pixels(), PIXELS)
    samplers.ddim_inversion(materials.denoiser(), respace(squared_cosine(), "8"), sample, strength=0.5, context=context)
    assert told == [(1, 3, ""), (2, 3, ""), (3, 3, "")]


def test_progress_counts_every_step_and_shows_the_predicted_picture(materials: Any) -> None:
    seen: list[tuple[int, int, Any]] = []
    context = Context(
        on_progress=lambda done, total, _, picture: seen.append((done, total, picture)), wants_previews=True
    )
    samplers.ddim_sampler(materials.denoiser(), materials.schedule, materials.start(), context=context)
    assert [(done, total) for done, total, _ in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(picture.size == (256, 256) for _, _, picture in seen)


def test_cancelling_stops_within_a_step(materials: Any) -> None:
    token, steps = CancelToken(), []

    def report(done: int, *_: Any) -> None:
        steps.append(done)
        token.cancel()

    context = Context(cancel=token, on_progress=report)
    with pytest.raises(CancelledError):
        samplers.ancestral_sampler(materials.denoiser(), materials.schedule, materials.start(), context=context)
    assert steps == [1]


def test_guidance_changed_late_resumes_from_the_stored_step(materials: Any) -> None:
    conditional, unconditional, start = materials.denoiser(), materials.denoiser(""), materials.start()
    memo, schedule = Remembering(), respace(squared_cosine(), "8")

    def late(scale: float, context: Context) -> tuple[torch.Tensor, list[tuple[int, str]]]:
        steps: list[tuple[int, str]] = []
        context = Context(memo=context.memo, on_progress=lambda done, _, text, __: steps.append((done, text)))
        guided = guidance.classifier_free_guidance(conditional, unconditional, scale, start=0.5)
        return samplers.ancestral_sampler(guided, schedule, start, context=context).tensor, steps

    _, first = late(2.0, Context(memo=memo))
    resumed, second = late(5.0, Context(memo=memo))
    fresh, _ = late(5.0, Context())
    assert first == [(done, "") for done in range(1, 9)]
    assert second == [(done, "resumed after step 4 of 8") for done in range(5, 9)]
    assert torch.equal(resumed, fresh)


def test_a_prompt_beyond_the_context_is_cut_with_a_warning(materials: Any) -> None:
    said: list[str] = []
    long = "a red cube left of a blue sphere and a small green cone"
    glide.glide_text_encoder(materials.glide, long, context=Context(on_warning=said.append))
    assert len(said) == 1 and said[0].startswith("the prompt is longer than 8 tokens; dropped: ")
    assert "green cone" in said[0]


def test_the_empty_prompt_is_the_unconditional_one(materials: Any) -> None:
    empty, blank = (glide.glide_text_encoder(materials.glide, text) for text in ("", " "))
    tokens = materials.glide.tokenizer.encode("", 8)
    assert not tokens.mask.any()
    assert not torch.equal(empty.tensors["text_states"], blank.tensors["text_states"]), "a space is a token"


def test_starts_are_interpolated_on_the_sphere(materials: Any) -> None:
    first, second = materials.start(2), Start(materials.pixels(2, seed=9), PIXELS, seeds=(4, 4))
    ends = [samplers.interpolate_starts(first, second, weight).tensor for weight in (0.0, 1.0)]
    torch.testing.assert_close(ends[0], first.tensor)
    torch.testing.assert_close(ends[1], second.tensor)
    middle = samplers.interpolate_starts(first, second, 0.5)
    assert middle.tensor.square().mean().item() == pytest.approx(1, abs=0.1), "as long as noise is"
    assert middle.seeds == first.seeds
    with pytest.raises(GlidewireError, match="the starts do not fit together; expected one space, size and timestep"):
        samplers.interpolate_starts(first, replace(second, timestep=3))
