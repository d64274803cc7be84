from __future__ import annotations

import pytest
import torch
from glidewire.diffusion import guidance, samplers, schedules, solvers
from glidewire.diffusion.evaluator import evaluate
from glidewire.diffusion.noise import SeededNoise
from glidewire.diffusion.oracle import ExactClassifier, GaussianMixture
from glidewire.diffusion.prediction import Step
from glidewire.errors import GlidewireError


def oracle(case) -> GaussianMixture:
    given = case.inputs
    schedule = schedules.NoiseSchedule(tuple(range(len(given["alphas_cumprod"]))), given["alphas_cumprod"])
    return GaussianMixture(
        given["means"], given["covariances"], given["weights_in_class"], given["class_prior"], schedule
    )


def single_gaussian(case) -> GaussianMixture:
    mean, covariance = case.inputs["gauss/mean"], case.inputs["gauss/cov"]
    one = torch.ones(1, 1, dtype=torch.float64)
    return GaussianMixture(mean[None, None], covariance[None, None], one, one[0], oracle(case).schedule)


def respaced(mixture: GaussianMixture, ids: torch.Tensor) -> schedules.NoiseSchedule:
    ids = ids.sort().values
    return schedules.NoiseSchedule(tuple(ids.tolist()), mixture.schedule.alpha_bar[ids])


def test_exact_quantities_at_points(parity) -> None:
    case = parity("analytic_oracle")
    mixture, x, t = oracle(case), case.inputs["points/x"], case.inputs["points/t"]
    alpha_bar = mixture.schedule.alpha_bar[t]
    count, classes = len(x), len(mixture.class_prior)
    whole = torch.full((count,), -1)
    eps_uncond = mixture.eps(x, alpha_bar, whole)
    per_class = [torch.full((count,), label) for label in range(classes)]
    eps_class = torch.stack([mixture.eps(x, alpha_bar, labels) for labels in per_class], 1)
    gradient = torch.stack([mixture.classifier_gradient(x, alpha_bar, labels) for labels in per_class], 1)
    signal, noise = alpha_bar.sqrt()[:, None], (1 - alpha_bar).sqrt()[:, None]
    case.assert_close("points/eps_uncond", eps_uncond)
    case.assert_close("points/eps_class", eps_class)
    case.assert_close("points/classifier_grad", gradient)
    case.assert_close("points/log_p_x_given_y", mixture.log_likelihood(x, alpha_bar))
    case.assert_close("points/log_p_x", mixture.log_density(x, alpha_bar))
    case.assert_close("points/posterior", mixture.posterior(x, alpha_bar))
    case.assert_close("points/x0_uncond", (x - noise * eps_uncond) / signal)
    case.assert_close("points/x0_class", (x[:, None] - noise[:, None] * eps_class) / signal[:, None])


def test_guidance_equals_the_exact_guided_score_at_points(parity) -> None:

    case = parity("analytic_oracle")
    mixture = oracle(case)
    total = len(mixture.schedule)
    for scale in case.config["w"]:
        found = torch.zeros_like(case.outputs[f"points/cfg_eps_w{scale:g}"])
        for i, (x, t) in enumerate(zip(case.inputs["points/x"], case.inputs["points/t"].tolist(), strict=True)):
            step = Step.of(mixture.schedule, total - 1 - t)
            for label in range(len(mixture.class_prior)):
                guided = guidance.classifier_free(mixture.leaf(label), mixture.leaf(None), scale)
                found[i, label] = evaluate(guided, x[None], step).eps(x[None], step)[0]
        case.assert_close(f"points/cfg_eps_w{scale:g}", found)


def test_ddim_follows_the_golden_paths(parity) -> None:
    case = parity("analytic_oracle")
    mixture, x_T = oracle(case), case.inputs["ddim/x_T"]
    seen = 0
    for name in case.outputs:
        parts = name.split("/")
        if not name.startswith("ddim") or parts[-1] != "x_0":
            continue
        schedule = respaced(mixture, case.outputs[f"{parts[0]}/timesteps"])
        assert schedule == schedules.respace(mixture.schedule, parts[0])
        denoiser = mixture.leaf(None)
        if parts[1] != "uncond":
            label, scale = parts[1].removeprefix("class").split("_w")
            denoiser = guidance.classifier_free(mixture.leaf(int(label)), denoiser, float(scale))
        states: list[torch.Tensor] = []
        result = samplers.sample(
            denoiser,
            schedule,
            x_T,
            solvers.ddim(clip=False),
            on_step=lambda record, states=states: states.append(record.x_next),
        )
        case.assert_close(name, result)
        case.assert_close(f"{parts[0]}/{parts[1]}/x_steps_every5", torch.stack(states[4::5]))
        seen += 1
    assert seen


def test_inversion_and_back(parity) -> None:
    case = parity("analytic_oracle")
    mixture, x_0 = oracle(case), case.inputs["inversion/x_0"]
    leaf = mixture.leaf(case.config["guided_class"])
    errors: dict[int, float] = {}
    for steps in case.config["ddim_steps"]:
        schedule = schedules.respace(mixture.schedule, f"ddim{steps}")
        states: list[torch.Tensor] = []
        x_T = samplers.invert(leaf, schedule, x_0, on_step=lambda record, states=states: states.append(record.x_next))
        again = samplers.sample(leaf, schedule, x_T, solvers.ddim(clip=False), stop_index=steps - 1)
        rmse = (again - x_0).square().mean().sqrt()
        case.assert_close(f"inversion{steps}/x_T", x_T)
        case.assert_close(f"inversion{steps}/x_steps_every5", torch.stack(states[4::5]))
        case.assert_close(f"inversion{steps}/x_reconstructed", again)
        case.assert_close(f"inversion{steps}/rmse", rmse[None])
        errors[steps] = rmse.item()
    fewest, most = min(errors), max(errors)
    assert errors[most] < 1.5 * errors[fewest] * fewest / most


def test_ddim_converges_to_the_exact_flow(parity) -> None:
    case = parity("analytic_oracle")
    mixture = single_gaussian(case)
    (start,) = (name for name in case.inputs if name.startswith("gauss/x_at_"))
    x_T, top = case.inputs[start], int(start.rpartition("_")[2])
    exact, largest = case.outputs["gauss/x_at_0_exact"], {}
    for name in case.outputs:
        if name.startswith("gauss/ddim_"):
            steps = int(name.split("_")[1])
            schedule = respaced(mixture, torch.linspace(0, top, steps + 1).round().long())
            found = samplers.sample(mixture.leaf(0), schedule, x_T, solvers.ddim(clip=False), stop_index=steps)
            case.assert_close(name, found)
            largest[steps] = (found - exact).abs().max().item()
    for steps, error in largest.items():
        assert error == pytest.approx(case.config["gauss_ddim_max_error"][str(steps)], rel=1e-6)


def test_classifier_guidance_is_the_conditional_model(parity) -> None:
    """eps_uncond - sqrt(1 - abar) grad log p(y | x) = eps_class, so the two DDIM runs are one."""
    case = parity("analytic_oracle")
    mixture, x_T = oracle(case), case.inputs["ddim/x_T"]
    schedule = schedules.respace(mixture.schedule, "25")
    label = case.config["guided_class"]
    steered = guidance.gradient_guidance(mixture.leaf(None), ExactClassifier(mixture, label), 1.0)
    by_gradient = samplers.sample(steered, schedule, x_T, solvers.ddim(clip=False))
    conditional = samplers.sample(mixture.leaf(label), schedule, x_T, solvers.ddim(clip=False))
    assert torch.allclose(by_gradient, conditional, atol=1e-9)


def test_classifier_and_classifier_free_guidance_agree_at_every_scale(parity) -> None:
    case = parity("analytic_oracle")
    mixture, x_T = oracle(case), case.inputs["ddim/x_T"]
    schedule = schedules.respace(mixture.schedule, "25")
    for scale in case.config["w"]:
        free = guidance.classifier_free(mixture.leaf(0), mixture.leaf(None), scale)
        steered = guidance.gradient_guidance(mixture.leaf(None), ExactClassifier(mixture, 0), scale)
        one = samplers.sample(free, schedule, x_T, solvers.ddim(clip=False))
        other = samplers.sample(steered, schedule, x_T, solvers.ddim(clip=False))
        assert torch.allclose(one, other, atol=1e-8)


def small_mixture() -> GaussianMixture:
    means = torch.tensor([[[-1.0, 0.0]], [[1.0, 0.5]]], dtype=torch.float64)
    covariances = torch.eye(2, dtype=torch.float64).expand(2, 1, 2, 2) * 0.05
    ones = torch.ones(2, 1, dtype=torch.float64)
    return GaussianMixture(means, covariances, ones, torch.full((2,), 0.5).double(), schedules.linear(100))


def test_ancestral_sampling_draws_from_the_mixture() -> None:

    mixture = small_mixture()
    noise = SeededNoise(tuple([3] * 250))
    x_0 = samplers.sample(mixture.leaf(1), mixture.schedule, noise.draw((2,)), solvers.ancestral(False), noise)
    assert torch.allclose(x_0.double().mean(0), mixture.means[1, 0], atol=0.04)
    assert torch.allclose(x_0.double().var(0), torch.full((2,), 0.05).double(), atol=0.015)


def test_score_is_the_gradient_of_the_density() -> None:
    mixture = small_mixture()
    x = torch.tensor([[0.3, -0.2], [1.5, 0.1]], dtype=torch.float64, requires_grad=True)
    alpha_bar = torch.tensor([0.9, 0.3], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(mixture.log_density(x, alpha_bar).sum(), x)
    assert torch.allclose(gradient, mixture.score(x, alpha_bar, torch.tensor([-1, -1])))


def test_unknown_labels_and_timesteps_are_named() -> None:
    mixture = small_mixture()
    with pytest.raises(GlidewireError, match="no such class; expected 0 to 1; got 2"):
        mixture.leaf(2)
    with pytest.raises(GlidewireError, match="not of its schedule"):
        mixture(torch.zeros(1, 2), torch.tensor([1000]), mixture.leaf(0).conditioning)
