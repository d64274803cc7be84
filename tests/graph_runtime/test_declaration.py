from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypeVar

import pytest
from glidewire.graph_runtime.context import Context
from glidewire.graph_runtime.declaration import INJECTED, RECORDER, REQUIRED, node
from glidewire.graph_runtime.sockets import Socket, socket_type
from glidewire.graph_runtime.widgets import Choice, File, Number, Slider, Text, Toggle, Wired

Wave = NewType("Wave", list)
Tone = NewType("Tone", list)
WAVE = socket_type("DECLARATION_WAVE", Wave, "A wave.")
TONE = socket_type("DECLARATION_TONE", Tone, "A tone.")
T = TypeVar("T")


class Both(NamedTuple):
    left: Socket[Wave, "n/2"]
    right: list[Socket[Tone, "n @kind"]]


@node(category="test/waves", version=3, effect=True, by_value=True, aliases=["OldMix"], title="Mix waves")
def mix_two_waves(
    wave: Socket[Wave, "n"],
    either: Socket[Wave | Tone, "..."],
    several: list[Socket[Wave, "_"]],
    anything: Any,
    passed: T,
    maybe: Socket[Tone, "n"] | None = None,
    count: int = 2,
    share: Annotated[float, Slider(min=0, max=1)] = 0.5,
    name: str = "x",
    loud: bool = False,
    mode: Literal["add", "max"] = "add",
    file: Annotated[str, File(folder="input")] = "a.wav",
    text: Annotated[str, Wired()] = "",
    seeds: list[int] | None = None,
    context: Context = INJECTED,
) -> Both:
    """Mix two waves.

    Args:
        wave: The first, "n".
        count, share: Numbers.

    Returns: left and right.

    Source: none (utility).
    """
    return Both(Wave([count]), [Tone([])])


def test_a_signature_becomes_the_whole_declaration():
    made = mix_two_waves.declaration
    assert (made.id, made.name, made.title, made.category) == (
        "GlidewireMixTwoWaves",
        "mix_two_waves",
        "Mix waves",
        "test/waves",
    )
    assert (made.version, made.effect, made.by_value, made.aliases) == (3, True, True, ("OldMix",))
    assert (made.takes_context, made.several_outputs) == (True, True)
    assert "context" not in made.by_input
    assert made.documentation.source == "none (utility)."
    assert [output.id for output in made.outputs] == ["left", "right"]
    assert [made.output_index(name) for name in ("left", "right", "middle")] == [0, 1, None]


@pytest.mark.parametrize(
    ("name", "types", "dims", "widget", "is_literal", "is_list", "optional", "default"),
    [
        ("wave", ("DECLARATION_WAVE",), "n", None, False, False, False, REQUIRED),
        ("either", ("DECLARATION_WAVE", "DECLARATION_TONE"), "...", None, False, False, False, REQUIRED),
        ("several", ("DECLARATION_WAVE",), "_", None, False, True, False, REQUIRED),
        ("anything", ("*",), "...", None, False, False, False, REQUIRED),
        ("passed", ("*",), "...", None, False, False, False, REQUIRED),
        ("maybe", ("DECLARATION_TONE",), "n", None, False, False, True, None),
        ("count", ("INT",), "...", Number(), True, False, False, 2),
        ("share", ("FLOAT",), "...", Slider(min=0, max=1), True, False, False, 0.5),
        ("name", ("STRING",), "...", Text(), True, False, False, "x"),
        ("loud", ("BOOLEAN",), "...", Toggle(), True, False, False, False),
        ("mode", ("COMBO",), "...", Choice(options=("add", "max")), True, False, False, "add"),
        ("file", ("STRING",), "...", File(folder="input"), True, False, False, "a.wav"),
        ("text", ("STRING",), "...", Wired(), False, False, False, ""),
        ("seeds", ("INT",), "...", Number(), True, True, True, None),
    ],
)
def test_inputs(name, types, dims, widget, is_literal, is_list, optional, default):
    made = mix_two_waves.declaration.by_input[name]
    assert made.type_ids == types
    assert (made.dims, made.widget, made.default) == (dims, widget, default)
    assert (made.is_literal, made.is_list, made.optional) == (is_literal, is_list, optional)
    assert made.variable == ("T" if name == "passed" else None)


def test_tooltips_come_from_the_docstring():
    tooltips = {given.id: given.tooltip for given in mix_two_waves.declaration.inputs if given.tooltip}
    assert tooltips == {"wave": 'The first, "n".', "count": "Numbers.", "share": "Numbers."}


def test_outputs():
    left, right = mix_two_waves.declaration.outputs
    assert (left.type_ids, left.dims, left.is_list) == (("DECLARATION_WAVE",), "n/2", False)
    assert (right.type_ids, right.dims, right.is_list) == (("DECLARATION_TONE",), "n @kind", True)


def declared(annotation: Any) -> Any:
    def function(): ...

    function.__annotations__ = {"return": annotation}
    return node(category="test")(function).declaration


def test_a_single_output_is_named_by_its_type_and_a_wildcard_value():
    assert [output.id for output in declared(int).outputs] == ["int"]
    assert [output.id for output in declared(Socket[Wave, "n"]).outputs] == ["declaration_wave"]
    assert [(output.id, output.variable) for output in declared(T).outputs] == [("value", "T")]
    assert declared(None).outputs == ()


def test_results_are_one_value_per_output():
    assert mix_two_waves.declaration.results(Both(Wave([1]), [Tone([2])])) == ([1], [[2]])
    assert declared(int).results(3) == (3,)
    assert declared(None).results(None) == ()


def test_a_node_is_still_the_function_and_can_be_recorded():
    @node(category="test")
    def twice(value: int, scale: int = 2) -> int:
        """Twice."""
        return value * scale

    assert twice(3, scale=4) == 12
    assert twice.__name__ == "twice"
    token = RECORDER.set(lambda declaration, args, kwargs: (declaration.name, args, kwargs))
    try:
        assert twice(3, scale=4) == ("twice", (3,), {"scale": 4})
    finally:
        RECORDER.reset(token)


def bad_dims(wave: Socket[Wave, "n%2"]) -> int: ...
def bad_output_dims() -> Socket[Wave, "... ..."]: ...
def bad_type(wave: complex) -> int: ...
def no_annotation(wave) -> int: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (bad_dims, "bad_dims: input wave: dims 'n%2' cannot be read; expected a number, a name, name*2, name/8, "
                   "name+1, name-1, _, ..., ...name or @name; got 'n%2'"),
        (bad_output_dims, "bad_output_dims: output return: dims '... ...' have two runs of axes; expected at most one "
                          "... or ...name"),
        (bad_type, "bad_type: input wave: <class 'complex'> is no registered socket type; register it with "
                   "socket_type(...)"),
        (no_annotation, "no_annotation: input wave has no annotation"),
    ],
)  # fmt: skip
def test_a_declaration_that_cannot_be(function: Callable[..., Any], message: str):
    with pytest.raises(TypeError) as raised:
        node(category="test")(function)
    assert str(raised.value) == message


def test_lazy_inputs_must_exist():
    def choose(value: int = 1) -> int: ...

    with pytest.raises(TypeError) as raised:
        node(category="test", lazy=list, lazy_inputs=["yes", "value"])(choose)
    assert str(raised.value) == "choose: lazy inputs ['yes'] do not exist"
