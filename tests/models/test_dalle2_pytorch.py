"""LAION's diffusion prior: network, sampler and reranking against the published implementation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.diffusion import guidance
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.evaluator import Evaluator
from glidewire.diffusion.noise import FixedNoise
from glidewire.diffusion.prediction import Prediction, Step
from glidewire.diffusion.reranking import best_by_similarity
from glidewire.diffusion.schedules import SCHEDULES, NoiseSchedule
from glidewire.diffusion.solvers import ancestral_step
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import StrictLoadError, identify, load
from glidewire.models.dalle2_pytorch import network as prior_network
from glidewire.models.dalle2_pytorch.network import DiffusionPrior
from glidewire.models.dalle2_pytorch.sampling import published_sampler, published_times, sample_embedding
from glidewire.models.dalle2_pytorch.spec import DiffusionPriorSpec

OPTIONS = ("image_embed_scale", "beta_schedule", "predict_x_start")


def load_case(case: Any, folder: Path) -> DiffusionPrior:
    """As the prior was published: a training state with the averaged weights among others."""
    raw = {key: torch.zeros_like(value) for key, value in case.weights.items()}
    state = {
        "model": raw,
        "ema_model": case.weights,
        "optimizer": {"state": {}},
        "step": torch.tensor(7),
        "version": "1",
    }
    torch.save(state, folder / "latest.pth")
    model = load(folder / "latest.pth", stated={name: case.config[name] for name in OPTIONS})
    assert isinstance(model, DiffusionPrior)
    return model


@pytest.fixture(scope="module")
def case(parity):
    return parity("dalle2_prior")


@pytest.fixture(scope="module")
def model(case, tmp_path_factory) -> DiffusionPrior:
    return load_case(case, tmp_path_factory.mktemp("prior"))


@pytest.fixture(scope="module")
def full(model) -> NoiseSchedule:
    return SCHEDULES[model.spec.schedule](model.spec.timesteps)


def predicted(model: DiffusionPrior, case: Any, conditioning: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(case.inputs["x"], case.inputs["timesteps"], conditioning)


def leaves(model: DiffusionPrior, inputs: dict[str, torch.Tensor]) -> tuple[Leaf, Leaf]:
    given = inputs["text_embed"], inputs["text_encodings"]
    return Leaf(model, model.conditioning(*given)), Leaf(model, model.conditioning(*given, dropped=True))


def test_output_equals_the_published_implementation(case, model) -> None:
    inputs = case.inputs
    text = inputs["text_embed"]
    whole = model.conditioning(text, inputs["text_encodings"])
    case.assert_close("rel_pos_bias", unmasked_bias(model, case.outputs["rel_pos_bias"].shape[1]))
    case.assert_close("pred", predicted(model, case, whole))
    short = model.conditioning(text, inputs["text_encodings_short"])
    case.assert_close("pred_short", predicted(model, case, short))
    case.assert_close("pred_no_encodings", predicted(model, case, model.conditioning(text)))
    dropped = model.conditioning(text, inputs["text_encodings"], dropped=True)
    case.assert_close("pred_dropped", predicted(model, case, dropped))
    only_text = {**dropped, "image_dropped": whole["image_dropped"]}
    case.assert_close("pred_text_dropped", predicted(model, case, only_text))


def unmasked_bias(model: DiffusionPrior, positions: int) -> torch.Tensor:
    buckets = prior_network.relative_buckets(positions, model.spec.relative_buckets)
    return model.relative_bias(buckets).permute(2, 0, 1)


@pytest.mark.parametrize("name", ["plain", "cfg", "clamp"])
def test_sampling_equals_the_golden_run(name: str, case, model, full) -> None:
    run, steps, inputs = case.config["runs"][name], case.config["ddim_steps"], case.inputs
    assert list(published_times(len(full), steps)) == case.outputs["sample_times"].tolist()
    embedding = sample_embedding(
        guidance.classifier_free(*leaves(model, inputs), run["cond_scale"]),
        full,
        inputs[f"{name}/x_T"],
        FixedNoise([*inputs[f"{name}/noise"]]),
        model.spec.length,
        steps=steps,
        fixed_length=run.get("sampling_clamp_l2norm", False),
        final_length=run.get("sampling_final_clamp_l2norm", False),
        start_length=run.get("init_image_embed_l2norm", False),
    )
    case.assert_close(f"{name}/image_embed", embedding)


def test_guidance_replaces_text_and_picture(case, model, full) -> None:
    step = Step.of(full, 0)
    timesteps = case.inputs["timesteps"]
    values = []
    for leaf in leaves(model, case.inputs):
        values.append(Prediction(model(case.inputs["x"], timesteps, leaf.conditioning), "x_0"))
    # One combination with the runs' scale that is not 1.
    scale = max(run["cond_scale"] for run in case.config["runs"].values())
    combined = guidance.classifier_free(*leaves(model, case.inputs), scale)
    guided = combined.combine(dict(zip(combined.inputs, values, strict=True)), case.inputs["x"], step)
    case.assert_close("pred_cond_scale", guided.value)


def test_one_ancestral_step_equals_the_published_one(case, model, full) -> None:
    inputs, found = case.inputs, []
    whole = model.conditioning(inputs["text_embed"], inputs["text_encodings"])
    x_0, noise = predicted(model, case, whole), inputs["plain/noise"][0]
    for row, timestep in enumerate(inputs["timesteps"].tolist()):
        step = Step.of(full, len(full) - 1 - timestep)
        x_next, _ = ancestral_step(
            inputs["x"][row : row + 1], Prediction(x_0[row : row + 1], "x_0"), step, noise[row : row + 1], clip=False
        )
        found.append(x_next)
    case.assert_close("ddpm_step", torch.cat(found))


def test_the_better_of_two_is_kept(case) -> None:
    index, similarities = best_by_similarity(case.inputs["rerank_candidates"], case.inputs["text_embed"][:1])
    case.assert_close("rerank_index", index)
    case.assert_close("rerank_sims", similarities)


def half_rotary(monkeypatch) -> None:
    right = prior_network.rotated
    monkeypatch.setattr(prior_network, "rotated", lambda h, frequencies: right(h, frequencies[::2]))


def gate_first(monkeypatch) -> None:
    right = prior_network.F.silu
    monkeypatch.setattr(
        prior_network.FeedForward,
        "forward",
        lambda self, h: self.to_out(
            self.norm_inside(right((both := self.to_value_gate(self.norm(h)).chunk(2, dim=-1))[0]) * both[1])
        ),
    )


@pytest.mark.parametrize("mistake", [half_rotary, gate_first])
def test_mistakes_in_the_network_would_be_caught(mistake, case, model, monkeypatch) -> None:
    if mistake is half_rotary and not model.spec.rotary_channels:
        pytest.skip("this case has no rotary embedding")
    mistake(monkeypatch)
    whole = model.conditioning(case.inputs["text_embed"], case.inputs["text_encodings"])
    with pytest.raises(AssertionError, match="pred: error"):
        case.assert_close("pred", predicted(model, case, whole))


def test_swapped_keys_would_be_caught(case, tmp_path: Path) -> None:
    weights = dict(case.weights)
    block = "net.causal_transformer.layers.0."
    weights[f"{block}0.norm.g"], weights[f"{block}1.0.g"] = weights[f"{block}1.0.g"], weights[f"{block}0.norm.g"]
    torch.save(weights, tmp_path / "m.pt")
    swapped = load(tmp_path / "m.pt")
    whole = swapped.conditioning(case.inputs["text_embed"], case.inputs["text_encodings"])
    with pytest.raises(AssertionError, match="pred: error"):
        case.assert_close("pred", predicted(swapped, case, whole))


def test_the_unshifted_schedule_would_be_caught(case, model, full) -> None:
    name = next(iter(case.config["runs"]))
    shifted = NoiseSchedule(full.timesteps, full.alpha_bar)
    object.__setattr__(shifted, "alpha_bar_previous", full.alpha_bar)
    result = sample_embedding(
        leaves(model, case.inputs)[0],
        shifted,
        case.inputs[f"{name}/x_T"],
        FixedNoise([*case.inputs[f"{name}/noise"]]),
        model.spec.length,
        steps=case.config["ddim_steps"],
    )
    with pytest.raises(AssertionError, match="image_embed: error"):
        case.assert_close(f"{name}/image_embed", result)


def test_what_the_file_tells(case, model, tmp_path: Path) -> None:
    net = case.config["net"]
    torch.save(case.weights, tmp_path / "m.pt")
    identity = identify(tmp_path / "m.pt")
    spec = identity.spec
    assert (identity.family, identity.component) == ("dalle2_pytorch", "prior")
    assert (spec.width, spec.layers, spec.heads) == (net["dim"], net["depth"], net["heads"])
    assert (spec.head_channels, spec.text_positions) == (net["dim_head"], net["max_text_len"])
    assert spec.norm_inside == net["normformer"] and spec.final_projection == net["final_proj"]
    assert spec.schedule == model.spec.schedule and "schedule" not in identity.assumed
    assert spec.length == pytest.approx(case.config["image_embed_scale"])
    with pytest.raises(GlidewireError, match="contradicts the stated schedule"):
        identify(tmp_path / "m.pt", stated={"beta_schedule": "linear"})
    with pytest.raises(GlidewireError, match="unknown field 'depth'"):
        identify(tmp_path / "m.pt", stated={"depth": 3})


def test_files_that_cannot_be_used_are_told(case, tmp_path: Path) -> None:
    for steps in (len(case.weights["noise_scheduler.betas"]), 3, 0):
        weights = {**case.weights, "noise_scheduler.alphas_cumprod": torch.linspace(0.9, 0.1, steps)}
        torch.save(weights, tmp_path / "m.pt")
        with pytest.raises(GlidewireError, match="unknown noise schedule; expected one of squaredcos"):
            identify(tmp_path / "m.pt")
    weights = dict(case.weights)
    rows, width = weights["net.to_time_embeds.0.weight"].shape
    weights["net.to_time_embeds.0.weight"] = torch.zeros(rows, 2 * width)
    torch.save(weights, tmp_path / "m.pt")
    with pytest.raises(GlidewireError, match=r"of a kind that was never published; .* got 2 of time"):
        identify(tmp_path / "m.pt")
    weights = {key: value for key, value in case.weights.items() if key != "net.null_image_embed"}
    weights |= {"clip.logit_scale": torch.zeros(1), "net.extra": torch.zeros(1)}
    torch.save(weights, tmp_path / "m.pt")
    with pytest.raises(StrictLoadError) as error:
        load(tmp_path / "m.pt")
    assert (error.value.missing, error.value.unexpected) == (("net.null_image_embed",), ("net.extra",))


def test_inputs_that_do_not_fit_are_told(model, full) -> None:
    width = model.spec.width
    with pytest.raises(GlidewireError, match="x_t does not fit the model; expected batch x"):
        model(torch.zeros(1, width + 1), torch.zeros(1, dtype=torch.long), model.conditioning(torch.zeros(1, width)))
    with pytest.raises(GlidewireError, match="the text does not fit the model; expected an embedding batch x"):
        model.conditioning(torch.zeros(1, width), torch.zeros(1, model.spec.text_positions + 1, width))
    for steps in (1, len(full) + 2000):
        with pytest.raises(GlidewireError, match="impossible number of steps; expected 2 to"):
            published_times(len(full), steps)
    with pytest.raises(GlidewireError, match="impossible eta; expected 0 to 1; got 2"):
        published_sampler(full, 8, eta=2)
    for change in ({"rotary_channels": 3}, {"layers": 0}, {"schedule": "sine"}, {"scale": -1.0}):
        with pytest.raises(GlidewireError, match=f"{next(iter(change))} does not fit"):
            replace(DiffusionPriorSpec(), **change)


def test_the_future_changes_nothing_before_it(model) -> None:
    """Causality: tokens ahead of the time are the same whatever comes after them."""
    positions = model.spec.text_positions + 4
    mask = model.attention_bias(positions)[0]
    assert mask.isinf().sum() == positions * (positions - 1) // 2
    assert not mask[:, 0].isinf().any()


def test_both_branches_share_one_forward(case, model, full) -> None:
    schedule, solver = published_sampler(full, case.config["ddim_steps"], eta=0)
    assert not solver.stochastic and len(schedule) == case.config["ddim_steps"] - 1
    evaluator = Evaluator()
    evaluator(guidance.classifier_free(*leaves(model, case.inputs), 2.0), case.inputs["x"], Step.of(schedule, 0))
    assert evaluator.forwards == 1
