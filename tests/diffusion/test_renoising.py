"""Paella's sampler: whole runs against the golden ones, with the networks loaded as a user's checkpoints are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from glidewire.diffusion import guidance, renoising, tokens
from glidewire.diffusion.denoiser import Combination, Denoiser, Leaf
from glidewire.diffusion.evaluator import Evaluator
from glidewire.diffusion.token_noise import FixedTokenNoise, SeededTokenNoise, gumbel_of
from glidewire.diffusion.token_run import TokenRecord
from glidewire.diffusion.trajectory import MemoryTrajectory
from glidewire.errors import GlidewireError
from glidewire.models import checkpoint
from safetensors.torch import save_file


def load(case, folder) -> Any:
    save_file(case.weights, folder / "m.safetensors")
    return checkpoint.load(folder / "m.safetensors", stated=case.config["model"])


@pytest.fixture(scope="module")
def v1(parity, tmp_path_factory) -> tuple[Any, Any]:
    case = parity("paella_v1_sampling")
    return case, load(case, tmp_path_factory.mktemp("v1"))


@pytest.fixture(scope="module")
def v3(parity, tmp_path_factory) -> tuple[Any, Any]:
    case = parity("paella_v3_sampling")
    return case, load(case, tmp_path_factory.mktemp("v3"))


def noise_of(case, floor: float) -> FixedTokenNoise:
    given = case.inputs
    return FixedTokenNoise(
        {"token": list(gumbel_of(given["gumbel_uniform"], floor))},
        {"where": list(given["renoise_uniform"])},
        {"fresh": list(given["renoise_tokens"])} if "renoise_tokens" in given else {},
    )


def compare(case, name: str, records: list[TokenRecord], result: torch.Tensor) -> None:
    case.assert_close(f"{name}/state", torch.stack([record.tokens for record in records]))
    case.assert_close(f"{name}/sampled", torch.stack([record.drawn for record in records]))
    case.assert_close(f"{name}/final", result)


def v1_result(case, network, name: str, **changes) -> tuple[list[TokenRecord], torch.Tensor, Evaluator]:
    run = {**case.config["defaults"], **case.config["runs"][name]}
    given = {key: value.long() if not value.is_floating_point() else value for key, value in case.inputs.items()}
    cond = Leaf(network, {"clip": given[run.get("c", "cond")]})
    scale = run["classifier_free_scale"]
    denoiser = cond if scale < 0 else guidance.classifier_free(cond, Leaf(network, network.null()), scale)
    generate = given[run["mask"]].bool() if "mask" in run else None
    start = given[run.get("x", "x_noise")]
    if generate is not None:
        start = renoising.paste(given["x_noise"], start, generate)
    keep = tokens.typical(run["typical_mass"], run["typical_min_tokens"])
    settings = {
        "steps": renoising.cosine_steps(
            run["T"],
            start=run["starting_t"],
            temperature=tuple(run["temp_range"]),
            renoise_steps=run["renoise_steps"],
        ),
        "renoise": {"prev": "previous", "rand": "fresh"}.get(run["renoise_mode"], run["renoise_mode"]),
        "keep": keep if run["typical_filtering"] else None,
        **changes,
    }
    records: list[TokenRecord] = []
    evaluator = Evaluator()
    result = renoising.sample_renoising(
        denoiser,
        settings.pop("steps"),
        start,
        noise_of(case, 1e-20),
        generate=generate,
        on_step=records.append,
        evaluator=evaluator,
        **settings,
    )
    return records, result, evaluator


def test_every_golden_run_of_v1(v1) -> None:
    case, network = v1
    assert case.config["runs"]
    for name in case.config["runs"]:
        records, result, _ = v1_result(case, network, name)
        compare(case, name, records, result)


def test_golden_start_from_a_picture(v1) -> None:
    case, _ = v1
    given = case.inputs
    for name, run in case.config["runs"].items():
        if str(run.get("x", "")).startswith("x_noised_start"):
            step = run["starting_t"]
            total = run.get("T", case.config["defaults"]["T"])
            share = renoising.cosine_share(step / total)
            start = tokens.corrupt(given["x_image"], given["x_noise"], share, given["image_noise_uniform"])
            assert torch.equal(start, given[run["x"]]), name


def test_a_mistake_in_the_sampler_shows(v1) -> None:
    case, network = v1
    name = next(name for name, run in case.config["runs"].items() if run["renoise_mode"] == "start" and len(run) == 2)
    records, result, _ = v1_result(case, network, name, keep=tokens.typical(1.0))
    with pytest.raises(AssertionError, match="must be exact"):
        compare(case, name, records, result)


def test_guidance_costs_one_forward_a_step(v1) -> None:
    case, network = v1
    name = next(
        name for name, run in case.config["runs"].items() if run["classifier_free_scale"] > 1 and "c" not in run
    )
    records, _, evaluator = v1_result(case, network, name)
    assert evaluator.forwards == len(records)
    assert evaluator.rows == 2 * len(records) * records[0].tokens.shape[0]


def v3_denoiser(case, network, run: dict, steps: int) -> Denoiser:
    given = case.inputs
    cond = Leaf(network, {name: given[name] for name in ("byt5", "clip", "clip_image")})
    null = Leaf(network, {"byt5": given["byt5_null"], "clip": given["clip_null"]})
    if run["fn"] == "src":
        return guidance.classifier_free(cond, null, run["cfg"]) if run["cfg"] else cond
    guided = run["sampling_conditional_steps"]
    end = 1.0 if guided == "steps" else guided / steps
    return guidance.classifier_free(cond, null, run["cfg"][0], end=end, final_scale=run["cfg"][1])


def test_every_golden_run_of_v3(v3) -> None:
    case, network = v3
    assert case.config["runs"]
    for name, changes in case.config["runs"].items():
        run = {**case.config["defaults"][changes["fn"]], **changes}
        renoised = run["renoise_steps"]
        steps = renoising.linear_steps(
            run["steps"],
            noisiest=run["t_start"],
            cleanest=run["t_end"],
            temperature=tuple(run["temperature"]),
            renoise_steps=None if renoised == "steps-1" else renoised,
        )
        noise = case.inputs["x_noise"].long()
        records: list[TokenRecord] = []
        result = renoising.sample_renoising(
            v3_denoiser(case, network, run, run["steps"]),
            steps,
            case.inputs[run["init_x"]].long() if run.get("init_x") else noise,
            noise_of(case, 0.0),
            source=noise,
            on_step=records.append,
        )
        compare(case, name, records, result)


def test_known_tokens_stay_and_items_do_not_depend_on_their_batch(v1) -> None:
    case, network = v1
    rows, columns = case.config["size"]
    codes = network.spec.codes
    noise = SeededTokenNoise((7, 8))
    generate = torch.zeros(rows, columns, dtype=torch.bool)
    generate[:, : columns // 2] = True
    known = torch.arange(rows * columns).view(1, rows, columns) % codes
    start = renoising.paste(noise.start((rows, columns), codes), known, generate)
    leaf = Leaf(network, {"clip": case.inputs["cond"][:1]})
    steps = renoising.cosine_steps(3)
    both = renoising.sample_renoising(leaf, steps, start, noise, generate=generate)
    assert torch.equal(both[:, ~generate], known.expand_as(both)[:, ~generate])
    single = SeededTokenNoise((8,), first_item=1)
    assert torch.equal(renoising.sample_renoising(leaf, steps, start[1:], single, generate=generate), both[1:])


@pytest.mark.parametrize("renoise", ["start", "previous", "fresh"])
def test_a_resumed_run_is_the_whole_run(v1, renoise: str) -> None:
    case, network = v1
    noise = SeededTokenNoise((3,))
    start = noise.start(case.config["size"], network.spec.codes)
    steps = renoising.cosine_steps(4)
    cond = Leaf(network, {"clip": case.inputs["cond"][:1]})
    null = Leaf(network, network.null())

    def run(scale: float, end: float, trajectory=None, keep=None) -> tuple[torch.Tensor, int]:
        evaluator = Evaluator()
        guided = guidance.classifier_free(cond, null, scale, end=end)
        settings = {"renoise": renoise, "keep": keep, "store_every": 1, "evaluator": evaluator}
        result = renoising.sample_renoising(guided, steps, start, noise, trajectory=trajectory, **settings)
        return result, evaluator.forwards

    stored = MemoryTrajectory()
    whole, count = run(3.0, 1.0, stored)
    assert count == 4
    again, count = run(3.0, 1.0, stored)
    assert count == 0 and torch.equal(again, whole)
    # Another guidance from the third step on shares the first two.
    changed, count = run(3.0, 0.5, stored)
    assert count == 2 and torch.equal(changed, run(3.0, 0.5)[0])
    filtered, count = run(3.0, 1.0, stored, tokens.typical(0.5))
    assert count == 4 and torch.equal(filtered, run(3.0, 1.0, None, tokens.typical(0.5))[0])


def test_steps_of_any_length() -> None:
    for total in (1, 2, 5):
        steps = renoising.cosine_steps(total)
        assert [step.share for step in steps] == sorted((step.share for step in steps), reverse=True)
        assert steps[-1].share == 0 and steps[0].timestep == 0
    linear = renoising.linear_steps(4, noisiest=0.8)
    assert [round(step.timestep, 4) for step in linear] == [0.8, 0.6, 0.4, 0.2]
    assert linear[0].share == linear[1].timestep


def test_errors(v1) -> None:
    case, network = v1
    noise, start = SeededTokenNoise((0,)), case.inputs["x_noise"][:1].long()
    leaf = Leaf(network, {"clip": case.inputs["cond"][:1]})
    with pytest.raises(GlidewireError, match=r"1 step or more.*got 3 steps, noise after 4"):
        renoising.cosine_steps(3, renoise_steps=4)
    with pytest.raises(GlidewireError, match="got 0 steps"):
        renoising.cosine_steps(0)
    with pytest.raises(GlidewireError, match="impossible start; expected 0 to 3; got 4"):
        renoising.cosine_steps(3, start=4)
    with pytest.raises(GlidewireError, match="impossible times"):
        renoising.linear_steps(3, noisiest=1.5)
    with pytest.raises(GlidewireError, match="unknown renoise"):
        renoising.sample_renoising(leaf, renoising.cosine_steps(1), start, noise, renoise="none")
    with pytest.raises(GlidewireError, match="the mask do not fit the token grid"):
        renoising.paste(start, start, torch.ones(3, 3, dtype=torch.bool))
    with pytest.raises(GlidewireError, match="mask of truth values"):
        renoising.paste(start, start, torch.ones(3, 3))
    with pytest.raises(GlidewireError, match="known_region: scores of tokens imply neither"):
        guidance.known_region(leaf, start.float(), start.float())
    with pytest.raises(GlidewireError, match="gradient_guidance: scores of tokens imply neither"):
        guidance.gradient_guidance(leaf, Gradient(), 1.0)
    # What is made by hand is refused by the sampler.
    clean = Combination(lambda inputs, x_t, step: inputs["a"].to("x_0", x_t, step), {"a": leaf}, "clean")
    with pytest.raises(GlidewireError, match="Prediction: scores of tokens imply neither"):
        renoising.sample_renoising(clean, renoising.cosine_steps(1), start, noise)
    guided = Combination(
        lambda inputs, x_t, step: replace(inputs["a"], mean_shift=inputs["a"].value), {"a": leaf}, "shifted"
    )
    with pytest.raises(GlidewireError, match=r"cannot use this denoiser.*got guidance by a gradient"):
        renoising.sample_renoising(guided, renoising.cosine_steps(1), start, noise)


class Gradient:
    """A gradient where there can be none."""

    def digest(self) -> str:
        return "gradient"

    def __call__(self, x_t: torch.Tensor, step: object) -> torch.Tensor:
        return torch.ones_like(x_t)


def test_scores_that_are_no_numbers_are_named() -> None:
    class Broken:
        prediction, learned_variance = "logits", False
        digest = staticmethod(lambda: "broken")
        prepare = staticmethod(lambda conditioning: conditioning)

        def __call__(self, x_t, timesteps, conditioning):
            return torch.full((x_t.shape[0], 5, *x_t.shape[1:]), torch.nan)

    start = torch.zeros(1, 2, 2).long()
    with pytest.raises(GlidewireError, match=r"step 0 of 2: the scores of tokens are not numbers; got 20 of 20"):
        renoising.sample_renoising(Leaf(Broken()), renoising.cosine_steps(2), start, SeededTokenNoise((0,)))
