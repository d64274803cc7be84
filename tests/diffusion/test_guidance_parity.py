"""Combiners against golden data: the papers' formulas in float64, and diffusers' guiders."""

from __future__ import annotations

import math

import pytest
import torch
from glidewire.diffusion import guidance, solvers
from glidewire.diffusion.denoiser import Combination, Denoiser
from glidewire.diffusion.evaluator import Evaluator, evaluate
from glidewire.diffusion.prediction import Step
from glidewire.diffusion.schedules import NoiseSchedule


def step_at(abar: float, before: float = 0.9, after: float = 0.1) -> Step:
    return Step.of(NoiseSchedule((0, 1, 2), torch.tensor([before, abar, after], dtype=torch.float64)), 1)


def steps(count: int) -> list[Step]:
    alpha_bar = torch.linspace(0.9, 0.1, count, dtype=torch.float64)
    return [Step.of(NoiseSchedule(tuple(range(count)), alpha_bar), index) for index in range(count)]


# The papers' formulas


@pytest.fixture(scope="module")
def formulas(parity):
    return parity("guidance_formulas")


@pytest.fixture(scope="module")
def pair(formulas, given_answers) -> tuple[Denoiser, Denoiser]:
    network = given_answers({"c": formulas.inputs["eps_cond"], "u": formulas.inputs["eps_uncond"]})
    return network.leaf("c"), network.leaf("u")


def test_cfg_plus_plus_and_plain_ddim(formulas, pair) -> None:
    config, x_t = formulas.config, formulas.inputs["x_t"]
    step = step_at(config["abar_t"], config["abar_prev"], config["abar_next"])
    prediction = evaluate(guidance.classifier_free_plus_plus(*pair, config["cfgpp_lambda"]), x_t, step)
    x_previous, x_0 = solvers.ddim_step(x_t, prediction, step, clip=False)
    formulas.assert_close("cfgpp/x0", x_0)
    formulas.assert_close("cfgpp/x_prev", x_previous)
    formulas.assert_close("cfgpp/x_next_inversion", solvers.ddim_inverse_step(x_t, prediction, step)[0])
    plain = evaluate(guidance.classifier_free(*pair, config["cfg_scale"]), x_t, step)
    formulas.assert_close("ddim_cfg/x_prev", solvers.ddim_step(x_t, plain, step, clip=False)[0])


def test_several_conditions(formulas, pair, given_answers) -> None:
    config, inputs = formulas.config, formulas.inputs
    x_t, step = inputs["x_t"], step_at(config["abar_t"])
    others = {f"other_{index}": each for index, each in enumerate(inputs["composable/eps_i"])}
    network = given_answers({"c": inputs["eps_cond"], "u": inputs["eps_uncond"], **others})
    leaves, u = [network.leaf(name) for name in others], network.leaf("u")
    found = evaluate(guidance.composable(leaves, u, inputs["composable/w"].tolist()), x_t, step)
    formulas.assert_close("composable/eps", found.value)
    weights = inputs["perp_neg/w"].tolist()
    perp_neg = guidance.perpendicular_negative(
        network.leaf("c"), u, leaves[: len(weights)], weights, config["perp_neg_scale"]
    )
    formulas.assert_close("perp_neg/eps", evaluate(perp_neg, x_t, step).value)
    two = guidance.two_scale(leaves[1], leaves[0], u, config["ip2p_image_scale"], config["ip2p_text_scale"])
    formulas.assert_close("ip2p/eps", evaluate(two, x_t, step).value)


def test_an_interval_of_noise_levels(formulas, given_answers) -> None:
    config, sigmas = formulas.config, formulas.inputs["interval/sigma"]
    order = sigmas.argsort()
    schedule = NoiseSchedule(tuple(range(len(sigmas))), 1 / (1 + sigmas[order] ** 2))
    start, end = guidance.noise_interval(schedule, config["interval_lo"], config["interval_hi"])
    x_t = torch.zeros(1, 1, dtype=torch.float64)
    network = given_answers({"c": torch.ones_like(x_t), "u": torch.zeros_like(x_t)})
    guided = guidance.classifier_free(network.leaf("c"), network.leaf("u"), config["cfg_scale"], start, end)
    walked = [evaluate(guided, x_t, Step.of(schedule, index)).value.item() for index in range(len(sigmas))]
    weights = torch.empty_like(sigmas)
    weights[order] = torch.tensor(walked[::-1], dtype=torch.float64)
    formulas.assert_close("interval/weight", weights)


def test_dynamic_thresholding(formulas, given_answers) -> None:
    x_0, percentile = formulas.inputs["dynthr/x0"], formulas.config["dynthr_percentile"]
    formulas.assert_close("dynthr/s", guidance.dynamic_bound(x_0, percentile))
    bounded = guidance.dynamic_threshold(given_answers({"c": x_0}, "x_0").leaf("c"), percentile)
    formulas.assert_close("dynthr/x0", evaluate(bounded, x_0, step_at(0.5)).value)


def test_adaptive_projected_guidance_in_the_papers_form(formulas, given_answers) -> None:
    config = formulas.config["apg"]
    c, u = formulas.inputs["apg/x0_cond"], formulas.inputs["apg/x0_uncond"]
    numbers = config["w"], config["eta"], config["norm_threshold"], config["momentum"]
    formulas.assert_close("apg/x0", projected(given_answers, c, u, *numbers))


def projected(given_answers, c: torch.Tensor, u: torch.Tensor, *numbers: float) -> torch.Tensor:
    """APG over the steps of "steps batch ..."."""
    network, evaluator = given_answers({"c": c, "u": u}, "x_0", per_step=True), Evaluator()
    guided = guidance.adaptive_projected(network.leaf("c"), network.leaf("u"), *numbers)
    return torch.stack([evaluator(guided, c[0], step).value for step in steps(len(c))])


# diffusers' guiders


@pytest.fixture(scope="module")
def guiders(parity):
    return parity("guidance_diffusers")


def test_every_guider_that_is_ours_too(guiders, given_answers) -> None:
    runs = guiders.config["runs"]
    first = {name: guiders.inputs[name][0] for name in ("cond", "uncond", "skip")}
    network = given_answers(first, "v")
    c, u, skip = (network.leaf(name) for name in ("cond", "uncond", "skip"))

    def found(name: str, denoiser: Denoiser, step: Step | None = None) -> None:
        guiders.assert_close(name, evaluate(denoiser, first["cond"], step or step_at(0.5)).value)

    def scale(name: str) -> float:
        # "Original": c + s (c - u) is our scale 1 + s.
        return runs[name]["guidance_scale"] + bool(runs[name].get("use_original_formulation"))

    for name in (name for name in runs if name.startswith("cfg_") and name[-1].isdigit()):
        found(name, guidance.classifier_free(c, u, scale(name)))
    found("autoguidance", guidance.autoguidance(c, skip, scale("autoguidance")))
    for name in ("pag_both", "slg_both", "seg_both", "pag_both_original"):
        strength = next(
            value for key, value in runs[name].items() if key.endswith("guidance_scale") and "_" in key[:-14]
        )
        found(name, guidance.perturbed(guidance.classifier_free(c, u, scale(name)), c, skip, strength))
    rescaled = runs["cfg_rescale"]["guidance_rescale"]
    found("cfg_rescale", guidance.rescale(guidance.classifier_free(c, u, scale("cfg_rescale")), c, rescaled))
    # Without classifier-free guidance the worse attention takes the unconditional's place.
    strength = runs["pag_skip_only"]["perturbed_guidance_scale"]
    found("pag_skip_only", guidance.autoguidance(c, skip, strength))
    found("pag_skip_only_original", guidance.perturbed(c, c, skip, strength))
    for name in ("tcfg", "tcfg_original"):
        found(name, guidance.tangential(c, u, scale(name)))
    for name in ("mambo", "mambo_original"):
        found(name, guidance.magnitude_aware(c, u, scale(name), runs[name]["alpha"]))
    for name in ("zero_star_step0", "zero_star", "zero_star_original", "zero_star_rescale"):
        guided = guidance.zero_star(c, u, scale(name), runs[name]["zero_init_steps"])
        if "guidance_rescale" in runs[name]:
            guided = guidance.rescale(guided, c, runs[name]["guidance_rescale"])
        found(name, guided, steps(runs[name]["step"] + 2)[runs[name]["step"]])
    fdg = guidance.frequency_decoupled(c, u, runs["fdg"]["guidance_scales"])
    found("fdg", fdg)
    found("fdg_rescale_data", guidance.rescale(fdg, c, runs["fdg_rescale_data"]["guidance_rescale"]))
    original = [scale + 1 for scale in runs["fdg_original"]["guidance_scales"]]
    found("fdg_original", guidance.frequency_decoupled(c, u, original))


def test_an_interval_of_steps(guiders, given_answers) -> None:
    run = guiders.config["runs"]["cfg_interval"]
    first = {name: guiders.inputs[name][0] for name in ("cond", "uncond")}
    network = given_answers({name: value[:1] for name, value in first.items()}, "v")
    guided = guidance.classifier_free(
        network.leaf("cond"), network.leaf("uncond"), run["guidance_scale"], run["start"], run["stop"]
    )
    assert isinstance(guided, Combination)
    walk = steps(run["num_inference_steps"])
    guiders.assert_close(
        "cfg_interval/pred", torch.stack([evaluate(guided, first["cond"][:1], step).value for step in walk])
    )
    guiders.assert_close("cfg_interval/enabled", torch.tensor([guided.active(step.index, len(walk)) for step in walk]))


@pytest.mark.parametrize("name", ["apg_original", "apg_no_norm", "apg_original_momentum"])
def test_adaptive_projected_guidance_of_diffusers_original_form(guiders, given_answers, name: str) -> None:
    run = guiders.config["runs"][name]
    threshold = run["adaptive_projected_guidance_rescale"] or math.inf
    momentum = run.get("adaptive_projected_guidance_momentum", 0.0)
    c, u = (guiders.inputs[name][: run["steps"]] for name in ("cond", "uncond"))
    found = projected(given_answers, c, u, run["guidance_scale"] + 1, run["eta"], threshold, momentum)
    guiders.assert_close(name, found if run["steps"] > 1 else found[0])


def test_adaptive_projected_guidance_of_diffusers_own_form_is_a_nesting(guiders, given_answers) -> None:
    """u + w d' in the place of the paper's c + (w - 1) d': perturbed guidance of u by d' = APG at scale 2, less c."""

    def found(name: str) -> torch.Tensor:
        run = guiders.config["runs"][name]
        threshold = run["adaptive_projected_guidance_rescale"] or math.inf
        momentum = run.get("adaptive_projected_guidance_momentum", 0.0)
        named = {kind: guiders.inputs[f"{kind}ond"][: run["steps"]] for kind in ("c", "unc")} if "steps" in run else {}
        named = named or {"c": guiders.inputs["cond"][:1], "unc": guiders.inputs["uncond"][:1]}
        network, evaluator = given_answers(named, "x_0", per_step=True), Evaluator()
        c, u = network.leaf("c"), network.leaf("unc")
        projected = guidance.adaptive_projected(c, u, 2.0, run["eta"], threshold, momentum)
        guided = guidance.perturbed(u, projected, c, run["guidance_scale"])
        if "guidance_rescale" in run:
            guided = guidance.rescale(guided, c, run["guidance_rescale"])
        walk = steps(len(named["c"]))
        return torch.stack([evaluator(guided, named["c"][0], step).value for step in walk])

    for name in ("apg_default", "apg_default_momentum", "apg_rescaled"):
        made = found(name)
        guiders.assert_close(name, made if len(made) > 1 else made[0])


def test_thresholds_of_published_cascades(parity, given_answers) -> None:
    case = parity("if_dynamic_threshold")
    x_0 = case.inputs["x0"]
    for index, setting in enumerate(case.config["settings"]):
        leaf = given_answers({"c": x_0}, "x_0").leaf("c")
        bounded = guidance.dynamic_threshold(leaf, setting["ratio"], setting["sample_max_value"])
        case.assert_close(f"thresholded_{index}", evaluate(bounded, x_0, step_at(0.5)).value)
