"""The bridges' arithmetic without a host: noise levels, identities, steps between levels, latents' scales."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.diffusion import schedules, solvers
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.prediction import Prediction, Step
from glidewire.errors import GlidewireError
from glidewire.interfaces.comfyui import host, memory
from glidewire.interfaces.comfyui.bridges import from_host, identity, noise_levels, samplers, to_host
from glidewire.interfaces.comfyui.bridges.autoencoders import TextEncoderClip
from glidewire.interfaces.comfyui.bridges.expression_model import denoised, latent_scale, step_at
from glidewire.interfaces.comfyui.bridges.network import _runs, space_of
from glidewire.nodes.sockets import Condition, Sample
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn


class Exploding:
    """Variance exploding states, x_0 + sigma eps, over Stable Diffusion's levels."""

    sigmas = (1 / schedules.scaled_linear().alpha_bar - 1).sqrt().float()

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent_image: Tensor) -> Tensor:
        return latent_image + sigma * noise


class Flow:
    """Rectified flow: (1 - sigma) x_0 + sigma eps."""

    sigmas = torch.arange(1, 1001) / 1000

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent_image: Tensor) -> Tensor:
        return (1 - sigma) * latent_image + sigma * noise


MODELS = pytest.mark.parametrize("sampling", [Exploding(), Flow()], ids=["exploding", "flow"])


@MODELS
def test_a_state_of_the_hosts_is_x_t_times_the_scale(sampling):
    sigma = sampling.sigmas[[3, 500, 998]]
    x_0, eps = torch.randn(3, 1).double(), torch.randn(3, 1).double()
    alpha_bar = noise_levels.alpha_bars(sampling, sigma)[:, None]
    x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps
    state = sampling.noise_scaling(sigma.double()[:, None], eps, x_0)
    torch.testing.assert_close(x_t * noise_levels.scale(sampling, sigma)[:, None], state)


def test_stable_diffusions_levels_are_its_schedule():
    schedule = noise_levels.trained_schedule(Exploding())
    assert schedule.timesteps == tuple(range(1000))
    torch.testing.assert_close(schedule.alpha_bar, schedules.scaled_linear().alpha_bar, rtol=1e-5, atol=0)
    assert noise_levels.trained_schedule(Flow()).alpha_bar[-1] == 0


@MODELS
def test_sigmas_become_a_schedule_whose_timesteps_are_the_levels(sampling):
    sigmas = torch.cat([sampling.sigmas[[900, 400, 100]], torch.zeros(1)])
    schedule = noise_levels.schedule_of(sampling, sigmas)
    assert schedule.timesteps == tuple(float(sigma) for sigma in sampling.sigmas[[100, 400, 900]])
    assert schedule.clean_alpha_bar == 1
    partial = noise_levels.schedule_of(sampling, sigmas[:-1])
    assert partial.clean_alpha_bar == pytest.approx(schedule.alpha_bar[0].item())


@pytest.mark.parametrize("sigmas", [[1.0], [0.5, 1.0, 0.0], [1.0, 1.0, 0.0], []])
def test_what_does_not_fall_is_no_schedule(sigmas):
    with pytest.raises(GlidewireError, match="no schedule; expected two or more noise levels that fall"):
        noise_levels.schedule_of(Exploding(), torch.tensor(sigmas))


@given(st.integers(1, 60))
def test_a_schedule_and_its_sigmas_say_the_same(steps):
    schedule = schedules.respace(schedules.squared_cosine(), str(steps))
    again = noise_levels.schedule_of(Exploding(), noise_levels.sigmas_of(schedule))
    torch.testing.assert_close(again.alpha_bar, schedule.alpha_bar, rtol=1e-5, atol=0)


def test_a_level_without_signal_has_the_hosts_stand_in():
    schedule = schedules.NoiseSchedule((0, 1), torch.tensor([0.5, 0.0]))
    assert noise_levels.sigmas_of(schedule).tolist() == pytest.approx([4518.746, 1.0, 0.0], rel=1e-3)


@given(st.integers(0, 999))
def test_the_nearest_level_of_a_level_is_itself(entry):
    schedule = schedules.linear()
    assert noise_levels.nearest(schedule, noise_levels.levels_of(schedule)[entry].item()) == entry


def test_a_step_of_the_hosts_is_the_step_of_the_schedule_it_walks():
    trained = schedules.linear()
    walked = schedules.respace(trained, "10")
    sigmas = noise_levels.sigmas_of(walked)
    for index in range(10):
        step, expected = step_at(trained, sigmas[index].item(), sigmas), Step.of(walked, index)
        assert (step.index, step.total, step.timestep) == (index, 10, expected.timestep)
        for name in ("alpha_bar", "alpha_bar_previous", "alpha_bar_next", "beta", "posterior_mean_x_0"):
            assert getattr(step, name) == pytest.approx(getattr(expected, name), rel=1e-4, abs=1e-9), name
    between = step_at(trained, (sigmas[3] * 0.6 + sigmas[4] * 0.4).item(), sigmas)
    assert between.index == 4 and between.alpha_bar_previous == pytest.approx(1 / (1 + sigmas[4].item() ** 2))
    assert step_at(trained, 1.0, None).total == 1


def test_a_shift_of_the_mean_moves_the_clean_sample():
    step = Step.of(schedules.linear(), 500)
    x_t, eps, shift = torch.randn(3, 1, 2, 2, 2)
    moved = denoised(Prediction(eps, "eps", mean_shift=shift), x_t, step)
    expected = Prediction(eps - math.sqrt(1 - step.alpha_bar) * shift, "eps").x_0(x_t, step)
    torch.testing.assert_close(moved, expected)
    with pytest.raises(GlidewireError, match=r"which ComfyUI's samplers cannot do; .* one of the pack's own samplers"):
        denoised(Prediction(eps, "eps", renoise_eps=eps), x_t, step)


def test_the_scale_of_latents_is_in_the_name_of_their_space():
    assert latent_scale("pixels") == 1 and latent_scale("kl-f8") == 0.18215
    assert latent_scale("kl-f8 x 0.13025") == 0.13025 and latent_scale("anything", 0.5) == 0.5
    with pytest.raises(GlidewireError, match="nothing tells how latents of the space mine are scaled"):
        latent_scale("mine")


def test_latent_formats_have_the_names_of_our_spaces():
    class Format:
        latent_channels, scale_factor = 4, 0.18215

    class Other:
        latent_channels, scale_factor = 16, 0.3611
        shift_factor = 0.1159

    assert space_of(Format()) == "kl-f8" and space_of(Other()) == "ComfyUI Other"


def test_a_conditioning_is_known_by_its_content_and_a_model_by_itself():
    def conditioning(**options: Any) -> list[Any]:
        return [[torch.ones(1, 2, 3), options]]

    digest = identity.conditioning_digest
    assert digest(conditioning(area=(1, 2))) == digest(conditioning(area=(1, 2)))
    texts = [digest(conditioning(**each)) for each in ({}, {"area": (1, 2)}, {"strength": 1.0}, {"strength": 1})]
    assert len(set(texts)) == 4
    control, other = nn.Identity(), nn.Identity()
    assert digest(conditioning(control=control)) == digest(conditioning(control=control))
    assert digest(conditioning(control=control)) != digest(conditioning(control=other))
    assert identity.model_token(control) == identity.model_token(control) != identity.model_token(other)


def test_rows_are_grouped_by_the_condition_they_name():
    a, b = [1] * 32, [2] * 32
    assert _runs(torch.tensor([a, a, b])) == ([bytes(a).hex(), bytes(b).hex()], [2, 1])


def test_noise_is_that_of_our_samplers_in_the_order_of_the_hosts_batch():
    noise, latent = samplers.HostNoise(5), {"samples": torch.zeros(3, 4, 2, 2)}
    drawn = noise.generate_noise(latent)
    assert drawn.shape == (3, 4, 2, 2) and noise.seed == 5
    third = noise.generate_noise({"samples": torch.zeros(1, 4, 2, 2), "batch_index": [2]})
    assert torch.equal(third, drawn[2:]) and torch.equal(samplers.HostNoise(5, 2).generate_noise(latent)[:1], third)


def test_a_solver_walks_a_model_of_the_hosts(monkeypatch):
    class Sampler:
        def __init__(self, function: Any) -> None:
            self.function = function

    class Samplers:
        KSAMPLER = Sampler

    monkeypatch.setattr(samplers.host, "require", lambda name: Samplers)

    class Model:
        """Answers with the same clean sample whatever the state: any exact sampler ends there."""

        def __init__(self) -> None:
            self.inner_model = self
            self.model_sampling = Flow()

        def __call__(self, x: Tensor, sigma: Tensor, **options: Any) -> Tensor:
            assert options == {"seed": 3} and sigma.shape == (2,)
            return torch.full_like(x, 0.25)

    told: list[Any] = []
    for solver in (solvers.ddim(0.0, clip=False), solvers.ancestral(clip=False)):
        walk = samplers.as_sampler(solver).function
        start, sigmas = torch.randn(2, 4, 3, 3), torch.tensor([1.0, 0.6, 0.2, 0.0])
        kept = start.clone()
        end = walk(Model(), start, sigmas, extra_args={"seed": 3}, callback=told.append)
        torch.testing.assert_close(end, torch.full_like(end, 0.25))
        assert torch.equal(start, kept)
    assert [each["i"] for each in told] == [0, 1, 2] * 2


def test_conditions_that_do_not_fit_are_refused_in_words():
    with pytest.raises(GlidewireError, match="more than one encoded text; expected one entry; got 2 entries"):
        from_host.host_condition([[torch.ones(1, 2, 3), {}]] * 2)
    with pytest.raises(GlidewireError, match="no encoded text; expected context; got labels"):
        to_host.conditioning_for_host(Condition({"labels": torch.ones(1)}))
    with pytest.raises(GlidewireError, match="no model that ComfyUI samples; expected a MODEL; got str"):
        from_host.host_denoiser("model", [])
    with pytest.raises(GlidewireError, match="these are no sigmas"):
        from_host.host_schedule("model", [1.0])


def test_conditions_and_latents_cross_unchanged():
    states = torch.randn(1, 3, 8)
    there = to_host.conditioning_for_host(Condition({"context": states}))
    assert torch.equal(from_host.host_condition(there).tensors["context"], states)
    latent = to_host.latent_for_host(Sample(torch.ones(1, 4, 2, 2), "kl-f8"))
    torch.testing.assert_close(latent["samples"], torch.full((1, 4, 2, 2), 1 / 0.18215))


def test_our_text_encoder_refuses_what_would_change_it():
    clip = TextEncoderClip(encoder=None)  # type: ignore[arg-type]
    assert clip.clone() is clip and clip.tokenize("a text") == {"glidewire": "a text"}
    with pytest.raises(GlidewireError, match="its layers cannot be chosen"):
        clip.clip_layer(-2)
    with pytest.raises(GlidewireError, match="it takes no patches"):
        clip.add_patches({})


def test_outside_of_a_host_the_bridges_say_so():
    with pytest.raises(GlidewireError, match="works inside of ComfyUI only"):
        to_host.solver_for_host()
    assert host.running() is None and host.server() is None


def test_networks_are_found_in_whatever_holds_them():
    class Network(nn.Linear):
        prediction, learned_variance = "eps", False

    first, second = Network(1, 1), nn.Linear(1, 1)
    held = {"a": [Leaf(first, {"x": torch.ones(1)}), "text", 3], "b": (second, first)}
    assert set(map(id, memory.networks_in(held))) == {id(first), id(second)}
    assert memory.networks_in([1, "text", None, torch.ones(2)]) == []
    with memory.loaded(held):  # outside of a host nothing moves
        assert next(second.parameters()).device.type == "cpu"
    assert not memory.of_this_process(held)


def test_nothing_imports_the_bridges_but_each_other():
    """A floor of their own, above the doors: without a host they are not even imported."""
    root = Path(__file__).resolve().parents[3]
    bridges = root / "interfaces" / "comfyui" / "bridges"
    rooms = ("interfaces", "nodes", "graph_runtime", "models", "diffusion", "training", "benchmarks")
    for path in (path for room in rooms for path in (root / room).rglob("*.py")):
        if bridges not in path.parents:
            text = path.read_text()
            assert "import bridges" not in text and ".bridges." not in text, path
