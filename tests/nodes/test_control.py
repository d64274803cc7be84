"""Control networks as nodes: strengths, steps, example pairs, the six tasks, and what does not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from checked import problems
from glidewire.diffusion.evaluator import Evaluator, evaluate
from glidewire.diffusion.prediction import Step
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.graph_runtime.graph import NodeCall, Wire
from glidewire.models.controlnet.model import TASKS, looks_like_target
from glidewire.nodes import control as nodes
from glidewire.nodes.guidance import classifier_free_guidance
from glidewire.nodes.inpainting import to_pixels
from glidewire.nodes.scene_world import render_scene, scene_map
from glidewire.nodes.sockets import Image


def value(materials: Any, denoiser: Any, index: int = 1) -> torch.Tensor:
    return evaluate(denoiser, materials.latents().tensor, Step.of(materials.schedule, index)).value


def test_strength_0_is_the_denoiser_and_guidance_takes_one_forward(materials: Any) -> None:
    hint, control = materials.picture(1, 64, 64), materials.control()
    pair = materials.latent_denoiser(), materials.latent_denoiser("")
    assert nodes.apply_control_net(pair[0], control, hint, strength=0.0) is pair[0]
    guided = nodes.apply_control_net(classifier_free_guidance(*pair, 3.0), control, hint)
    each = [nodes.apply_control_net(leaf, control, hint) for leaf in pair]
    evaluator = Evaluator()
    found = evaluator(guided, materials.latents().tensor, Step.of(materials.schedule, 1)).value
    assert evaluator.forwards == 1
    assert torch.equal(found, value(materials, classifier_free_guidance(*each, 3.0)))
    assert not torch.allclose(found, value(materials, classifier_free_guidance(*pair, 3.0)), atol=1e-3)


def test_control_acts_in_its_part_of_the_steps(materials: Any) -> None:
    denoiser = materials.latent_denoiser()
    early = nodes.apply_control_net(denoiser, materials.control(), materials.picture(1, 64, 64), end=0.5)
    always = nodes.apply_control_net(denoiser, materials.control(), materials.picture(1, 64, 64))
    assert torch.equal(value(materials, early, 1), value(materials, always, 1))
    assert torch.equal(value(materials, early, 2), value(materials, denoiser, 2))


def test_strengths_are_given_by_residual(materials: Any) -> None:
    control = materials.control()
    count = control.spec.residual_count
    assert control.strengths(0.5) == (0.5,) * count
    assert control.strengths(2.0, ", ".join(["0.25"] * count)) == (0.5,) * count
    guessed = control.strengths(1.0, "guess")
    assert guessed[-1] == 1 and list(guessed) == sorted(guessed)
    for call, message in (
        (lambda: control.strengths(3.0), r"a strength is out of range; expected -2 to 2; got 3"),
        (lambda: control.strengths(float("nan")), "a strength is out of range"),
        (lambda: control.strengths(1.0, "1, 2"), f"not as many as residuals; expected {count} numbers; got 2"),
        (lambda: control.strengths(1.0, "one"), "strengths cannot be read; expected numbers, or guess; got 'one'"),
    ):
        with pytest.raises(GlidewireError, match=message):
            call()


def test_an_example_pair_and_a_query_control_too(materials: Any) -> None:
    denoiser, control = materials.latent_denoiser(), materials.control(3)
    source, target, query = (materials.picture(1, 64, 64, seed) for seed in (1, 2, 3))
    right = value(materials, nodes.apply_prompt_diffusion(denoiser, control, source, target, query))
    for other in ((target, source, query), (source, target, source)):
        assert not torch.allclose(
            value(materials, nodes.apply_prompt_diffusion(denoiser, control, *other)), right, atol=1e-4
        )
    one_of_two = nodes.apply_prompt_diffusion(denoiser, control, source, target, torch.cat([query, source]))
    assert one_of_two.conditioning["control.example_pair"].shape == (2, 6, 64, 64)
    assert float(one_of_two.conditioning["control.query"].min()) < 0


def test_a_query_of_the_targets_kind_is_warned_of(materials: Any) -> None:
    said: list[str] = []
    photograph, other = materials.picture(1, 64, 64), materials.picture(1, 64, 64, 7)
    edges = torch.zeros(1, 64, 64, 3)
    edges[:, 16:18], edges[:, :, 40:42] = 1, 1
    drawn = edges.roll(9, 1)
    context = Context(on_warning=said.append)
    for query, warned in ((drawn, False), (other, True)):
        said.clear()
        nodes.apply_prompt_diffusion(
            materials.latent_denoiser(), materials.control(3), edges, photograph, query, context=context
        )
        assert bool(said) == warned
    assert "Exchange source and target, or take another query." in said[0]


@pytest.mark.parametrize("kind", ["edges", "segmentation"])
def test_most_queries_on_the_wrong_side_are_noticed_and_few_on_the_right(kind: str) -> None:
    pictures = [to_pixels(render_scene(seed, 32).image) for seed in range(33)]
    maps = [to_pixels(scene_map(Image((picture.movedim(1, -1) + 1) / 2), kind)) for picture in pictures]
    others = [(index, index + 1) for index in range(32)]
    noticed = sum(looks_like_target(pictures[one], maps[one], maps[two]) for one, two in others)
    mistaken = sum(looks_like_target(pictures[one], maps[one], pictures[two]) for one, two in others)
    assert noticed >= 24 and mistaken <= 4
    # The other way round, of maps pictures: those differ so much from one another that fewer are noticed.
    noticed = sum(looks_like_target(maps[one], pictures[one], pictures[two]) for one, two in others)
    mistaken = sum(looks_like_target(maps[one], pictures[one], maps[two]) for one, two in others)
    assert noticed > mistaken == 0


def test_the_six_tasks_have_their_texts() -> None:
    assert len(TASKS) == 6
    assert nodes.prompt_diffusion_task("image to edges", "a cat") == "hed map"
    assert nodes.prompt_diffusion_task("depth to image", "a cat") == "a cat"


def test_what_does_not_fit_is_told(materials: Any) -> None:
    denoiser, hint = materials.latent_denoiser(), materials.picture(1, 64, 64)
    with pytest.raises(GlidewireError, match="is Prompt Diffusion; expected example_pair and query; got hint"):
        nodes.apply_control_net(denoiser, materials.control(3), hint)
    with pytest.raises(GlidewireError, match="is a ControlNet; expected hint; got example_pair and query"):
        nodes.apply_prompt_diffusion(denoiser, materials.control(), hint, hint, hint)
    with pytest.raises(GlidewireError, match="needs a denoiser with a context; expected a text-conditional"):
        nodes.apply_control_net(materials.denoiser(), materials.control(), hint)
    small = nodes.apply_control_net(denoiser, materials.control(), materials.picture(1, 32, 32))
    with pytest.raises(GlidewireError, match=r"do not fit the control network.*A hint's sides are 8 times"):
        value(materials, small)


def test_a_control_network_of_another_denoiser_is_refused_before_any_weight_is_read(materials: Any) -> None:
    def told(checkpoint: str, query: int = 0) -> list[str]:
        calls = (
            NodeCall("m", "GlidewireLoadLatentDenoiser", {"checkpoint": checkpoint}, "Load"),
            NodeCall("d", "GlidewireLatentDenoiser", {"model": Wire("m", 0)}),
            NodeCall("c", "GlidewireLoadControlNetwork", {"checkpoint": materials.control_file(query)}, "Control"),
            NodeCall("i", "GlidewireLoadImage", {"file": materials.picture_file}),
            NodeCall(
                "a", "GlidewireApplyControlNet",
                {"denoiser": Wire("d", 0), "control": Wire("c", 0), "hint": Wire("i", 0)}, "Apply",
            ),
        )  # fmt: skip
        return [str(problem) for problem in problems(materials, *calls) if problem.node == "a"]

    assert told(materials.latent_file()) == []
    other = materials.latent_file(context_width=16)
    (problem,) = told(other)
    assert problem.startswith("node a (Apply), input control: output control_network of node c (Control) does not fit")
    assert f"node m (Load) states context_width 16 ({other})" in problem
    assert f"node c (Control) states context_width 8 ({materials.control_file()})" in problem
    (problem,) = told(materials.latent_file(), query=3)
    assert "axis 2 (query) is 3 there and 0 here" in problem


def test_a_file_that_is_half_of_the_published_model_is_remarked(materials: Any) -> None:
    said: list[str] = []
    context = Context(folders=materials.context.folders, on_warning=said.append)
    assert nodes.load_control_network(materials.control_file(3), context=context).spec.query_channels == 3
    assert said and "Prompt Diffusion trained its denoiser's decoder too" in said[0]
