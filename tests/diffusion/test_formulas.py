"""The papers' formulas in float64: conversions, the shift of the mean, and what lies between embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from glidewire.diffusion import solvers
from glidewire.diffusion.cutouts import spherical_distance
from glidewire.diffusion.interpolation import slerp, text_difference
from glidewire.diffusion.prediction import Prediction, Step
from glidewire.diffusion.schedules import NoiseSchedule


@pytest.fixture(scope="module")
def case(parity: Callable[[str], Any]) -> Any:
    return parity("guidance_formulas")


@pytest.fixture(scope="module")
def step(case: Any) -> Step:
    levels = [case.config[name] for name in ("abar_prev", "abar_t", "abar_next")]
    return Step.of(NoiseSchedule((0, 1, 2), torch.tensor(levels, dtype=torch.float64)), 1)


def test_each_kind_of_prediction_becomes_every_other(case: Any, step: Step) -> None:
    x_t, eps = case.inputs["x_t"], case.inputs["eps_cond"]
    told = Prediction(eps, "eps")
    x_0, v = told.x_0(x_t, step), told.v(x_t, step)
    case.assert_close("convert/x0_from_eps", x_0)
    case.assert_close("convert/v_from_eps", v)
    case.assert_close("convert/x0_from_v", Prediction(v, "v").x_0(x_t, step))
    case.assert_close("convert/eps_from_v", Prediction(v, "v").eps(x_t, step))
    case.assert_close("convert/eps_from_x0", Prediction(x_0, "x_0").eps(x_t, step))
    case.assert_close("convert/score", -told.eps(x_t, step) / math.sqrt(1 - step.alpha_bar))


def test_the_shift_of_a_classifier_in_ddim(case: Any, step: Step) -> None:
    x_t, shift = case.inputs["x_t"], case.config["classifier_scale"] * case.inputs["grad_log_p"]
    shifted = Prediction(case.inputs["eps_cond"], "eps", mean_shift=shift)
    x_0 = solvers.ddim_step(x_t, shifted, step, clip=False)[1]
    case.assert_close("classifier/eps", Prediction(x_0, "x_0").eps(x_t, step))


def test_the_shift_of_a_classifier_in_the_posterior(case: Any, step: Step) -> None:
    x_t, mean, variance = (case.inputs[name] for name in ("x_t", "model_mean", "model_variance"))
    # The clean sample and the learned variance under which the posterior has that mean and that variance.
    x_0 = (mean - step.posterior_mean_x_t * x_t) / step.posterior_mean_x_0
    low, high = step.posterior_log_variance, step.log_beta
    learned = 2 * (variance.log() - low) / (high - low) - 1
    shift = case.config["classifier_scale"] * case.inputs["grad_log_p"]
    prediction = Prediction(x_0, "x_0", variance=learned, mean_shift=shift)
    found = solvers.ancestral_step(x_t, prediction, step, torch.zeros_like(x_t), clip=False)[0]
    case.assert_close("classifier/mean", found)


def test_angles_between_embeddings(case: Any) -> None:
    case.assert_close("spherical/dist", spherical_distance(case.inputs["spherical/a"], case.inputs["spherical/b"]))


def test_between_and_along_embeddings(case: Any) -> None:
    first, second = (F.normalize(case.inputs[f"spherical/{name}"], dim=-1) for name in "ab")
    for index, fraction in enumerate(case.config["slerp_fractions"]):
        case.assert_close(f"slerp/{index}", slerp(first, second, fraction))
    half = len(first) // 2
    target, source, picture = first[:half], first[half : 2 * half], second[:half]
    theta = case.config["text_diff_theta"]
    case.assert_close("text_diff/z", text_difference(picture, source, target, theta))
    case.assert_close("text_diff/z_d", text_difference(picture, source, target, 1.0))
