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
