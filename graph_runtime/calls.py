"""One call of one node: its context, list semantics, and what an exception becomes."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import GlidewireError
from . import codec, events
from .arguments import coerce, literal
from .cache import Cache
from .cache.frames import CacheFrames
from .cache.memo import CacheMemo
from .context import CancelledError, CancelToken, Context, Policy
from .declaration import REQUIRED, InputDeclaration, NodeDeclaration
from .folders import Folders
from .frames import Frames
from .graph import NodeCall
from .mapping import per_item
from .problems import NodeFailure


@dataclass(frozen=True)
class Made:
    """What a call gave: one value per output, the wall time, and what the node wants shown."""

    outputs: tuple[Any, ...]
    seconds: float
    shown: Mapping[str, Any]


@dataclass(frozen=True)
class Caller:
    """What all calls of a run share; `emit` gets the events of the nodes, and with `frames` they leave theirs."""

    run: str
    cache: Cache
    policy: Policy
    folders: Folders
    cancel: CancelToken
    environment: Mapping[str, str]
    emit: events.Listener
    provenance: Mapping[str, str] = field(default_factory=dict)
    previews: bool = False
    frames: bool = False

    def call(
        self,
        declaration: NodeDeclaration,
        call: NodeCall,
        values: Mapping[str, Any],
        listed: tuple[str, ...],
        key: str | None = None,
    ) -> Made | NodeFailure:
        """Run a node's function on its inputs, once or once per item of the inputs named in `listed`.

        Args:
            declaration, call: The node.
            values: Its inputs.
            listed: The inputs that bring lists of items.
            key: The node's key, under which its frames are found.

        Raises:
            CancelledError: the node noticed that the user cancelled.
        """
        shown: dict[str, Any] = {}
        begun = time.perf_counter()
        try:
            missing = [
                entry.id
                for entry in declaration.inputs
                if values[entry.id] is None
                and entry.default is REQUIRED
                and not entry.optional
                and entry.id not in declaration.lazy_inputs
            ]
            if missing:
                raise GlidewireError(
                    f"input {missing[0]} is missing", expected="a wire or a value", hint="Check the workflow first."
                )
            context = self._context(declaration, call, shown, key)
            outputs = self._results(declaration, context, values, listed)
        except CancelledError:
            raise
        except Exception as problem:
            return failure(call, values, problem)
        return Made(outputs, time.perf_counter() - begun, shown)

    def _results(
        self,
        declaration: NodeDeclaration,
        context: Context,
        values: Mapping[str, Any],
        listed: tuple[str, ...],
    ) -> tuple[Any, ...]:
        function = declaration.function
        extra = {"context": context} if declaration.takes_context else {}
        if not listed:
            results = declaration.results(function(**values, **extra))
            pairs = zip(declaration.outputs, results, strict=True)
            return tuple(list(value) if output.is_list else value for output, value in pairs)
        gathered: tuple[list[Any], ...] = tuple([] for _ in declaration.outputs)
        for item in per_item(values, listed):
            if self.cancel.cancelled:
                raise CancelledError
            for output, into, value in zip(
                declaration.outputs, gathered, declaration.results(function(**item, **extra)), strict=True
            ):
                into.extend(value) if output.is_list else into.append(value)
        return gathered

    def _context(self, declaration: NodeDeclaration, call: NodeCall, shown: dict[str, Any], key: str | None) -> Context:
        place = {"run": self.run, "node": call.id, "title": call.shown_title}

        def on_progress(done: int, total: int, text: str, preview: Any) -> None:
            self.emit(events.Progress(**place, done=done, total=total, text=text, preview=preview))

        return Context(
            policy=self.policy,
            folders=self.folders,
            memo=CacheMemo(self.cache, declaration, self.environment),
            cancel=self.cancel,
            on_progress=on_progress,
            on_warning=lambda message: self.emit(events.Warned(**place, message=message)),
            provenance=self.provenance,
            shown=shown,
            wants_previews=self.previews,
            frames=CacheFrames(self.cache, key, self.environment) if self.frames and key else Frames(),
        )


def inputs_of(
    declaration: NodeDeclaration, call: NodeCall, wired: Mapping[str, tuple[Any, bool]], left_out: frozenset[str]
) -> dict[str, Any]:
    """Every input of a call by id.

    Args:
        declaration, call: The node.
        wired: What came over each wire, and whether it is a list of items.
        left_out: Lazy inputs that were not asked for: None.
    """
    values: dict[str, Any] = {}
    for entry in declaration.inputs:
        if entry.id in left_out:
            values[entry.id] = None
        elif entry.id in wired:
            values[entry.id] = _arrived(entry, *wired[entry.id])
        else:
            values[entry.id] = literal(entry, call)
    return values


def failure(call: NodeCall, values: Mapping[str, Any], problem: Exception) -> NodeFailure:
    """An exception inside a node as data: our own errors speak for themselves, others are introduced."""
    if isinstance(problem, GlidewireError):
        text = str(problem)
    elif _out_of_memory(problem):
        text = (
            "not enough memory. Use a smaller batch or picture, a shorter number type (--dtype), or give the cache less"
        )
    else:
        text = f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
    return NodeFailure(
        node=call.id,
        title=call.shown_title,
        error=text,
        kind=type(problem).__name__,
        inputs={name: codec.describe(value) for name, value in values.items()},
        traceback="".join(traceback.format_exception(problem)),
    )


def _arrived(entry: InputDeclaration, value: Any, listed: bool) -> Any:
    """What came over a wire as the function takes it: whole numbers made real, one value made a list of one."""
    if listed:
        return [coerce(entry, item) for item in value]
    value = coerce(entry, value)
    return [value] if entry.is_list else value


def _out_of_memory(problem: Exception) -> bool:
    kinds: tuple[type[BaseException], ...] = (MemoryError, torch.OutOfMemoryError)
    return isinstance(problem, kinds) or "can't allocate memory" in str(problem)
