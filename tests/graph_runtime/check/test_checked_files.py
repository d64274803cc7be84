"""Files that checkpoints are read from while a graph is checked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from check_nodes import (
    REGISTRY,
    graph,
    keep,
    load_encoder,
    load_prior,
    problems,
    text,
)
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.check import check
from glidewire.graph_runtime.folders import Folders
from glidewire.graph_runtime.registry import Registry


def test_files_that_are_missing_or_cannot_be_read(checked, folders, tmp_path):
    report = checked(
        n1=("load_encoder", {"checkpoint": "vit-x.json"}),
        n2=("load_encoder", {"checkpoint": "../../etc/passwd"}),
        n3=("load_encoder", {"checkpoint": ""}),
        n4=("load_encoder", {"checkpoint": "broken.json"}),
        n5=("load_encoder", {}),
        k1=("keep", {"value": "n1.0"}),
    )
    place = f"a file inside {tmp_path}"
    assert problems(report) == [
        f"node n1 (load_encoder), input checkpoint: no file vit-x.json in the models folders; expected {place}; got "
        '"vit-x.json". Did you mean vit-l.json or vit-h.json or prior.json?',
        f"node n2 (load_encoder), input checkpoint: ../../etc/passwd lies outside the models "
        f"folders; expected {place}; "
        'got "../../etc/passwd". Move it there, or start with --models naming its folder.',
        "node n3 (load_encoder), input checkpoint: a file name is empty or holds a NUL; expected a file in models; "
        'got ""',
        "node n4 (load_encoder), input checkpoint: the header cannot be read: JSONDecodeError: Expecting property name "
        "enclosed in double quotes: line 1 column 2 (char 1); expected a file whose header states its sizes; "
        f"got {tmp_path / 'broken.json'}",
        "node n5 (load_encoder), input checkpoint: the input is required; expected a value or a wire of type STRING; "
        "got nothing",
    ]
    assert {problem.kind for problem in report.problems} == {"missing_file", "bad_file", "missing_input"}


def test_files_that_cannot_even_be_looked_up(checked, tmp_path):
    (tmp_path / "loop.json").symlink_to(tmp_path / "loop.json")
    report = checked(
        n1=("load_encoder", {"checkpoint": "loop.json"}),
        n2=("load_encoder", {"checkpoint": "x" * 5000}),
        k1=("keep", {"value": "n1.0"}),
    )
    assert [(problem.node, problem.kind, problem.input) for problem in report.problems] == [
        ("n1", "missing_file", "checkpoint"),
        ("n2", "missing_file", "checkpoint"),
    ]


def test_a_default_file_that_is_missing(folders):
    report = check(graph(n1=("load_prior", {}), k1=("keep", {"value": "n1.0"})), REGISTRY, Folders())
    assert problems(report) == [
        "node n1 (load_prior), input checkpoint: no file prior.json in the models folders; "
        'expected a file inside no folder at all; got "prior.json". '
        "Put it there, or start with --models naming its folder."
    ]


def test_an_error_of_ours_in_a_header_is_passed_on(folders):
    def refuse(checkpoint: Path) -> dict[str, int]:
        raise GlidewireError("no key text.width", expected="a prior", got=checkpoint.name, hint="Take another file.")

    declaration = dataclasses.replace(load_prior.declaration, static_dims=refuse)
    report = check(
        graph(n1=("load_prior", {}), k1=("keep", {"value": "n1.0"})), Registry([declaration, keep.declaration]), folders
    )
    assert problems(report) == [
        "node n1 (load_prior), input checkpoint: no key text.width; expected a prior; "
        "got prior.json. Take another file."
    ]


def test_a_header_is_asked_once_for_the_same_literals(folders):
    asked = []

    def count(checkpoint: Path, batch: int = 1) -> dict[str, int]:
        asked.append((checkpoint.name, batch))
        return {"width": 4}

    declaration = dataclasses.replace(load_encoder.declaration, static_dims=count)
    same, other = {"checkpoint": "vit-l.json"}, {"checkpoint": "vit-l.json", "batch": 2}
    wired = {"checkpoint": "vit-l.json", "batch": "n5.1"}
    unsure = {"checkpoint": "n6.0"}
    report = check(
        graph(
            n1=("load_encoder", same), n2=("load_encoder", same), n3=("load_encoder", other),
            n4=("load_encoder", wired), n5=("load_encoder", other), n6=("text", {}), n7=("load_encoder", unsure),
            k1=("keep", {"value": "n1.0"}),
        ),
        Registry([declaration, keep.declaration, text.declaration]),
        folders,
    )  # fmt: skip
    assert report.ok
    assert asked == [("vit-l.json", 1), ("vit-l.json", 2)]
    assert report.dims["n4", 0] == "batch width @clip"
    assert report.dims["n7", 0] == "1 width @clip"
