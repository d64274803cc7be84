"""Every node of the pack keeps the written rules: ids, documentation, shapes, immutable inputs, determinism."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from glidewire.graph_runtime import codec
from glidewire.graph_runtime.declaration import REQUIRED, InputDeclaration, NodeDeclaration, OutputDeclaration
from glidewire.graph_runtime.dims import bindings, parse
from glidewire.graph_runtime.folders import Folders
from glidewire.graph_runtime.literals import refusal
from glidewire.graph_runtime.registry import collect
from glidewire.graph_runtime.widgets import Choice, File, Number

HERE = Path(__file__).parent
RECORD = HERE / "node_ids.json"
RECORDING = "GLIDEWIRE_RECORD_NODE_IDS"
HOW = f"if that is meant, record it: {RECORDING}=1 python -m pytest tests/nodes/test_registry.py -k recorded"

REGISTRY = collect("glidewire.nodes")
every_node = pytest.mark.parametrize("declaration", [pytest.param(entry, id=entry.name) for entry in REGISTRY])


# Declarations


def axes_in(socket: InputDeclaration | OutputDeclaration) -> int:
    pattern = parse(socket.dims)
    return len(pattern.head) + len(pattern.tail)


def has_shape(socket: InputDeclaration | OutputDeclaration) -> bool:
    """Whether it carries a tensor (or several) whose shape a reader must be told."""
    return axes_in(socket) >= 2 and not any(kind.handle for kind in socket.types)


@every_node
def test_a_declaration_is_complete(declaration: NodeDeclaration):
    assert re.fullmatch(r"Glidewire[A-Z][A-Za-z0-9]*", declaration.id)
    assert declaration.title[:1].isupper()
    assert re.fullmatch(r"[a-z][a-z ]*(/[a-z][a-z ]*)*", declaration.category)
    assert declaration.version >= 1
    assert declaration.outputs or declaration.effect, "a node without outputs that does nothing"
    ids = [socket.id for socket in declaration.outputs]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", socket.id) for socket in (*declaration.inputs, *declaration.outputs))


@every_node
def test_defaults_are_admitted_by_their_own_widgets(declaration: NodeDeclaration):
    for given in declaration.inputs:
        if isinstance(given.widget, Number) and None not in (given.widget.min, given.widget.max):
            assert given.widget.min < given.widget.max
        if isinstance(given.widget, Choice):
            assert given.widget.current()
        if given.default is not REQUIRED and not isinstance(given.widget, File):
            assert refusal(given, given.default, Folders()) is None, given.id
            assert json.loads(json.dumps(given.default)) == given.default


@every_node
def test_functions_beside_the_node_ask_for_inputs_that_exist(declaration: NodeDeclaration):
    for function in filter(None, (declaration.static_dims, declaration.lazy)):
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is not parameter.VAR_KEYWORD:
                assert name in declaration.by_input
                assert name not in declaration.lazy_inputs


@every_node
def test_the_docstring_says_what_it_does_each_input_the_shapes_and_the_source(declaration: NodeDeclaration):
    documentation = declaration.documentation
    assert documentation.summary.endswith(".")
    assert set(documentation.arguments) == {given.id for given in declaration.inputs}
    for given in declaration.inputs:
        assert given.tooltip.strip()
        if has_shape(given):
            assert re.search(r'"[^"]+"', given.tooltip), f"the shape of {given.id}, as a quoted text"
    if declaration.outputs:
        assert documentation.returns
    if any(has_shape(output) for output in declaration.outputs):
        assert re.search(r'"[^"]+"', documentation.returns), "the shapes that are returned, as quoted texts"
    if len(declaration.outputs) > 1:
        assert all(re.search(rf"\b{output.id}\b", documentation.returns) for output in declaration.outputs)
    paper = re.search(r"\b(19|20)\d\d\b", documentation.source)
    assert paper or documentation.source == "none (utility).", "a paper with its year, or `Source: none (utility).`"


@every_node
def test_the_width_of_a_picture_is_no_width_of_features(declaration: NodeDeclaration):
    words = [socket.dims.split() for socket in (*declaration.inputs, *declaration.outputs) if "width" in socket.dims]
    of_pictures = {"height" in dims for dims in words if "width" in dims}
    assert len(of_pictures) < 2, "one name for two axes: they would have to be equal"


# Ids are forever


def recorded_form(declaration: NodeDeclaration) -> dict[str, Any]:
    return {
        "version": declaration.version,
        "inputs": [given.id for given in declaration.inputs],
        "outputs": [output.id for output in declaration.outputs],
    }


def broken_promises(recorded: Mapping[str, Any], known: Mapping[str, Any], aliases: Mapping[str, str]) -> list[str]:
    """What saved workflows rely on and no longer find; an id that went on as an alias is kept."""
    found = []
    for name, promise in recorded.items():
        now = known.get(aliases.get(name, name))
        if now is None:
            found.append(f"node {name} is gone: keep it, or name it among the aliases of the node that replaces it")
            continue
        for part in ("inputs", "outputs"):
            if now[part][: len(promise[part])] != promise[part]:
                found.append(
                    f"node {name}: the {part} were {promise[part]} and are {now[part]}: "
                    "keep ids and order, add new ones at the end"
                )
        if now["version"] < promise["version"]:
            found.append(f"node {name}: version {promise['version']} went back to {now['version']}")
    return found


def test_ids_are_those_recorded():
    known = {entry.id: recorded_form(entry) for entry in REGISTRY}
    aliases = {alias: entry.id for entry in REGISTRY for alias in entry.aliases}
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    assert broken_promises(recorded, known, aliases) == []
    if os.environ.get(RECORDING):
        lines = [f'  "{name}": {json.dumps(known[name])}' for name in sorted(known)]
        RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        return
    fresh = [name for name in known if known[name] != recorded.get(name)]
    assert fresh == [], f"new or extended: {', '.join(fresh)}; {HOW}"


def test_broken_promises_are_found():
    before = {"A": {"version": 2, "inputs": ["x", "y"], "outputs": ["o"]}}
    for change in ({"version": 1}, {"inputs": ["y", "x"]}, {"inputs": ["x"]}, {"outputs": ["new", "o"]}):
        assert len(broken_promises(before, {"A": {**before["A"], **change}}, {})) == 1, change
    assert broken_promises(before, {}, {}) == [
        "node A is gone: keep it, or name it among the aliases of the node that replaces it"
    ]
    extended = {"version": 3, "inputs": ["x", "y", "z"], "outputs": ["o", "p"]}
    assert broken_promises(before, {"B": extended}, {"A": "B"}) == []


# Behaviour


def fingerprint(value: Any) -> Any:
    """The content of a value, looked at afresh: a digest that an object remembers would hide a change."""
    if isinstance(value, torch.nn.Module):
        return codec.digest(dict(value.state_dict()))
    if isinstance(value, list | tuple):
        return [fingerprint(item) for item in value]
    if isinstance(value, Mapping):
        return {key: fingerprint(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value):
        return {entry.name: fingerprint(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, torch.Tensor | bool | int | float | str | None):
        return codec.digest(value)
    return getattr(value, "__qualname__", type(value).__qualname__)


def test_fingerprints_see_what_a_digest_would_remember(materials):
    denoiser, sample = materials.denoiser(), materials.sample()
    denoiser.conditioning_digest  # remembered from here on
    before = fingerprint([denoiser, sample])
    next(iter(denoiser.conditioning.values())).add_(1)
    changed = fingerprint([denoiser, sample])
    assert changed != before
    sample.tensor.mul_(0.5)
    assert fingerprint([denoiser, sample]) != changed


@dataclasses.dataclass(frozen=True)
class Ran:
    """One run of a node's example: its inputs, what they were before and after, and its outputs."""

    inputs: dict[str, Any]
    before: Any
    after: Any
    outputs: tuple[Any, ...]


def run(declaration: NodeDeclaration, examples: ModuleType, materials: Any) -> Ran:
    inputs = examples.EXAMPLES[declaration.name](materials)
    before = fingerprint(inputs)
    context = {"context": materials.context} if declaration.takes_context else {}
    outputs = declaration.results(declaration.function(**inputs, **context))
    return Ran(inputs, before, fingerprint(inputs), outputs)


@pytest.fixture(scope="session")
def ran(examples, materials) -> Callable[[str], Ran]:
    """Run a node's example, once for all tests."""
    return functools.cache(lambda name: run(REGISTRY.get(name), examples, materials))


def test_every_node_has_an_example(examples):
    missing = {entry.name for entry in REGISTRY} - set(examples.EXAMPLES)
    assert not missing, f"add these nodes to EXAMPLES in tests/nodes/examples.py: {', '.join(sorted(missing))}"
    assert not set(examples.EXAMPLES) - {entry.name for entry in REGISTRY}, "examples of nodes that are gone"


@every_node
def test_inputs_stay_as_they_are(declaration: NodeDeclaration, ran):
    first = ran(declaration.id)
    assert first.after == first.before


@every_node
def test_the_same_inputs_give_the_same_outputs(declaration: NodeDeclaration, ran, examples, materials):
    first = ran(declaration.id)
    torch.manual_seed(12345)  # the global generator has no say
    second = run(declaration, examples, materials)
    assert second.before == first.before, "the example itself must be the same every time"
    assert fingerprint(second.outputs) == fingerprint(first.outputs)
    assert all(torch.isfinite(tensor).all() for tensor in tensors_in(first.outputs))


@every_node
def test_outputs_can_be_kept_or_are_handles(declaration: NodeDeclaration, ran):
    for output, value in zip(declaration.outputs, ran(declaration.id).outputs, strict=True):
        if not any(kind.handle for kind in output.types):
            tensors, structure = codec.encode(value)
            assert codec.digest(codec.decode(tensors, structure)) == codec.digest(value)


@every_node
def test_shapes_are_those_declared(declaration: NodeDeclaration, ran):
    example = ran(declaration.id)
    known = {name: value for name, value in example.inputs.items() if type(value) is int}
    sockets = [(given, example.inputs[given.id]) for given in declaration.inputs if given.id in example.inputs]
    sockets += zip(declaration.outputs, example.outputs, strict=True)
    for socket, value in sockets:
        for item in value if socket.is_list else [value]:
            shape = shape_of(item)
            if shape is not None and socket.variable is None:
                found = bindings(socket.dims, shape, known)
                assert found is not None, f"{socket.id} is {shape}, declared {socket.dims!r} with {known}"
                known |= {name: size for name, size in found.items() if isinstance(size, int)}


def shape_of(value: Any) -> tuple[int, ...] | None:
    tensor = getattr(value, "tensor", value)
    return tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else None


def tensors_in(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in tensors_in(item)]
    return tensors_in(getattr(value, "tensor", ()))
