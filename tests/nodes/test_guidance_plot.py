"""The plot of a guidance: its numbers, the guidance that is meant, and what does not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from glidewire.diffusion import guidance
from glidewire.diffusion.guidance import geometry
from glidewire.diffusion.prediction import Prediction, Step
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.nodes import paella
from glidewire.nodes.guidance_plot import plot_guidance, plot_token_guidance

QUIET = Context()


def test_lengths_and_angles_are_those_of_the_vectors(materials: Any) -> None:
    step, x_t = Step.of(materials.schedule, 1), torch.zeros(2, 1, 1, 2)

    def of(*numbers: float) -> Prediction:
        return Prediction(torch.tensor(numbers).expand(2, 1, 1, 2), "eps")

    inputs = {"c": of(3.0, 4.0), "u": of(3.0, 0.0)}
    found = geometry.lengths(inputs, of(0.0, 0.0), x_t, step)
    root = 2**0.5
    assert found == pytest.approx({"c": 5 / root, "u": 3 / root, "result": 0.0, "c - u": 4 / root})
    angles = geometry.angles(inputs, of(-4.0, 3.0), x_t, step)
    assert angles["u to c"] == pytest.approx(53.13, abs=0.01)
    assert angles["result to c"] == pytest.approx(90.0, abs=0.01)
    assert angles["c - u to c"] == pytest.approx(36.87, abs=0.01)
    assert geometry.angles(inputs, of(0.0, 0.0), x_t, step)["result to c"] == 0


def test_a_guidance_is_plotted_by_its_name(materials: Any) -> None:
    inner = guidance.classifier_free(materials.denoiser(), materials.denoiser(""), 3.0)
    outer = guidance.rescale(inner, materials.denoiser(), 0.7)
    walk = {"schedule": materials.schedule, "start": materials.start(2), "width": 240, "height": 160}
    whole, named = (plot_guidance(outer, **walk, of=of) for of in ("", "classifier_free"))
    assert whole.norms.shape == whole.angles.shape == (1, 160, 240, 3)
    assert not torch.equal(whole.norms, named.norms)
    assert torch.equal(named.norms, plot_guidance(outer, **walk, of="classifier_free").norms)
    with pytest.raises(GlidewireError, match="no guidance 'apg' in this denoiser; expected classifier_free or rescale"):
        plot_guidance(outer, **walk, of="apg")
    with pytest.raises(GlidewireError, match="nothing is combined in this denoiser; expected a guidance of two"):
        plot_guidance(materials.denoiser(), **walk)


def test_scores_are_measured_without_what_means_nothing(materials: Any) -> None:
    step, x_t = Step.of(materials.schedule, 1), torch.zeros(2, 1, 1)
    scores = torch.tensor([3.0, 4.0, 8.0])[None, :, None, None].expand(2, 3, 1, 1)
    inputs = {"c": Prediction(scores, "logits"), "u": Prediction(scores + 7, "logits")}
    found = geometry.lengths(inputs, inputs["c"], x_t, step)
    assert found == pytest.approx(
        {"c": 14**0.5 / 3**0.5, "u": 14**0.5 / 3**0.5, "result": 14**0.5 / 3**0.5, "c - u": 0}
    )
    assert geometry.angles(inputs, inputs["c"], x_t, step)["u to c"] == pytest.approx(0, abs=0.05)


def test_guidance_of_tokens_is_plotted_too(materials: Any) -> None:
    inner = guidance.classifier_free(materials.token_denoiser(), materials.token_denoiser(6), 3.0)
    outer = guidance.rescale(inner, materials.token_denoiser(), 0.7)
    start = paella.token_noise_start(outer, 4, 4, 2)
    walk = {"start": start, "steps": 3, "width": 240, "height": 160}
    whole, named = (plot_token_guidance(outer, **walk, of=of, context=QUIET) for of in ("", "classifier_free"))
    assert whole.norms.shape == whole.angles.shape == (1, 160, 240, 3)
    assert not torch.equal(whole.norms, named.norms)
    with pytest.raises(GlidewireError, match="no guidance 'apg' in this denoiser; expected classifier_free or rescale"):
        plot_token_guidance(outer, **walk, of="apg", context=QUIET)
    with pytest.raises(GlidewireError, match="nothing is combined in this denoiser"):
        plot_token_guidance(materials.token_denoiser(), **walk, context=QUIET)
    with pytest.raises(GlidewireError, match="this denoiser has no tokens"):
        plot_token_guidance(guidance.classifier_free(materials.denoiser(), materials.denoiser(""), 3.0), **walk)
