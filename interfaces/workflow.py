"""`Workflow`: a graph written as Python calls, which can be checked, run, saved and loaded."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from contextvars import Token
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, Unpack, overload

from ..errors import GlidewireError
from ..graph_runtime import formats
from ..graph_runtime.check import Report
from ..graph_runtime.context import CancelToken
from ..graph_runtime.declaration import RECORDER, NodeDeclaration, Recorder
from ..graph_runtime.events import Event
from ..graph_runtime.graph import Graph, NodeCall, Wire
from ..graph_runtime.plan import Plan
from ..graph_runtime.registry import Registry
from .assignments import assign, find_node, relative_names
from .placeholders import Output
from .recording import bind, foreign, written
from .results import Results, RunFailedError
from .session import Loaded, Session, SessionOptions, load, pack_registry
from .surroundings import find_folders

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

Source = str | Path | Mapping[str, Any] | Graph


class Workflow:
    """A workflow written in Python: inside `with Workflow() as flow:` a node call is recorded instead of run.

    Args:
        name: What it is called in messages.
        registry: The nodes it is checked against, beside those that it calls; those of the pack if left out.

    Example:
        with Workflow("two pictures") as flow:
            noise = nodes.random_image(seed=1)
            nodes.save_image(noise)
        flow.run()
    """

    def __init__(self, name: str = "workflow", *, registry: Registry | None = None) -> None:
        self.name = name
        self._registry = registry
        self._called: dict[str, NodeDeclaration] = {}
        self._calls: dict[str, NodeCall] = {}
        self._loaded: Loaded | None = None
        self._files: set[Path] = set()
        self._tokens: list[Token[Recorder | None]] = []

    def __repr__(self) -> str:
        return f"<Workflow {self.name!r}, {len(self._calls)} nodes>"

    def __enter__(self) -> Workflow:
        self._tokens.append(RECORDER.set(self._record))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        RECORDER.reset(self._tokens.pop())

    @classmethod
    def load(cls, source: Source, *, registry: Registry | None = None) -> Workflow:
        """A workflow from a saved workflow, an API form, a picture, a shipped workflow's name, or a graph."""
        loaded = load(source, registry or pack_registry())
        flow = cls(loaded.path.stem if loaded.path else "workflow", registry=registry)
        flow._calls, flow._loaded = dict(loaded.graph.calls), loaded
        return flow

    # What it is.

    @property
    def registry(self) -> Registry:
        """The nodes of the pack (or those given), and those that were called."""
        known = pack_registry() if self._registry is None else self._registry
        own = [entry for entry in self._called.values() if known.get(entry.id) is not entry]
        return Registry([*known, *own]) if own else known

    @property
    def graph(self) -> Graph:
        """The graph as it is written so far."""
        return Graph(self._calls.values(), self._loaded.graph.document if self._loaded else None)

    def node(self, name: str) -> Any:
        """The placeholder of a node (or a tuple of them), by the node's id or title; to go on from a loaded workflow.

        Raises:
            GlidewireError: no node has that name, or several have.
        """
        call = find_node(self.graph, name)
        declaration = self.registry.get(call.type)
        if declaration is None:
            raise GlidewireError(f"node {name} is of the unknown type {call.type}", expected="a known node type")
        return self._placeholder(call.id, declaration)

    def titled(self, title: str, outputs: T) -> T:
        """Give the node call just written a title: `image = flow.titled("Base", nodes.sampler(...))`."""
        first = outputs[0] if isinstance(outputs, tuple) and outputs else outputs
        node = first.wire.node if isinstance(first, Output) else next(reversed(self._calls), None)
        if node is None or (isinstance(first, Output) and first.workflow is not self):
            raise GlidewireError("there is no node call to title", expected="a node call of this workflow", got=outputs)
        self._calls[node] = replace(self._calls[node], title=title)
        return outputs

    def set(self, **changes: Any) -> None:
        """Change inputs: by unique name (`prompt="a red cube"`), or `**{"3.seed": 7}`, node by id or title."""
        graph, files = assign(self.graph, self.registry, changes)
        self._calls = dict(graph.calls)
        self._files |= files

    # What it does.

    def check(self, **options: Unpack[SessionOptions]) -> Report:
        """Every problem of the workflow in one pass, and the dims on its wires; nothing is loaded."""
        report = self._session(options).check(self.graph)
        return replace(report, problems=self._loaded.problems_with(report.problems)) if self._loaded else report

    def plan(self, *outputs: Any, **options: Unpack[SessionOptions]) -> Plan:
        """What would run, what is cached, and why."""
        return self._ready(options).plan(self.graph, self._targets(outputs))

    def run(
        self,
        *outputs: Any,
        on_event: Callable[[Event], None] = lambda event: None,
        cancel: CancelToken | None = None,
        keep_going: bool = False,
        metadata: bool = True,
        **options: Unpack[SessionOptions],
    ) -> Results:
        """Run the effect nodes (those that save and show), or exactly the `outputs` given.

        Args:
            outputs: Placeholders whose values are wanted.
            on_event: Receives the runtime's events.
            cancel: Set it from another thread to stop within one step.
            keep_going: Finish what does not depend on a node that failed.
            metadata: Saved pictures carry the workflow.
            options: Those of `SessionOptions`.

        Raises:
            GraphProblems: something is wrong with the workflow.
            RunFailedError: a node failed (or the run was cancelled).
        """
        result = self._ready(options).run(
            self.graph,
            self._targets(outputs),
            on_event=on_event,
            cancel=cancel,
            keep_going=keep_going,
            metadata=metadata,
        )
        if not result.ok:
            raise RunFailedError(result)
        return Results(result, self)

    @overload
    def fetch(self, first: A, /, **options: Unpack[SessionOptions]) -> A: ...
    @overload
    def fetch(self, first: A, second: B, /, **options: Unpack[SessionOptions]) -> tuple[A, B]: ...
    @overload
    def fetch(self, first: A, second: B, third: C, /, **options: Unpack[SessionOptions]) -> tuple[A, B, C]: ...
    @overload
    def fetch(self, *outputs: Any, **options: Unpack[SessionOptions]) -> Any: ...

    def fetch(self, *outputs: Any, **options: Any) -> Any:
        """Run what the outputs need and return their values: one value, or a tuple of several."""
        results = self.run(*outputs, **options)
        values = tuple(results[output] for output in outputs)
        return values[0] if len(values) == 1 else values

    def save(self, path: str | Path) -> Path:
        """Write the saved workflow that the editor opens, with an automatic layout; all of it or nothing."""
        formats.write(Path(path), formats.to_saved(self._portable(path), self.registry))
        return Path(path)

    def save_api(self, path: str | Path) -> Path:
        """Write the API form; all of it or nothing."""
        formats.write(Path(path), formats.to_api(self._portable(path)))
        return Path(path)

    # How node calls are written down.

    def _record(self, declaration: NodeDeclaration, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        inputs: dict[str, Any] = {}
        for name, value in bind(declaration, args, kwargs).items():
            entry = declaration.by_input[name]
            if value is not None or not entry.optional:
                inputs[name], files = written(value, entry, declaration.name, self)
                self._files |= files
        node = str(max((int(known) for known in self._calls if known.isdecimal()), default=0) + 1)
        self._calls[node] = NodeCall(node, declaration.id, inputs)
        self._called[declaration.id] = declaration
        return self._placeholder(node, declaration)

    def _placeholder(self, node: str, declaration: NodeDeclaration) -> Any:
        name = f"node {node} ({declaration.title})"
        outputs = [
            Output(self, Wire(node, index), f"{name}, output {entry.id}")
            for index, entry in enumerate(declaration.outputs)
        ]
        if not outputs:
            return None
        if not declaration.several_outputs:
            return outputs[0]
        return typing.get_type_hints(declaration.function)["return"]._make(outputs)

    def _portable(self, path: str | Path) -> Graph:
        """The graph with files beside `path`, and in the folders that are always there, named relative to them."""
        beside = find_folders((), (), "output", Path(path))
        return relative_names(self.graph, self.registry, beside)

    def _targets(self, outputs: tuple[Any, ...]) -> list[str] | None:
        nodes: dict[str, None] = {}
        for output in outputs:
            for one in output if isinstance(output, tuple) else (output,):
                if not isinstance(one, Output):
                    raise GlidewireError("only an output of a node can be asked for", expected="a placeholder", got=one)
                if one.workflow is not self:
                    raise foreign(one)
                nodes[one.wire.node] = None
        return list(nodes) or None

    def _ready(self, options: Mapping[str, Any]) -> Session:
        """The session, unless the document that was loaded has problems that a run must not pass over."""
        session = self._session(options)
        if self._loaded:
            self._loaded.require(session)
        return session

    def _session(self, options: Mapping[str, Any]) -> Session:
        return Session.open(
            registry=self.registry, workflow=self._loaded.path if self._loaded else None, **options
        ).allowing(self._files)
