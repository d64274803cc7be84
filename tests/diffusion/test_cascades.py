"""What DeepFloyd IF's cascade samples with: thresholded ancestral steps, mixed prompts, noised low resolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from glidewire.diffusion import guidance
from glidewire.diffusion.augmentation import conditioning_augmentation
from glidewire.diffusion.evaluator import evaluate
from glidewire.diffusion.prediction import Step
from glidewire.diffusion.schedules import NoiseSchedule, linear, squared_cosine
from glidewire.diffusion.solvers import ancestral_step
from glidewire.errors import GlidewireError


def test_thresholded_ancestral_steps(parity: Callable[[str], Any], given_answers: Callable[..., Any]) -> None:
    case = parity("if_dynamic_threshold")
    options = case.config["step_scheduler"]
    kept = sorted(case.config["timesteps"])
    schedule = NoiseSchedule(tuple(kept), squared_cosine(options["num_train_timesteps"]).alpha_bar[kept])
    x_t, output, noise = (case.inputs[f"step/{name}"] for name in ("sample", "model_output", "noise"))
    network = given_answers({"c": output}, "eps")
    network.learned_variance = True
    bounded = guidance.dynamic_threshold(
        network.leaf("c"), options["dynamic_thresholding_ratio"], options["sample_max_value"]
    )
    for name in sorted({name.split("/")[1] for name in case.outputs if name.startswith("step/")}):
        step = Step.of(schedule, len(kept) - 1 - kept.index(int(name.removeprefix("t"))))
        # The bounded prediction is not clipped again.
        x_next, x_0 = ancestral_step(x_t, evaluate(bounded, x_t, step), step, noise, clip=False)
        case.assert_close(f"step/{name}/pred_x0", x_0)
        case.assert_close(f"step/{name}/prev_sample", x_next)


def test_mixed_prompts(parity: Callable[[str], Any], given_answers: Callable[..., Any]) -> None:
    case = parity("if_dynamic_threshold")
    names = ("cond", "positive", "uncond")
    network = given_answers({name: case.inputs[f"mixer/{name}"] for name in names})
    c, p, u = (network.leaf(name) for name in names)
    scale, mixed = case.config["guidance_scale"], case.config["positive_mixer"]
    x_t, step = case.inputs["mixer/cond"], Step.of(linear(), 400)
    both = guidance.composable([c, p], u, [scale * (1 - mixed), scale * mixed])
    case.assert_close("mixer/eps", evaluate(both, x_t, step).value)
    alone = guidance.classifier_free(p, u, scale)
    case.assert_close("mixer/eps_positive_branch", evaluate(alone, x_t, step).value)


def test_the_level_of_noise_is_a_step_of_the_schedule() -> None:
    low_res = torch.rand(2, 3, 4, 4)
    silence = torch.zeros(2, 3, 8, 8)
    noised, step = conditioning_augmentation(low_res, (8, 8), 0.25, silence)
    assert step == 250
    alpha_bar = squared_cosine().alpha_bar[250].item()
    # Corners stay corners.
    torch.testing.assert_close(noised[..., 0, 0], alpha_bar**0.5 * low_res[..., 0, 0])
    torch.testing.assert_close(noised[..., -1, -1], alpha_bar**0.5 * low_res[..., -1, -1])
    assert conditioning_augmentation(low_res, (8, 8), 0.25, silence, linear(100))[1] == 25


def test_impossible_augmentations_are_told() -> None:
    x = torch.zeros(1, 3, 8, 8)
    with pytest.raises(GlidewireError, match="impossible level; expected 0 to below 1; got 1"):
        conditioning_augmentation(x, (8, 8), 1.0, x)
    with pytest.raises(GlidewireError, match=r"wrong noise; expected \(1, 3, 16, 16\); got \(1, 3, 8, 8\)"):
        conditioning_augmentation(x, (16, 16), 0.2, x)
