from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypeVar

import pytest
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.check import Report, check
from glidewire.graph_runtime.declaration import node
from glidewire.graph_runtime.folders import Folders
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.problems import GraphProblems
from glidewire.graph_runtime.registry import Registry
from glidewire.graph_runtime.sockets import Socket, socket_type
from glidewire.graph_runtime.widgets import Choice, File, Number, Seed, Wired
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

Picture = NewType("Picture", Tensor)
Latent = NewType("Latent", Tensor)
Embedding = NewType("Embedding", Tensor)
socket_type("CHECK_PICTURE", Picture, "batch height width 3")
socket_type("CHECK_LATENT", Latent, "batch channels height width")
socket_type("CHECK_EMBEDDING", Embedding, "batch width")
T = TypeVar("T")


class Encoder(NamedTuple):
    embedding: Socket[Embedding, "batch width @clip"]
    count: int


def header(checkpoint: Path) -> dict[str, int | str]:
    return json.loads(checkpoint.read_text())


@node(category="check", static_dims=header)
def load_encoder(checkpoint: Annotated[str, File(folder="models")], batch: int = 1) -> Encoder:
    """Load an encoder."""


@node(category="check", static_dims=header)
def load_prior(checkpoint: Annotated[str, File(folder="models")] = "prior.json") -> Socket[Latent, "width _ _ _"]:
    """Load a prior."""


@node(category="check")
def use_prior(
    prior: Socket[Latent, "width _ _ _"], embedding: Socket[Embedding, "batch width @clip"]
) -> Socket[Embedding, "batch width @clip"]:
    """Use a prior."""


@node(category="check")
def project(
    embedding: Socket[Embedding, "batch _"], width: Annotated[int, Number(min=1)] = 512
) -> Socket[Embedding, "batch width"]:
    """Project an embedding."""


@node(category="check")
def empty(
    height: Annotated[int, Number(min=8, max=512)] = 64,
    width: Annotated[int, Number(min=8, max=512)] = 64,
    seed: Annotated[int, Seed()] = 0,
) -> Socket[Latent, "1 4 height/8 width/8 @space"]:
    """Make an empty latent."""


@node(category="check", static_dims=lambda **_: {"space": "small"})
def encode(picture: Socket[Picture, "batch height width 3"]) -> Socket[Latent, "batch 4 height/8 width/8 @space"]:
    """Encode a picture."""


@node(category="check")
def decode(
    latent: Socket[Latent, "batch 4 h w @space"],
    space: Literal["small", "large"] = "small",
    tile: Annotated[float, Number(min=0.0)] = 1.0,
) -> Socket[Picture, "batch h*8 w*8 3"]:
    """Decode a latent."""


@node(category="check")
def blend(
    first: Socket[Latent, "batch channels h w"], second: Socket[Latent, "batch channels h w"], share: float = 0.5
) -> Socket[Latent, "batch channels h w"]:
    """Blend two latents."""


@node(category="check", effect=True)
def save(picture: Socket[Picture, "_ _ _ 3"], name: str = "x", quality: Annotated[int, Number(max=100)] = 90) -> None:
    """Save a picture."""


@node(category="check", effect=True)
def show(
    value: Annotated[str, Wired()],
    choice: Annotated[str, Choice(options=lambda: ["alpha", "beta"])] = "alpha",
    loud: bool = False,
    latent: Socket[Latent, "..."] | None = None,
) -> None:
    """Show a text."""


@node(category="check", effect=True)
def keep(value: Any) -> None:
    """Keep anything."""


@node(category="check")
def either(first: Socket[T, "..."] | None = None, second: Socket[T, "..."] | None = None) -> Socket[T, "..."]:
    """Pass one on."""


@node(
    category="check",
    lazy=lambda condition: ["yes"] if condition else ["no"],
    lazy_inputs=["yes", "no"],
)
def switch(condition: bool = True, yes: T | None = None, no: T | None = None) -> T:
    """Pass one on, lazily."""


@node(category="check")
def stack(pictures: list[Socket[Picture, "_ h w 3"]], weights: list[float] | None = None) -> Socket[Picture, "_ h w 3"]:
    """Stack pictures."""


@node(category="check")
def text(value: str = "") -> str:
    """A text."""


@node(category="check")
def whole(value: int = 1) -> int:
    """A whole number."""


@node(category="check")
def real(value: float = 1.0) -> float:
    """A real number."""


@node(category="check")
def texts(lines: str = "") -> list[str]:
    """Some texts."""


@node(category="check")
def paint(red: Annotated[float, Number(min=0, max=1)]) -> Socket[Picture | Latent, "1 c h w"]:
    """Paint something."""


NODES = (
    load_encoder, load_prior, use_prior, project, empty, encode, decode, blend, save, show, keep, either, switch, stack,
    text, whole, real, texts, paint,
)  # fmt: skip
REGISTRY = Registry(function.declaration for function in NODES)


@pytest.fixture
def folders(tmp_path) -> Folders:
    for name, content in {
        "vit-l.json": {"width": 768, "clip": "ViT-L"},
        "vit-h.json": {"width": 1024, "clip": "ViT-H"},
        "prior.json": {"width": 768},
        "prior-512.json": {"width": 512},
    }.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "broken.json").write_text("{")
    return Folders(models=(tmp_path,))


def graph(**nodes: tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], str]) -> Graph:
    """`n1=("decode", {"latent": "n2.0"})`: a text `node.output` is a wire."""
    calls = []
    for name, (kind, inputs, *title) in nodes.items():
        wired = {
            key: Wire(value[:2], int(value[3:])) if isinstance(value, str) and value[2:3] == "." else value
            for key, value in inputs.items()
        }
        calls.append(NodeCall(name, kind, wired, *title))
    return Graph(calls)


def problems(report: Report) -> list[str]:
    return [str(problem) for problem in report.problems]


@pytest.fixture
def checked(folders):
    return lambda **nodes: check(graph(**nodes), REGISTRY, folders)


def test_a_graph_that_is_right(checked):
    report = checked(
        n1=("empty", {"height": 128}),
        n2=("GlidewireDecode", {"latent": "n1.0", "tile": 2}),
        n3=("save", {"picture": "n2.0"}),
    )
    assert report.ok
    assert report.blocking() == ()
    report.refuse()
    assert report.effects == ("n3",)
    assert dict(report.dims) == {("n1", 0): "1 4 16 8 @space=small", ("n2", 0): "1 128 64 3"}


# One problem each, word for word: n1 is what the case writes, k a node that keeps its output.

ONE_NODE = {
    "unknown node": (
        ("Decoed", {}),
        "node n1 (Decoed): there is no such node; got Decoed. Did you mean encode or decode?",
    ),
    "unknown node, nothing like it": (
        ("XYZ", {}),
        "node n1 (XYZ): there is no such node; got XYZ. Install the pack that has it, or take the node out.",
    ),
    "unknown input": (
        ("empty", {"heigth": 8}),
        "node n1 (empty), input heigth: the node has no such input; expected height, width, seed; got heigth. "
        "Did you mean height or width?",
    ),
    "unknown input, nothing like it": (
        ("empty", {"q": 8}),
        "node n1 (empty), input q: the node has no such input; expected height, width, seed; got q",
    ),
    "missing wire": (
        ("decode", {}, "My decoder"),
        "node n1 (My decoder), input latent: the input is required; expected a wire of type CHECK_LATENT; got nothing. "
        "Nodes that make it: Load prior, Empty, Encode.",
    ),
    "missing value": (
        ("paint", {}),
        "node n1 (paint), input red: the input is required; expected a value or a wire of type FLOAT; got nothing",
    ),
    "missing anything": (
        ("keep", {}),
        "node n1 (keep), input value: the input is required; expected a wire of any type; got nothing",
    ),
    "boolean for a whole number": (
        ("whole", {"value": True}),
        "node n1 (whole), input value: the value is of the wrong type; expected a whole number; got true (a boolean)",
    ),
    "real for a whole number": (
        ("whole", {"value": 1.0}),
        "node n1 (whole), input value: the value is of the wrong type; expected a whole number; "
        "got 1.0 (a real number)",
    ),
    "text for a whole number": (
        ("whole", {"value": "7"}),
        'node n1 (whole), input value: the value is of the wrong type; expected a whole number; got "7" (a text)',
    ),
    "boolean for a real number": (
        ("real", {"value": False}),
        "node n1 (real), input value: the value is of the wrong type; expected a number; got false (a boolean)",
    ),
    "number for a text": (
        ("text", {"value": 7}),
        "node n1 (text), input value: the value is of the wrong type; expected a text; got 7 (a whole number)",
    ),
    "object for a text": (
        ("text", {"value": {"a": 1}}),
        'node n1 (text), input value: the value is of the wrong type; expected a text; got {"a": 1} (an object)',
    ),
    "nothing for a text": (
        ("text", {"value": None}),
        "node n1 (text), input value: the value is of the wrong type; expected a text; got null",
    ),
    "list for a text": (
        ("text", {"value": ["a"] * 30}),
        "node n1 (text), input value: the value is of the wrong type; expected a text; got "
        '["a", "a", "a", "a", "a", "a", "a", "a", "a", "a", "a", "a",… (a list)',
    ),
    "number for a boolean": (
        ("switch", {"condition": 1}),
        "node n1 (switch), input condition: the value is of the wrong type; "
        "expected true or false; got 1 (a whole number)",
    ),
    "half a surrogate pair": (
        ("text", {"value": "a\ud800"}),
        "node n1 (text), input value: the text holds half of a surrogate pair; expected Unicode text; got 'a\\ud800'",
    ),
    "value for a wire": (
        ("decode", {"latent": 3}),
        "node n1 (decode), input latent: a value stands where a wire is needed; expected a wire of type CHECK_LATENT; "
        "got 3 (a whole number). Nodes that make it: Load prior, Empty, Encode.",
    ),
    "value for a wire that is wired by decree": (
        ("show", {"value": "hello"}),
        "node n1 (show), input value: a value stands where a wire is needed; expected a wire of type STRING; "
        'got "hello" (a text). Nodes that make it: Text, Texts.',
    ),
    "list for anything": (
        ("keep", {"value": [1]}),
        "node n1 (keep), input value: a value stands where a wire is needed; "
        "expected a wire of any type; got [1] (a list)",
    ),
    "below a range": (
        ("empty", {"height": 7}),
        "node n1 (empty), input height: the number is out of range; expected a number from 8 to 512; got 7",
    ),
    "above a range": (
        ("empty", {"height": 513}),
        "node n1 (empty), input height: the number is out of range; expected a number from 8 to 512; got 513",
    ),
    "below a seed": (
        ("empty", {"seed": -1}),
        "node n1 (empty), input seed: the number is out of range; expected a number from 0 to 9007199254740991; got -1",
    ),
    "not a number": (
        ("real", {"value": float("nan")}),
        "node n1 (real), input value: the number is out of range; expected a finite number; got NaN",
    ),
    "infinite": (
        ("real", {"value": float("inf")}),
        "node n1 (real), input value: the number is out of range; expected a finite number; got Infinity",
    ),
    "more than any real number": (
        ("real", {"value": 10**400}),
        f"node n1 (real), input value: the number is out of range; expected a finite number; got 1{'0' * 59}…",
    ),
    "out of a list of range": (
        ("stack", {"pictures": "p0.0", "weights": [1, 2.5, "3"]}),
        "node n1 (stack), input weights: item 2 of the list: the value is of the wrong type; expected a number; "
        'got "3" (a text)',
    ),
    "not one of the asked options": (
        ("show", {"value": "t0.0", "choice": "alhpa"}),
        "node n1 (show), input choice: the value is not one of the options; expected alpha, beta; "
        'got "alhpa". Did you mean alpha?',
    ),
    "an option of another type": (
        ("show", {"value": "t0.0", "choice": 1}),
        "node n1 (show), input choice: the value is not one of the options; expected alpha, beta; got 1",
    ),
    "missing output": (
        ("keep", {"value": "e0.2"}),
        "node n1 (keep), input value: node e0 (load_encoder) has no output 2; expected 0 (embedding), 1 (count); got 2",
    ),
    "missing output of a node that has none": (
        ("keep", {"value": "k0.0"}),
        "node n1 (keep), input value: node k0 (keep) has no output 0; expected nothing: there is none; got 0",
    ),
    "missing node": (
        ("keep", {"value": "e9.0"}),
        "node n1 (keep), input value: the wire comes from node e9, which does not exist; expected the id of a node; "
        "got e9. Did you mean e0?",
    ),
    "wrong type, a node converts": (
        ("save", {"picture": "z0.0"}),
        "node n1 (save), input picture: output check_latent of node z0 (empty) does not fit; expected CHECK_PICTURE; "
        "got CHECK_LATENT. Nodes that fit between: Decode.",
    ),
    "wrong type, another input takes it": (
        ("show", {"value": "z0.0"}),
        "node n1 (show), input value: output check_latent of node z0 (empty) does not fit; expected STRING; "
        "got CHECK_LATENT. Input latent takes it.",
    ),
    "wrong type, another output fits": (
        ("whole", {"value": "e0.0"}),
        "node n1 (whole), input value: output embedding of node e0 (load_encoder) does not fit; expected INT; "
        "got CHECK_EMBEDDING. Output count of node e0 fits.",
    ),
    "two types for one variable": (
        ("either", {"first": "z0.0", "second": "t0.0"}),
        "node n1 (either), input second: the inputs of type T must all be of one type; "
        "expected CHECK_LATENT; got STRING",
    ),
    "its own output": (
        ("either", {"first": "n1.0"}),
        "node n1 (either): the node waits for its own output; expected wires that lead forward only. "
        "Take out one of the wires between them.",
    ),
    "not a whole number of latents": (
        ("empty", {"height": 100}),
        "node n1 (empty), input height: height cannot be 100: height/8 would be 12.5; "
        "expected a size for which height/8 is a whole number; got 100",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE_NODE)
def test_one_node_with_one_problem(case, folders):
    call, expected = ONE_NODE[case]
    beside = {
        "e0": ("load_encoder", {"checkpoint": "vit-l.json"}),
        "z0": ("empty", {}),
        "t0": ("text", {}),
        "p0": ("decode", {"latent": "z0.0"}),
        "k0": ("keep", {"value": "t0.0"}),
    }
    assert problems(check(graph(n1=call, **beside), REGISTRY, folders)) == [expected]


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


# Dims


def test_widths_of_two_checkpoints_that_do_not_belong_together(checked):
    report = checked(
        n1=("load_encoder", {"checkpoint": "vit-h.json"}, "CLIP"),
        n2=("load_prior", {"checkpoint": "prior.json"}, "Prior"),
        n3=("use_prior", {"prior": "n2.0", "embedding": "n1.0"}),
        k1=("keep", {"value": "n3.0"}),
    )
    assert problems(report) == [
        "node n3 (use_prior), input embedding: output embedding of node n1 (CLIP) does not fit: "
        "axis 2 (width) is 1024 there and 768 here; "
        'expected "1 768 @clip=ViT-H", where node n2 (Prior) states width 768; '
        'got "1 1024 @clip=ViT-H", where node n1 (CLIP) states width 1024. Nodes that fit between: Project.'
    ]
    assert report.problems[0].others == ("n1",)


def test_sizes_that_come_from_far_away(checked):
    report = checked(
        n1=("empty", {"height": 64}),
        n2=("empty", {"height": 128}, "Tall"),
        n3=("blend", {"first": "n1.0", "second": "n1.0"}),
        n4=("blend", {"first": "n2.0", "second": "n2.0"}),
        n5=("blend", {"first": "n3.0", "second": "n4.0"}),
        k1=("keep", {"value": "n5.0"}),
    )
    assert problems(report) == [
        "node n5 (blend), input second: output check_latent of node n4 (blend) does not fit: "
        'axis 3 (h) is 16 there and 8 here; expected "1 4 8 8", where input height of node n1 (empty) is 64; '
        'got "1 4 16 8", where input height of node n2 (Tall) is 128. '
        "No node turns one into the other: wire parts that belong together."
    ]


def test_tags_that_differ(checked):
    report = checked(
        n1=("load_prior", {}),
        n2=("encode", {"picture": "p1.0"}),
        n3=("decode", {"latent": "n2.0", "space": "large"}),
        p1=("paint", {"red": 1}),
        k1=("keep", {"value": "n3.0"}),
        k2=("keep", {"value": "n1.0"}),
    )
    assert problems(report) == [
        "node n3 (decode), input latent: output check_latent of node n2 (encode) does not fit: "
        '@space is small there and large here; expected "1 4 h w @space=large", where input space of node n3 (decode) '
        'is large; got "1 4 height/8 width/8 @space=small", where node n2 (encode) states space small. '
        "No node turns one into the other: wire parts that belong together."
    ]


def test_numbers_of_axes_that_differ():
    @node(category="check")
    def flat() -> Socket[Latent, "batch channels"]:
        """Make something flat."""

    report = check(
        graph(n1=("flat", {}), n2=("blend", {"first": "n1.0", "second": "n1.0"}), k1=("keep", {"value": "n2.0"})),
        Registry([*REGISTRY, flat.declaration]),
        Folders(),
    )
    assert [problem.message for problem in report.problems] == [
        "output check_latent of node n1 (flat) does not fit: it has 2 axes there and 4 here"
    ] * 2
    assert [problem.input for problem in report.problems] == ["first", "second"]


def test_a_size_that_would_leave_a_fraction_behind():
    @node(category="check")
    def odd() -> Socket[Picture, "1 30 32 3"]:
        """Make an odd picture."""

    report = check(
        graph(n1=("odd", {}), n2=("encode", {"picture": "n1.0"}), k1=("keep", {"value": "n2.0"})),
        Registry([*REGISTRY, odd.declaration]),
        Folders(),
    )
    assert [problem.message for problem in report.problems] == ["height cannot be 30: height/8 would be 3.75"]
    assert report.problems[0].node == "n2"


def test_sizes_are_solved_against_the_wires(checked):
    """A demand far down settles what a name far up must be: here through 8 * h = height."""
    report = checked(
        n1=("paint", {"red": 1}),
        n2=("encode", {"picture": "n1.0"}),
        n3=("empty", {"height": 128, "width": 256}),
        n4=("blend", {"first": "n2.0", "second": "n3.0"}),
        n5=("decode", {"latent": "n4.0"}),
        k1=("save", {"picture": "n5.0"}),
    )
    assert problems(report) == []
    assert report.dims["n1", 0] == "1 128 256 3"
    assert report.dims["n5", 0] == "1 128 256 3"


# Type variables, unions, optional, list and lazy inputs


def test_a_type_variable_passes_type_and_dims_on(checked):
    wire_fits = checked(
        n1=("empty", {}),
        n2=("either", {"second": "n1.0"}),
        n3=("decode", {"latent": "n2.0"}),
        k=("save", {"picture": "n3.0"}),
    )
    assert wire_fits.ok
    assert wire_fits.dims["n2", 0] == "1 4 8 8 @space=small"
    wrong = checked(n1=("empty", {}), n2=("either", {"first": "n1.0"}), k=("save", {"picture": "n2.0"}))
    assert problems(wrong) == [
        "node k (save), input picture: output value of node n2 (either) does not fit; expected CHECK_PICTURE; "
        "got CHECK_LATENT. Nodes that fit between: Decode."
    ]
    literal = checked(n1=("keep", {"value": 3}), n2=("either", {"first": True}), n3=("text", {"value": "n2.0"}))
    assert [problem.got for problem in literal.problems] == ["BOOLEAN"]


def test_a_type_variable_that_two_wires_share_passes_no_dims_on(checked):
    report = checked(
        n1=("empty", {"height": 64}),
        n2=("empty", {"height": 128}),
        n3=("either", {"first": "n1.0", "second": "n2.0"}),
        k=("keep", {"value": "n3.0"}),
    )
    assert report.ok
    assert set(report.dims) == {("n1", 0), ("n2", 0)}


def test_a_type_variable_of_which_nothing_is_known_fits(checked):
    assert checked(n1=("either", {}), k=("save", {"picture": "n1.0"})).ok


def test_numbers_widen_and_texts_are_texts(checked):
    right = checked(
        n1=("whole", {}),
        n2=("real", {"value": "n1.0"}),
        n3=("either", {"first": "n1.0", "second": "n2.0"}),
        n4=("real", {"value": "n3.0"}),
        n5=("text", {}),
        n6=("decode", {"latent": "n7.0", "space": "n5.0"}),
        n7=("empty", {}),
        k1=("keep", {"value": "n4.0"}),
        k2=("keep", {"value": "n6.0"}),
    )
    assert problems(right) == []
    wrong = checked(n1=("real", {}), n2=("whole", {"value": "n1.0"}), k=("keep", {"value": "n2.0"}))
    assert [(problem.expected, problem.got) for problem in wrong.problems] == [("INT", "FLOAT")]


def test_a_union_fits_where_one_of_its_types_does(checked):
    assert checked(n1=("paint", {"red": 0}), k=("save", {"picture": "n1.0"})).ok
    wrong = checked(n1=("paint", {"red": 0}), k=("show", {"value": "n1.0"}))
    assert wrong.problems[0].got == "CHECK_PICTURE or CHECK_LATENT"


def test_lists_go_into_lists_and_into_single_inputs(checked):
    report = checked(
        n1=("texts", {}), n2=("text", {"value": "n1.0"}), n3=("empty", {}), n4=("decode", {"latent": "n3.0"}),
        n5=("stack", {"pictures": "n4.0", "weights": [1, 2.0]}), n6=("stack", {"pictures": "n4.0", "weights": 1}),
        k1=("keep", {"value": "n2.0"}), k2=("keep", {"value": "n5.0"}), k3=("keep", {"value": "n6.0"}),
    )  # fmt: skip
    assert problems(report) == []
    assert report.dims["n5", 0] == "_ 64 64 3"


def test_optional_inputs_may_be_left_out_or_nothing(checked):
    assert checked(n1=("text", {}), k=("show", {"value": "n1.0", "latent": None})).ok


def test_only_the_lazy_input_that_is_asked_for_carries_dims(checked):
    small_and_large = {
        "n1": ("empty", {"height": 64}),
        "n2": ("empty", {"height": 128}),
        "t": ("either", {"first": True}),
    }
    for condition, height in ((True, "8"), (False, "16")):
        report = checked(
            **small_and_large,
            n3=("switch", {"condition": condition, "yes": "n1.0", "no": "n2.0"}),
            k=("keep", {"value": "n3.0"}),
        )
        assert report.ok
        assert report.dims["n3", 0] == f"1 4 {height} 8 @space"
    unknown = checked(
        **small_and_large,
        n3=("switch", {"condition": Wire("t", 0), "yes": "n1.0", "no": "n2.0"}),
        k=("keep", {"value": "n3.0"}),
    )
    assert ("n3", 0) not in unknown.dims


# The whole report


def test_every_problem_is_reported_at_once_in_the_order_of_the_document(checked):
    report = checked(
        n1=("save", {"picture": "n2.0", "quality": 101, "bright": 1}),
        n2=("decode", {"latent": "n3.0", "tile": -1}),
        n3=("emty", {}),
        n4=("blend", {"first": "n5.0"}),
        n5=("blend", {"first": "n4.0", "second": "n9.0"}),
    )
    assert [(problem.node, problem.input, problem.kind) for problem in report.problems] == [
        ("n1", "quality", "out_of_range"),
        ("n1", "bright", "unknown_input"),
        ("n2", "tile", "out_of_range"),
        ("n3", None, "unknown_node"),
        ("n4", None, "cycle"),
        ("n4", "second", "missing_input"),
        ("n5", "second", "missing_node"),
    ]


def test_a_circle_names_all_its_nodes(checked):
    report = checked(
        n1=("either", {"first": "n3.0"}),
        n2=("either", {"first": "n1.0"}),
        n3=("either", {"first": "n2.0"}),
        k=("keep", {"value": "n3.0"}),
    )
    assert problems(report) == [
        "node n1 (either): the nodes n1, n2, n3 wait for one another in a circle; "
        "expected wires that lead forward only. "
        "Take out one of the wires between them."
    ]
    assert report.problems[0].others == ("n2", "n3")


def test_nothing_to_do(checked):
    (problem,) = checked(n1=("empty", {}), n2=("text", {})).problems
    assert str(problem) == (
        "workflow: there is nothing to do: no node saves or shows anything; expected at least one node with an effect; "
        "got 2 nodes without one. Add one of: Save, Show, Keep."
    )
    (problem,) = checked().problems
    assert (problem.kind, problem.got) == ("no_effect", "no node at all")


def test_only_problems_upstream_of_what_is_wanted_stand_in_the_way(checked):
    report = checked(
        good=("text", {}),
        n1=("keep", {"value": Wire("good", 0)}),
        aside=("empty", {"height": 0}),
        n2=("keep", {"value": Wire("aside", 0)}),
        lost=("emty", {}),
    )
    assert [problem.node for problem in report.problems] == ["aside", "lost"]
    assert [problem.node for problem in report.blocking()] == ["aside"]
    assert report.blocking(["n1"]) == ()
    assert [problem.node for problem in report.blocking(["n2"])] == ["aside"]
    assert [problem.node for problem in report.blocking(["n1", "nobody", "lost"])] == ["lost"]
    report.refuse(["n1"])
    with pytest.raises(GraphProblems) as raised:
        report.refuse()
    assert str(raised.value) == (
        "1 problem in the workflow\n"
        "  - node aside (empty), input height: the number is out of range; expected a number from 8 to 512; got 0"
    )


def test_without_an_effect_everything_stands_in_the_way_but_targets_may_be_run(checked):
    report = checked(n1=("text", {}), n2=("empty", {"height": 0}))
    assert [problem.kind for problem in report.blocking()] == ["out_of_range", "no_effect"]
    assert report.blocking(["n1"]) == ()


def test_long_chains_need_no_recursion():
    length = 3_000
    calls = [
        NodeCall("0", "empty"),
        *(NodeCall(f"{i}", "either", {"first": Wire(f"{i - 1}", 0)}) for i in range(1, length)),
    ]
    calls += [NodeCall("k", "keep", {"value": Wire(f"{length - 1}", 0)})]
    report = check(Graph(reversed(calls)), REGISTRY, Folders())
    assert report.ok
    assert report.dims[f"{length - 1}", 0] == "1 4 8 8 @space"
    circle = check(
        Graph([dataclasses.replace(calls[1], inputs={"first": Wire("2999", 0)}), *calls[2:]]), REGISTRY, Folders()
    )
    assert [problem.kind for problem in circle.problems] == ["cycle"]
    assert len(circle.problems[0].others) == length - 2


# Properties: whatever a graph holds, the report is the answer


NAMES = st.sampled_from(["1", "2", "3", "4", "5", "6", "é", ""])
LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["small", "vit-l.json"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)
WIRES = st.builds(Wire, NAMES, st.integers(-1, 2))
KINDS = st.sampled_from([*REGISTRY]) | st.text(max_size=8)


@st.composite
def calls(draw) -> NodeCall:
    kind = draw(KINDS)
    if isinstance(kind, str):
        return NodeCall(draw(NAMES), kind, draw(st.dictionaries(st.text(max_size=3), LITERALS | WIRES, max_size=2)))
    known = {given.id: WIRES | WIRES | LITERALS for given in kind.inputs}
    return NodeCall(draw(NAMES), kind.id, draw(st.fixed_dictionaries({}, optional={**known, "else": LITERALS})))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(calls(), max_size=8))
def test_no_graph_makes_it_raise(folders, nodes):
    made = Graph(nodes)
    report = check(made, REGISTRY, folders)
    for problem in report.problems:
        assert problem.node in made.calls or problem.kind == "no_effect"
        assert str(problem)
        json.dumps(problem.as_json())
    assert all(isinstance(shown, str) for shown in report.dims.values())
    assert set(report.blocking()) <= set(report.problems)
    again = check(made, REGISTRY, folders)
    assert again.problems == report.problems


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([8, 16, 24, 100]), min_size=2, max_size=6), st.data())
def test_dims_do_not_depend_on_the_order_of_the_document(folders, heights, data):
    made = [NodeCall(f"e{i}", "empty", {"height": height}) for i, height in enumerate(heights)]
    for i in range(len(heights)):
        before = st.sampled_from([call.id for call in made])
        wires = {name: Wire(data.draw(before), 0) for name in ("first", "second")}
        made.append(NodeCall(f"b{i}", "blend", wires))
    made.append(NodeCall("k", "keep", {"value": Wire(made[-1].id, 0)}))
    report = check(Graph(made), REGISTRY, folders)
    shuffled = check(Graph(data.draw(st.permutations(made))), REGISTRY, folders)
    assert shuffled.ok == report.ok
    if report.ok:
        assert dict(shuffled.dims) == dict(report.dims)


# Values that are known before anything runs, and what nodes say of them


@node(category="check", by_value=True)
def whole(value: int = 1) -> int:
    """A whole number."""
    return value


@node(category="check", by_value=True)
def halves(value: int = 4) -> list[int]:
    """A number's halves."""
    if value % 2:
        raise GlidewireError("the number is odd", expected="an even number", got=value)
    return [value // 2, value // 2]


def in_order(low: int, high: int) -> None:
    if low > high:
        raise GlidewireError("low is above high", expected="low <= high", got=f"{low} and {high}", hint="Swap them.")


def divides(high: int, width: int, clip: str = "none") -> None:
    if width % high:
        raise GlidewireError(f"{high} does not divide the width", expected=f"a divisor of {width}", got=clip)


def outside(name: str, folders: Folders) -> None:
    folders.inside_output(name)


@node(category="check", effect=True, validate=[in_order, divides, outside])
def cut(
    embedding: Socket[Embedding, "_ width @clip"],
    low: Annotated[int, Number(min=0, max=9)] = 1,
    high: Annotated[int, Number(min=0, max=9)] = 2,
    name: str = "cut",
) -> None:
    """Cut an embedding."""


@node(category="check")
def blank(width: int) -> Socket[Embedding, "_ width @clip"]:
    """An embedding of zeros."""


VALUED = Registry(function.declaration for function in (whole, halves, blank, cut))


def cutting(**inputs: Any) -> list[NodeCall]:
    return [
        NodeCall("1", "GlidewireWhole", {"value": 512}),
        NodeCall("2", "GlidewireBlank", {"width": Wire("1", 0)}),
        NodeCall("3", "GlidewireCut", {"embedding": Wire("2", 0), **inputs}),
    ]


def told(*calls: NodeCall) -> list[tuple[str, str, str | None, str]]:
    found = check(Graph(calls), VALUED, Folders(output=Path("results")))
    return [(one.node, one.kind, one.input, one.message) for one in found.problems]


def test_a_node_refuses_values_before_anything_runs() -> None:
    assert told(*cutting()) == []
    assert told(*cutting(low=4)) == [
        ("3", "bad_value", None, "low is above high"),
    ]
    assert told(*cutting(high=3)) == [("3", "bad_value", "high", "3 does not divide the width")]
    assert told(*cutting(name="../x")) == [("3", "bad_value", "name", "'../x' leads outside the output folder")]
    kinds = [(kind, name) for _, kind, name, _ in told(*cutting(low=9, high=0, name="../x"))]
    assert kinds == [("bad_value", None), ("bad_value", "high"), ("bad_value", "name")], "what trips is told as well"


def test_a_refused_value_says_what_to_do() -> None:
    (problem,) = check(Graph(cutting(low=4)), VALUED, Folders()).problems
    assert str(problem) == ("node 3 (GlidewireCut): low is above high; expected low <= high; got 4 and 2. Swap them.")


def test_numbers_over_wires_settle_dims_and_are_held_to_ranges() -> None:
    assert check(Graph(cutting()), VALUED, Folders()).dims["2", 0] == "_ 512 @clip"
    five = NodeCall("5", "GlidewireWhole", {"value": 5})
    wide = NodeCall("5", "GlidewireWhole", {"value": 50})
    assert told(*cutting(low=Wire("5", 0)), five) == [("3", "bad_value", None, "low is above high")]
    ((node_, kind, name, message),) = told(*cutting(low=Wire("5", 0)), wide)
    assert (node_, kind, name) == ("3", "out_of_range", "low")
    assert message == "the number is out of range; it comes from node 5 (GlidewireWhole)"


def test_lists_over_wires_are_held_to_ranges_item_by_item_and_settle_nothing() -> None:
    lists = [NodeCall("5", "GlidewireHalves", {"value": 30})]
    ((_, kind, name, message),) = told(*cutting(high=Wire("5", 0)), *lists)
    assert (kind, name) == ("out_of_range", "high") and message.startswith("item 0 of the list: the number is out")
    assert told(*cutting(high=Wire("5", 0)), NodeCall("5", "GlidewireHalves", {"value": 6})) == []


def test_a_node_of_plain_values_refuses_them_before_anything_runs() -> None:
    assert told(*cutting(high=Wire("5", 0)), NodeCall("5", "GlidewireHalves", {"value": 3})) == [
        ("5", "bad_value", "value", "the number is odd")
    ]


def test_a_validation_that_asks_for_what_the_node_does_not_have_is_a_mistake_of_its_author() -> None:
    with pytest.raises(TypeError, match=r"lonely: a validation asks for \['high', 'low'\]"):

        @node(category="check", validate=in_order)
        def lonely(number: int = 1) -> int:
            """A node."""
            return number


@node(category="check")
def tagged(clip: str, more: str) -> Socket[Embedding, "1 8 @clip @more"]:
    """An embedding with two tags."""


@node(category="check")
def mixed(
    first: Socket[Embedding, "_ width @clip"], second: Socket[Embedding, "_ width @clip"] | None = None
) -> Socket[Embedding, "1 width @clip"]:
    """A mixture that knows one tag."""


@pytest.mark.parametrize(
    ("texts", "dims"),
    [(["a"], "1 8 @clip=c @more=a"), (["a", "a"], "1 8 @clip=c @more=a"), (["a", "b"], "1 8 @clip=c")],
)
def test_tags_that_a_node_does_not_know_pass_through_where_its_inputs_agree(texts: list[str], dims: str) -> None:
    calls = [NodeCall(str(n), "GlidewireTagged", {"clip": "c", "more": text}) for n, text in enumerate(texts)]
    wires = dict(zip(("first", "second"), (Wire(call.id, 0) for call in calls), strict=False))
    graph = Graph([*calls, NodeCall("m", "GlidewireMixed", wires)])
    assert check(graph, Registry([tagged.declaration, mixed.declaration]), Folders()).dims["m", 0] == dims
