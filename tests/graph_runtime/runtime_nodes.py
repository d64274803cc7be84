"""Tiny real nodes, and how the tests of the runtime write graphs of them and run them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NewType, TypeVar

import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime import codec
from glidewire.graph_runtime.cache import Cache
from glidewire.graph_runtime.context import Context, Policy
from glidewire.graph_runtime.declaration import INJECTED, NodeFunction, node
from glidewire.graph_runtime.events import Event
from glidewire.graph_runtime.execute import RunResult, run
from glidewire.graph_runtime.folders import Folders
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.plan import Plan, plan
from glidewire.graph_runtime.registry import Registry
from glidewire.graph_runtime.sockets import Socket, socket_type
from glidewire.graph_runtime.widgets import File, Text, Wired

T = TypeVar("T")
Values = NewType("Values", torch.Tensor)


class Engine:
    """A handle: something that lives in memory only."""

    def __init__(self, power: int) -> None:
        self.power = power


@dataclass(frozen=True)
class Pair:
    left: torch.Tensor
    right: tuple[float, ...]


codec.register(Pair, "TestPair")
socket_type("TEST_VALUES", Values, "Numbers in a tensor.")
socket_type("TEST_PAIR", Pair, "A tensor and some numbers.")
socket_type("TEST_ENGINE", Engine, "A handle.", handle=True)

RAN: Counter[str] = Counter()
"""How often each node's function was called."""
GATES: dict[str, Any] = {}
"""What a test wants to happen inside a node."""


@node(category="test")
def number(value: float = 1.0) -> float:
    """A number."""
    RAN["number"] += 1
    return value


@node(category="test", by_value=True)
def rounded(value: float = 1.0) -> int:
    """A number without its fraction: many inputs, few outputs."""
    RAN["rounded"] += 1
    return int(value)


@node(category="test", by_value=True)
def word(value: str = "a") -> str:
    """A text."""
    RAN["word"] += 1
    return value


@node(category="test")
def fill(value: float = 1.0, size: int = 3, note: Annotated[str, Text(cosmetic=True)] = "") -> Socket[Values, "size"]:
    """A tensor full of a number."""
    RAN["fill"] += 1
    return Values(torch.full((size,), value))


@node(category="test")
def add(left: Socket[Values, "size"], amount: float = 1.0) -> Socket[Values, "size"]:
    """A tensor plus a number."""
    RAN["add"] += 1
    return Values(left + amount)


@node(category="test")
def step(value: Annotated[int, Wired()] = 0) -> int:
    """One more: the trivial node of long chains."""
    return value + 1


@node(category="test")
def anything(value: Socket[T, "..."] | None = None) -> Socket[T, "..."]:
    """Passes anything on."""
    RAN["anything"] += 1
    return value


@node(category="test")
def load(file: Annotated[str, File(folder="input")], context: Context = INJECTED) -> str:
    """The text in a file."""
    RAN["load"] += 1
    return context.folders.find("input", file).read_text()


@node(category="test")
def engine(power: int = 1) -> Engine:
    """Makes a handle."""
    RAN["engine"] += 1
    return Engine(power)


@node(category="test")
def drive(engine: Engine, by: float = 1.0) -> float:
    """Uses a handle."""
    RAN["drive"] += 1
    return engine.power * by


class Parts(NamedTuple):
    whole: int
    rest: float


@node(category="test")
def split(value: float = 1.5) -> Parts:
    """A number in two parts."""
    RAN["split"] += 1
    return Parts(int(value), value % 1)


@node(category="test")
def count(upto: int = 3) -> list[int]:
    """The numbers from 0."""
    RAN["count"] += 1
    return list(range(upto))


@node(category="test")
def twice_each(value: int = 0) -> list[int]:
    """A list of two of each."""
    RAN["twice_each"] += 1
    return [value, value]


@node(category="test")
def product(left: float = 1.0, right: float = 1.0) -> float:
    """A product."""
    RAN["product"] += 1
    return left * right


@node(category="test")
def total(values: list[float]) -> float:
    """The sum of a list."""
    RAN["total"] += 1
    return sum(values)


def _branch(condition: bool, **_: Any) -> list[str]:
    return ["on_true"] if condition else ["on_false"]


@node(category="test", lazy=_branch, lazy_inputs=["on_true", "on_false"])
def switch(
    condition: bool = True,
    on_true: Socket[T, "..."] | None = None,
    on_false: Socket[T, "..."] | None = None,
) -> Socket[T, "..."]:
    """One of two."""
    RAN["switch"] += 1
    return on_true if condition else on_false


def _pick(which: str, **_: Any) -> list[str]:
    if which not in ("first", "second"):
        raise GlidewireError(f"there is no {which}", expected="first or second")
    return [which]


@node(category="test", lazy=_pick, lazy_inputs=["first", "second"])
def picky(first: Annotated[float, Wired()], second: Annotated[float, Wired()], which: str = "first") -> float:
    """One of two, if it is named rightly."""
    return first if which == "first" else second


@node(category="test", by_value=True)
def positive(value: float = 1.0) -> bool:
    """Whether a number is above 0."""
    RAN["positive"] += 1
    return value > 0


@node(category="test")
def boom(value: Socket[Values, "size"], kind: str = "ValueError") -> Socket[Values, "size"]:
    """Fails."""
    if kind == "GlidewireError":
        raise GlidewireError("the value is wrong", expected="3", got="4", hint="Use 3.")
    if kind == "memory":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    raise ValueError("no such luck")


@node(category="test")
def walk(steps: int = 3, context: Context = INJECTED) -> int:
    """Reports each step; a test may do something at one of them."""
    RAN["walk"] += 1
    for index in range(steps):
        GATES.get("walk", lambda index: None)(index)
        context.progress(index + 1, steps, f"step {index + 1}")
    return steps


@node(category="test")
def segmented(length: int = 4, context: Context = INJECTED) -> Socket[Values, "length"]:
    """Doubles a tensor `length` times, keeping each stage in its memo."""
    value, begun = torch.ones(2), 0
    for index in range(length, 0, -1):
        found = context.memo.recall(f"stage {index}")
        if found is not None:
            value, begun = found["x"], index
            break
    for index in range(begun, length):
        RAN["segment"] += 1
        value = value * 2
        context.memo.store(f"stage {index + 1}", {"x": value}, 0.01)
    return Values(value)


@node(category="test", effect=True)
def keep(value: Socket[T, "..."], name: Annotated[str, Text(cosmetic=True)] = "", context: Context = INJECTED) -> None:
    """Shows a value: an effect."""
    RAN["keep"] += 1
    context.show(text=[codec.describe(value)])


NODES: list[NodeFunction[..., Any]] = [
    *(number, rounded, word, fill, add, step, anything, load, engine, drive, split, count, twice_each, product, total),
    *(switch, picky, positive, boom, walk, segmented, keep),
]
REGISTRY = Registry(entry.declaration for entry in NODES)


def graph(document: Mapping[str, Any] | None = None, **calls: Any) -> Graph:
    """A graph in short: `add=("add", dict(left="fill", amount=2.0))`; a text that names another node is a wire,
    and "split.1" is its output 1."""
    made = []
    for name, (kind, inputs) in calls.items():
        declared = next(entry.declaration for entry in NODES if entry.declaration.name == kind)
        wired = {}
        for key, value in inputs.items():
            source, _, slot = str(value).partition(".")
            is_wire = isinstance(value, str) and source in calls
            wired[key] = Wire(source, int(slot or 0)) if is_wire else value
        made.append(NodeCall(name, declared.id, wired))
    return Graph(made, document)


def chain(length: int, sink: str = "keep") -> Graph:
    """A chain of trivial nodes, each one more than the last, ending in an effect node (or in "step")."""
    calls = [NodeCall("0", "GlidewireStep")]
    calls += [NodeCall(str(index), "GlidewireStep", {"value": Wire(str(index - 1), 0)}) for index in range(1, length)]
    if sink == "keep":
        calls.append(NodeCall("sink", "GlidewireKeep", {"value": Wire(str(length - 1), 0)}))
    return Graph(calls)


@dataclass
class Bench:
    """A cache and folders in which graphs of the tiny nodes are run."""

    cache: Cache
    folders: Folders
    registry: Registry = REGISTRY
    policy: Policy = field(default_factory=Policy)
    events: list[Event] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, graph: Graph, *targets: str, **options: Any) -> RunResult:
        self.events.clear()
        RAN.clear()
        options.setdefault("on_event", self.events.append)
        return run(
            graph,
            self.registry,
            self.cache,
            folders=self.folders,
            policy=self.policy,
            targets=targets or None,
            **options,
        )

    def plan(self, graph: Graph, *targets: str) -> Plan:
        return plan(graph, self.registry, self.cache, folders=self.folders, policy=self.policy, targets=targets or None)

    def names(self, kind: type[Event]) -> list[str]:
        """The nodes of the events of one kind, in order."""
        return [event.node for event in self.events if isinstance(event, kind)]


def bench(folder: Path, **options: Any) -> Bench:
    """A bench over a folder: input files in `input`, results in `output`."""
    (folder / "input").mkdir(exist_ok=True)
    return Bench(Cache(**options), Folders(input=(folder / "input",), output=folder / "output"))
