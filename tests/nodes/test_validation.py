"""What check tells of the values in a workflow: each of these was told by the run alone once."""

from __future__ import annotations

from pathlib import Path

import pytest
from glidewire import nodes as package
from glidewire.graph_runtime import formats
from glidewire.graph_runtime.check import check
from glidewire.graph_runtime.folders import Folders
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.registry import Registry, collect

ROOT = Path(package.__file__).parents[1]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return collect(package.__name__)


@pytest.fixture(scope="module")
def picture(registry: Registry) -> Graph:
    return formats.examine(ROOT / "workflows" / "text-to-image.json", registry, which="prompt").graph


def told(graph: Graph, registry: Registry) -> list[tuple[str, str | None, str]]:
    report = check(graph, registry, Folders(models=(ROOT / "weights",)))
    return [(one.title, one.input, one.message) for one in report.problems]


def changed(graph: Graph, title: str, **inputs: object) -> Graph:
    (node,) = [call.id for call in graph.calls.values() if call.title == title]
    return graph.with_inputs(node, **inputs)


REFUSED = [
    ("Steps", {"spacing": "100,x"}, "spacing", "Respacing '100,x': impossible"),
    ("Steps", {"spacing": ",,"}, "spacing", "Respacing ',,': impossible"),
    ("Steps", {"spacing": "1001"}, "spacing", "Respacing '1001': impossible"),
    ("Guidance", {"start": 0.9, "end": 0.1}, None, "guidance: impossible interval of steps"),
    ("Noise", {"width": 13}, None, "the sides do not fit the network"),
    ("Save", {"prefix": "../x"}, "prefix", "'../x_00001.png' leads outside the output folder"),
    ("Save", {"prefix": "/etc/x"}, "prefix", "'/etc/x_00001.png' leads outside the output folder"),
]


@pytest.mark.parametrize(("title", "inputs", "name", "message"), REFUSED, ids=[str(case[1]) for case in REFUSED])
def test_a_value_that_cannot_run_is_told_before(
    picture: Graph, registry: Registry, title: str, inputs: dict[str, object], name: str | None, message: str
) -> None:
    assert told(picture, registry) == []
    ((at, blamed, said),) = told(changed(picture, title, **inputs), registry)
    at = "Noise" if at == "Sampler" else at  # who meets the network knows it, not who made the size
    assert (at, blamed, said) == (title, name, message)


GUIDANCES = [
    ("GlidewireDynamicThreshold", {"maximum": 0.5}, "maximum", "dynamic_threshold: impossible maximum"),
    ("GlidewireDynamicThreshold", {"percentile": 1.5}, "percentile", "the number is out of range"),
    ("GlidewireStaticThreshold", {"bound": -1.0}, "bound", "the number is out of range"),
    ("GlidewireAnnealedCondition", {"clean_until": 0.9, "noise_from": 0.5}, None, "clean before it is noise"),
    ("GlidewireNoiseLevelInterval", {"low": 3.0, "high": 2.0}, None, "noise_interval: impossible interval"),
    ("GlidewireClassifierGuidance", {"classes": "one"}, None, "classifier guidance: impossible class"),
    ("GlidewireClassifierGuidance", {"classes": "one\ntwo", "label": 2}, None, "classifier guidance: impossible class"),
    ("GlidewireRescaleGuidance", {"fraction": 1.2}, "fraction", "the number is out of range"),
    ("GlidewireClassifierFreeGuidance", {"scale": 31.0}, "scale", "the number is out of range"),
    ("GlidewireAdaptiveProjectedGuidance", {"momentum": 1.0}, "momentum", "the number is out of range"),
    ("GlidewireZeroStarGuidance", {"zero_steps": -1}, "zero_steps", "the number is out of range"),
    ("GlidewireSelfAttentionGuidance", {"sigma": 0.0}, "sigma", "the number is out of range"),
]


@pytest.mark.parametrize(("kind", "inputs", "name", "message"), GUIDANCES, ids=[str(case[1]) for case in GUIDANCES])
def test_a_guidance_that_cannot_be_is_told_before(
    registry: Registry, kind: str, inputs: dict[str, object], name: str | None, message: str
) -> None:
    report = check(Graph([NodeCall("1", kind, inputs)]), registry, Folders())
    (problem,) = [one for one in report.problems if one.kind in ("bad_value", "out_of_range")]
    assert problem.node == "1" and problem.input == name
    assert message in problem.message and problem.expected and problem.got


def test_every_interval_of_steps_is_validated(registry: Registry) -> None:
    """Whatever acts from a start to an end tells a start after the end before anything runs."""
    acting = [
        one for one in registry if {"start", "end"} <= {given.id for given in one.inputs if given.is_literal}
    ]  # fmt: skip
    assert len(acting) > 25
    for declaration in acting:
        wrong = Graph([NodeCall("1", declaration.id, {"start": 0.7, "end": 0.2})])
        messages = [problem.message for problem in check(wrong, registry, Folders()).problems]
        assert any("impossible interval of steps" in message for message in messages), declaration.id


def test_guidance_of_two_spaces_is_told_with_both(picture: Graph, registry: Registry) -> None:
    (guided,) = [call.id for call in picture.calls.values() if call.title == "Guidance"]
    latent = [
        NodeCall("90", "GlidewireLoadLatentDenoiser", {"checkpoint": "mini-ldm.safetensors"}, "Latents"),
        NodeCall("91", "GlidewireLatentDenoiser", {"model": Wire("90", 0)}, "Of latents"),
    ]
    graph = Graph([*picture.calls.values(), *latent]).with_inputs(guided, unconditional=Wire("91", 0))
    report = check(graph, registry, Folders(models=(ROOT / "weights",)))
    (problem,) = [one for one in report.problems if one.node == guided]
    assert problem.input == "unconditional"
    text = f"{problem.message} {problem.expected} {problem.got}"
    assert "pixels" in text and "mini-kl" in text


EDITS = [
    ("GlidewireEditHSpace", {"strength": 11.0}, "strength", "the number is out of range"),
    ("GlidewireEditHSpace", {"t_edit": -1}, "t_edit", "the number is out of range"),
    ("GlidewireAddHDirections", {"second_scale": -11.0}, "second_scale", "the number is out of range"),
    ("GlidewireBoostedSampler", {"t_boost": 1001}, "t_boost", "the number is out of range"),
    ("GlidewireEditTimesteps", {"predicted": "500", "noised": "1 1"}, "predicted", "a table of distances cannot be"),
    ("GlidewireEditTimesteps", {"predicted": "1 1", "noised": "a b"}, "noised", "a table of distances cannot be read"),
    ("GlidewireApplyControlNet", {"strength": 2.5}, "strength", "the number is out of range"),
    ("GlidewireApplyControlNet", {"by_residual": "1, x"}, "by_residual", "strengths cannot be read"),
    ("GlidewireApplyPromptDiffusion", {"by_residual": "1, -3"}, "by_residual", "a strength is out of range"),
    ("GlidewireApplyPromptDiffusion", {"start": 0.7, "end": 0.2}, None, "impossible interval of steps"),
    ("GlidewirePromptDiffusionTask", {"task": "sketch to image"}, "task", "the value is not one of the options"),
    ("GlidewireImagenUpsamplerDenoiser", {"level": 1.0}, "level", "the number is out of range"),
]


@pytest.mark.parametrize(("node", "inputs", "name", "message"), EDITS, ids=[f"{case[0]} {case[1]}" for case in EDITS])
def test_an_edit_that_cannot_be_is_told_before(
    registry: Registry, node: str, inputs: dict[str, object], name: str | None, message: str
) -> None:
    found = check(Graph([NodeCall("1", node, inputs)]), registry, Folders()).problems
    told = [one for one in found if one.kind not in ("missing_input", "no_effect")]
    assert [(one.input, message in one.message) for one in told] == [(name, True)], told


def test_a_whole_number_over_a_wire_counts_as_if_it_was_written(picture: Graph, registry: Registry) -> None:
    def wired(width: int) -> Graph:
        number = NodeCall("90", "GlidewireInteger", {"value": width}, "Width")
        return Graph([*changed(picture, "Noise", width=Wire("90", 0)).calls.values(), number])

    (noise,) = [call.id for call in picture.calls.values() if call.title == "Noise"]
    report = check(wired(40), registry, Folders(models=(ROOT / "weights",)))
    assert not report.problems and report.dims[noise, 0] == "4 3 32 40 @space=pixels"
    ((title, name, message),) = told(wired(5000), registry)
    assert (title, name) == ("Noise", "width") and message.endswith("it comes from node 90 (Width)")


def test_a_file_of_another_family_is_named_with_the_nodes_that_take_it(registry: Registry) -> None:
    wrong = NodeCall("1", "GlidewireLoadLatentDenoiser", {"checkpoint": "mini-glide-base.safetensors"})
    report = check(Graph([wrong]), registry, Folders(models=(ROOT / "weights",)))
    (problem,) = [one for one in report.problems if one.kind == "bad_file"]
    assert "holds glide text_to_image" in problem.message
    assert problem.hint is not None and problem.hint.endswith("It can be loaded with: Load GLIDE.")
