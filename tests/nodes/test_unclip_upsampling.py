"""unCLIP's upsamplers as nodes: the last step's own network, degraded pictures, pixels only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.diffusion.denoiser import active
from glidewire.diffusion.noise import FixedNoise
from glidewire.diffusion.samplers import sample as walk
from glidewire.diffusion.schedules import respace
from glidewire.diffusion.solvers import ancestral
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.models.checkpoint import load
from glidewire.models.unclip.upsampling import UpsamplerModel, load_upsampler
from glidewire.nodes import samplers, schedules, unclip_upsampling
from glidewire.nodes.sockets import Sample
from safetensors.torch import load_file, save_file

QUIET = Context()


def test_a_small_picture_is_enlarged_in_as_many_steps_as_are_told(materials: Any) -> None:
    small = Sample(materials.pixels(2, 8).clamp(-1, 1))
    denoiser = unclip_upsampling.unclip_upsampler_denoiser(materials.unclip_upsampler, small, 3)
    schedule = schedules.respace(schedules.noise_schedule(), "3")
    start = samplers.noise_start(denoiser, 32, 16, 2)
    made = samplers.ancestral_sampler(denoiser, schedule, start, context=QUIET)
    assert made.tensor.shape == (2, 3, 16, 32)
    last = active(denoiser, 2, 3)
    assert last.network is materials.unclip_upsampler.last_step
    alone = replace(materials.unclip_upsampler, last_step=None)
    leaf = unclip_upsampling.unclip_upsampler_denoiser(alone, small, 3)
    assert leaf.network is alone.network


@pytest.mark.parametrize("steps", [1, 2, 7, 27, 100])
def test_the_last_step_alone_has_a_network_of_its_own(materials: Any, steps: int) -> None:
    model = materials.unclip_upsampler
    denoiser = unclip_upsampling.unclip_upsampler_denoiser(model, Sample(materials.pixels(1, 8)), steps)
    networks = [active(denoiser, index, steps) for index in range(steps)]
    assert networks[-1].network is model.last_step
    assert all(one is not networks[-1] for one in networks[:-1])


@torch.no_grad()
def test_the_published_run_is_one_walk_under_the_nodes_denoiser(parity: Any, tmp_path: Path) -> None:
    case = parity("karlo_sr")
    torch.save({"state_dict": case.weights}, tmp_path / "sr.ckpt")
    first, last = (
        load(tmp_path / "sr.ckpt", component=component, stated=case.config["model"])
        for component in ("upsampler", "upsampler_last_step")
    )
    schedule = respace(first.spec.noise_schedule, case.config["respacing"])
    small = Sample(case.inputs.get("low_res_small", case.inputs.get("low_res")))
    denoiser = unclip_upsampling.unclip_upsampler_denoiser(UpsamplerModel(first, last), small, len(schedule))
    noise = FixedNoise(list(case.inputs["sample/noise"]))
    made = walk(denoiser, schedule, case.inputs["sample/x_T"], ancestral(first.spec.x_0_bound), noise)
    case.assert_close("sample/result", made)


def test_denoisers_take_turns(materials: Any) -> None:
    first, second = materials.denoiser(), materials.denoiser("")
    both = unclip_upsampling.denoise_in_turn(first, second, 0.5)
    assert [active(both, index, 4) is second for index in range(4)] == [False, False, True, True]
    assert unclip_upsampling.denoise_in_turn(first, second, 1.0) is first
    assert all(active(unclip_upsampling.denoise_in_turn(first, second, 0.0), index, 3) is second for index in range(3))


def test_a_file_with_both_networks_gives_both(materials: Any) -> None:
    names = [materials.unclip_file(network, "published") for network in (materials.unclip_upsampler.network,)]
    one = load_file(materials.folder / names[0])
    both = {f"{part}.{key}": value + shift for part, shift in _PARTS.items() for key, value in one.items()}
    save_file(both, materials.folder / "both.safetensors")
    model = load_upsampler(materials.folder / "both.safetensors")
    assert model.last_step is not None
    assert model.digest() != replace(model, last_step=None).digest()
    assert model.nbytes() == 2 * replace(model, last_step=None).nbytes()
    loaded = unclip_upsampling.load_unclip_upsampler("both.safetensors", context=materials.context)
    assert loaded.model.digest() == model.digest() and len(loaded.schedule) == 1000


_PARTS = {"model_first_steps": 0.0, "model_last_step": 0.1}


def test_what_is_no_upsampler_or_no_picture_is_refused(materials: Any) -> None:
    prior = materials.unclip_file(materials.unclip_prior.network)
    with pytest.raises(GlidewireError, match=r"is no unCLIP upsampler; expected a U-Net without attention.*got prior"):
        unclip_upsampling.load_unclip_upsampler(prior, context=materials.context)
    assert load(materials.folder / prior, component="prior")
    for call in (unclip_upsampling.degrade_sample, lambda sample: denoiser_of(materials, sample)):
        with pytest.raises(GlidewireError, match="the sample is no picture yet; expected pixels; got tiny latents"):
            call(materials.latents())


def denoiser_of(materials: Any, sample: Sample) -> Any:
    return unclip_upsampling.unclip_upsampler_denoiser(materials.unclip_upsampler, sample)


def test_degraded_pictures_stay_pictures(materials: Any) -> None:
    sample = materials.sample(2)
    degraded = unclip_upsampling.degrade_sample(sample, 1.0, seed=2)
    assert degraded.space == "pixels" and degraded.tensor.abs().max() <= 1
    again = unclip_upsampling.degrade_sample(Sample(sample.tensor[1:]), 1.0, seed=2, first_item=1)
    assert torch.equal(again.tensor, degraded.tensor[1:])
    assert unclip_upsampling.blur_sample(sample, 0.0).tensor.equal(sample.tensor)
