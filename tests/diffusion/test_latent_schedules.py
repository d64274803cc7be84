"""Latent diffusion's published schedules, lists of timesteps and sampling runs, to the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from glidewire.diffusion import guidance, multistep, samplers, schedules, solvers
from glidewire.diffusion.denoiser import Denoiser, Leaf
from glidewire.diffusion.noise import FixedNoise
from glidewire.diffusion.prediction import Step
from glidewire.diffusion.samplers import StepRecord
from glidewire.errors import GlidewireError
from torch import Tensor

BUFFERS = {
    "posterior_variance": "posterior_variance",
    "posterior_mean_coef1": "posterior_mean_x_0",
    "posterior_mean_coef2": "posterior_mean_x_t",
}


class Formula:
    """The network that the golden case names: eps = tanh(x + c) (0.5 + t / 2000) + 0.3 x."""

    prediction, learned_variance = "eps", False

    def digest(self) -> str:
        return "formula"

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return conditioning

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        return torch.tanh(x_t + conditioning["c"]) * (0.5 + timesteps.view(-1, 1, 1, 1) / 2000) + 0.3 * x_t


@pytest.fixture(scope="module")
def case(parity: Callable[[str], Any]) -> Any:
    return parity("ldm_schedules")


def full(case: Any, name: str = "") -> schedules.NoiseSchedule:
    return schedules.scaled_linear(1000, *case.config["linear_start_end"][name or case.config["sampling_schedule"]])


def test_betas_and_signal(case: Any) -> None:
    for name in case.config["linear_start_end"]:
        case.assert_close(f"betas_{name}", full(case, name).betas)
        case.assert_close(f"alphas_cumprod_{name}", full(case, name).alpha_bar)


def test_buffers(case: Any) -> None:
    schedule = full(case)
    for published, ours in BUFFERS.items():
        case.assert_close(f"buffer_{published}", getattr(schedule, ours))
    variance = schedule.posterior_variance.clamp(min=1e-20)
    case.assert_close("buffer_posterior_log_variance_clipped", variance.log())
    case.assert_close("buffer_sqrt_recipm1_alphas_cumprod", (1 / schedule.alpha_bar - 1).sqrt())


def test_lists_of_timesteps(case: Any) -> None:
    for count in case.config["ddim_step_counts"]:
        for name in ("uniform", "quad"):
            output = f"ddim_timesteps_{name}_{count}"
            expected = case.outputs[output].tolist()
            kept = schedules.kept_indices(1000, f"{name}{count}")
            assert list(kept) == sorted(set(expected)), output
            # The published list of squares repeats small timesteps; ours keeps each once.
            case.assert_close(output, torch.tensor([entry for entry in kept for _ in range(expected.count(entry))]))


def test_signal_and_deviation_of_each_step(case: Any) -> None:
    schedule = schedules.respace(full(case), f"uniform{case.config['sampling_parameters_steps']}")
    case.assert_close("ddim_alphas", schedule.alpha_bar)
    case.assert_close("ddim_alphas_prev", schedule.alpha_bar_previous)
    for eta in (0, 1):
        deviation = eta * schedule.posterior_variance.sqrt()
        case.assert_close(f"ddim_sigmas_eta{eta}", deviation)


def denoiser(case: Any, scale: float) -> Denoiser:
    network = Formula()
    cond, uncond = (Leaf(network, {"c": case.inputs[name]}) for name in ("c", "uc"))
    return guidance.classifier_free(cond, uncond, scale) if scale != 1 else cond


@pytest.mark.parametrize("name", ["ddim", "ddim_eta1_cfg", "ddim_eta_temp", "ddim_odd_steps"])
def test_runs(name: str, case: Any) -> None:
    run = case.config["runs"][name]
    schedule = schedules.respace(full(case), f"uniform{run['steps']}")
    records: list[StepRecord] = []
    noise = FixedNoise(list(case.inputs["noise"] * run["temperature"]))
    arguments = (solvers.ddim(run["eta"], clip=False), noise)
    samplers.sample(denoiser(case, run["scale"]), schedule, case.inputs["x_T"], *arguments, on_step=records.append)
    states = [record.x_next for record in records]
    if run["eta"]:
        # The published loop adds noise in the last step too, where it ends above the schedule's clean end.
        step = Step.of(schedule, len(schedule) - 1)
        sigma = run["eta"] * math.sqrt((1 - step.alpha_bar_previous) / (1 - step.alpha_bar))
        sigma *= math.sqrt(1 - step.alpha_bar / step.alpha_bar_previous)
        states[-1] = states[-1] + sigma * run["temperature"] * case.inputs["noise"][len(schedule) - 1]
    case.assert_close(f"{name}/x", torch.stack(states))
    case.assert_close(f"{name}/pred_x0", torch.stack([record.x_0 for record in records]))


@pytest.mark.parametrize("name", ["plms", "plms_cfg"])
def test_runs_of_several_steps(name: str, case: Any) -> None:
    run = case.config["runs"][name]
    schedule = schedules.respace(full(case), f"uniform{run['steps']}")
    records: list[StepRecord] = []
    expression = multistep.linear_multistep(denoiser(case, run["scale"]))
    samplers.sample(expression, schedule, case.inputs["x_T"], solvers.plms(), on_step=records.append)
    case.assert_close(f"{name}/x", torch.stack([record.x_next for record in records]))
    case.assert_close(f"{name}/pred_x0", torch.stack([record.x_0 for record in records]))


def test_a_run_that_keeps_a_region(case: Any) -> None:
    run = case.config["runs"]["ddim_mask"]
    schedule = schedules.respace(full(case), f"uniform{run['steps']}")
    x, mask, noise = case.inputs["x_T"], case.inputs["mask"], case.inputs["noise"]
    records: list[StepRecord] = []
    for index in range(len(schedule)):
        alpha_bar = Step.of(schedule, index).alpha_bar
        known = math.sqrt(alpha_bar) * case.inputs["x0"] + math.sqrt(1 - alpha_bar) * noise[index]
        x = samplers.sample(
            denoiser(case, run["scale"]),
            schedule,
            known * mask + (1 - mask) * x,
            solvers.ddim(clip=False),
            start_index=index,
            stop_index=index + 1,
            on_step=records.append,
        )
    case.assert_close("ddim_mask/x", torch.stack([record.x_next for record in records]))
    case.assert_close("ddim_mask/pred_x0", torch.stack([record.x_0 for record in records]))


def test_image_to_image(case: Any) -> None:
    run = case.config["img2img"]
    schedule = schedules.respace(full(case), f"uniform{run['steps']}")
    # The published code noises to one entry above the one that it starts to clean at.
    alpha_bar = float(schedule.alpha_bar[run["t_start"]])
    x = math.sqrt(alpha_bar) * case.inputs["x0"] + math.sqrt(1 - alpha_bar) * case.inputs["noise"][0]
    case.assert_close("img2img/encoded", x)
    start = len(schedule) - run["t_start"]
    solver = solvers.ddim(clip=False)
    decoded = samplers.sample(denoiser(case, run["scale"]), schedule, x, solver, start_index=start)
    case.assert_close("img2img/decoded", decoded)


def test_counts_that_fail_there_are_named() -> None:
    for count in (3, 9, 27, 37):
        with pytest.raises(GlidewireError, match="a count whose last timestep is below 1000"):
            schedules.kept_indices(1000, f"uniform{count}")
    with pytest.raises(GlidewireError, match="at most 1000"):
        schedules.kept_indices(1000, "quad1001")
    with pytest.raises(GlidewireError, match=r"Respacing 'uniform': impossible; expected positive whole numbers"):
        schedules.require_spacing("uniform")
    schedules.require_spacing("quad20")
