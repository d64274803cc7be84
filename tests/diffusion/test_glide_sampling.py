"""Whole sampling runs against the golden ones, with GLIDE's network loaded as a user's checkpoint is."""

from __future__ import annotations

import pytest
import torch
from glidewire.diffusion import guidance, samplers, schedules, solvers
from glidewire.diffusion.denoiser import Denoiser, Leaf
from glidewire.diffusion.evaluator import Evaluator
from glidewire.diffusion.noise import FixedNoise
from glidewire.diffusion.samplers import StepRecord
from glidewire.models import checkpoint
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def case(parity):
    return parity("glide_sampling")


@pytest.fixture(scope="module")
def leaves(case, tmp_path_factory) -> tuple[Leaf, Leaf]:
    """The conditional and the unconditional denoiser."""
    path = tmp_path_factory.mktemp("glide") / "model.safetensors"
    prefix = "unet/"
    save_file({k.removeprefix(prefix): v for k, v in case.weights.items() if k.startswith(prefix)}, path)
    network = checkpoint.load(path, stated=case.config["model"])
    with torch.no_grad():
        cond = network.encode_text(case.inputs["tokens"], case.inputs["mask"])
        uncond = network.encode_text(case.inputs["uncond_tokens"], case.inputs["uncond_mask"])
    return Leaf(network, cond), Leaf(network, uncond)


def runs(case) -> dict[str, dict]:
    """Runs that need no CLIP, by name."""
    return {name: run for name, run in case.config["runs"].items() if not run.get("clip_grad_scale")}


def schedule_of(case, name: str) -> schedules.NoiseSchedule:
    run = case.config["runs"][name]
    full = schedules.SCHEDULES[run["noise_schedule"]](case.config["model"]["diffusion_steps"])
    return schedules.respace(full, run["respacing"])


def denoiser_of(case, name: str, leaves: tuple[Leaf, Leaf]) -> Denoiser:
    run = case.config["runs"][name]
    denoiser: Denoiser = leaves[0]
    if run.get("cfg_scale"):
        denoiser = guidance.classifier_free(*leaves, run["cfg_scale"])
    if run.get("denoised_fn"):
        known, mask = case.inputs[f"{name}/known_image"], case.inputs[f"{name}/mask"]
        denoiser = guidance.known_region(denoiser, known, mask)
    return denoiser


def test_every_golden_run_down(case, leaves) -> None:
    seen = set()
    for name, run in runs(case).items():
        if run["method"] == "ddim_reverse_sample":
            continue
        clip = run["clip_denoised"]
        solver = solvers.ddim(run["eta"], clip) if run["method"] == "ddim" else solvers.ancestral(clip)
        noise = case.inputs.get(f"{name}/noise")
        schedule = schedule_of(case, name)
        assert list(reversed(schedule.timesteps)) == case.inputs[f"{name}/timesteps"].tolist()
        records: list[StepRecord] = []
        evaluator = Evaluator()
        result = samplers.sample(
            denoiser_of(case, name, leaves),
            schedule,
            case.inputs[f"{name}/x_T"],
            solver,
            None if noise is None else FixedNoise(list(noise)),
            on_step=records.append,
            evaluator=evaluator,
        )
        kept = case.outputs[f"{name}/steps_kept"].tolist()
        case.assert_close(f"{name}/x_steps", torch.stack([records[k].x_next for k in kept]))
        case.assert_close(f"{name}/pred_xstart", torch.stack([records[k].x_0 for k in kept]))
        case.assert_close(f"{name}/result", result)
        assert evaluator.forwards == run["steps"]
        seen.add(run["method"])
    assert seen


def test_golden_inversion(case, leaves) -> None:
    for name, run in runs(case).items():
        if run["method"] != "ddim_reverse_sample":
            continue
        states: list[torch.Tensor] = []
        samplers.invert(
            leaves[0],
            schedule_of(case, name),
            case.inputs[f"{name}/x_0"],
            clip=run["clip_denoised"],
            on_step=lambda record, states=states: states.append(record.x_next),
        )
        case.assert_close(f"{name}/x_steps", torch.stack(states))


def test_a_run_of_the_wrong_branch_is_noticed(case, leaves) -> None:
    """The judge can fail: swapping the branches of guidance leaves the tolerance far behind."""
    name = next(name for name, run in runs(case).items() if run.get("cfg_scale") and run["method"] == "ddim")
    swapped = guidance.classifier_free(leaves[1], leaves[0], case.config["runs"][name]["cfg_scale"])
    result = samplers.sample(swapped, schedule_of(case, name), case.inputs[f"{name}/x_T"], solvers.ddim())
    with pytest.raises(AssertionError, match="error"):
        case.assert_close(f"{name}/result", result)
