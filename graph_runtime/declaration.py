"""`@node`: a typed function becomes a node, and its signature and docstring become the whole declaration."""

from __future__ import annotations

import functools
import inspect
import operator
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import update_wrapper
from typing import Annotated, Any, Generic, ParamSpec, TypeVar, Union, cast, get_args, get_origin

from ..errors import GlidewireError
from .context import Context
from .dims import parse
from .docstrings import Docstring, parse_docstring
from .sockets import ANY, COMBO, Dims, SocketType, types_of
from .widgets import Choice, File, Number, Text, Toggle, Widget, Wired

P = ParamSpec("P")
R = TypeVar("R")

INJECTED: Context = cast(Context, None)
"""The default of a node's `context` parameter, which comes last: whoever runs the node puts the real one in."""

REQUIRED: Any = inspect.Parameter.empty
"""The default of an input that has none."""

_WIDGET_OF: dict[Any, Widget] = {int: Number(), float: Number(), str: Text(), bool: Toggle()}


@dataclass(frozen=True)
class InputDeclaration:
    """One input: a socket, or a literal with a widget (which may be wired as well)."""

    id: str
    types: tuple[SocketType, ...]
    dims: str = "..."
    widget: Widget | None = None
    default: Any = REQUIRED
    optional: bool = False
    is_list: bool = False
    variable: str | None = None
    tooltip: str = ""

    @property
    def type_ids(self) -> tuple[str, ...]:
        """The socket types that fit, by id."""
        return tuple(kind.id for kind in self.types)

    @property
    def is_literal(self) -> bool:
        """Whether a value may be written into it (it has a widget)."""
        return self.widget is not None and not isinstance(self.widget, Wired)


@dataclass(frozen=True)
class OutputDeclaration:
    """One output socket."""

    id: str
    types: tuple[SocketType, ...]
    dims: str = "..."
    is_list: bool = False
    variable: str | None = None
    tooltip: str = ""

    @property
    def type_ids(self) -> tuple[str, ...]:
        """The socket types that it may yield, by id."""
        return tuple(kind.id for kind in self.types)


@dataclass(frozen=True)
class NodeDeclaration:
    """Everything that any door needs to know of a node.

    Args:
        id: The name in workflow files, forever: "GlidewireClassifierFreeGuidance".
        name: The Python name of the function.
        title: What the editor shows.
        category: Where the editor files it, parts separated by "/".
        inputs, outputs: In order; both their ids and their order are forever.
        function: The pure function itself.
        version: Bumped when results change: cached results of this node are then not found any more.
        effect: It does something outside (saves, shows): it is always run, and it is why other nodes run.
        by_value: Consumers are keyed by the digest of its outputs, not by how they were made: for cheap nodes
            (numbers, tokens, sizes) of which many inputs give the same output.
        static_dims: literals (files as resolved paths) -> dims of the outputs, from headers and configs alone.
        validate: Functions that raise a GlidewireError for values that the node could not run with. Each asks by
            the names of its parameters for inputs, for names and tags of the node's dims, or for `folders`; check
            calls it where all of them are known (but for those with a default).
        lazy: The values of the non-lazy inputs -> the ids of the lazy inputs that are needed.
        lazy_inputs: The inputs that are only computed when `lazy` asks for them.
        aliases: Former ids.
        memo: A name under which nodes share what they store inside (samplers their segments); by default a node has
            its id and version for itself.
        documentation: The parsed docstring.
    """

    id: str
    name: str
    title: str
    category: str
    inputs: tuple[InputDeclaration, ...]
    outputs: tuple[OutputDeclaration, ...]
    function: Callable[..., Any]
    documentation: Docstring
    version: int = 1
    effect: bool = False
    by_value: bool = False
    static_dims: Callable[..., Mapping[str, int | str]] | None = None
    validate: tuple[Callable[..., None], ...] = ()
    lazy: Callable[..., Sequence[str]] | None = None
    lazy_inputs: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    memo: str = ""
    takes_context: bool = False
    several_outputs: bool = False
    by_input: Mapping[str, InputDeclaration] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_input", {entry.id: entry for entry in self.inputs})

    def output_index(self, output: str) -> int | None:
        """The position of the output called `output`, or None."""
        return next((index for index, entry in enumerate(self.outputs) if entry.id == output), None)

    def results(self, returned: Any) -> tuple[Any, ...]:
        """What the function returned, as one value per output."""
        if not self.outputs:
            return ()
        return tuple(returned) if self.several_outputs else (returned,)


Recorder = Callable[[NodeDeclaration, tuple[Any, ...], dict[str, Any]], Any]

RECORDER: ContextVar[Recorder | None] = ContextVar("glidewire_recorder", default=None)
"""Set while a workflow is being written in Python: node calls go into it instead of running."""


class NodeFunction(Generic[P, R]):
    """A node: call it as the plain function it is, or inside a `Workflow` to write it into the graph."""

    def __init__(self, function: Callable[P, R], declaration: NodeDeclaration) -> None:
        self.function, self.declaration = function, declaration
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function (in a context of its own unless given one), or record the call in a workflow."""
        recorder = RECORDER.get()
        if recorder is not None:
            return recorder(self.declaration, args, kwargs)
        if self.declaration.takes_context:
            kwargs.setdefault("context", Context())
        return self.function(*args, **kwargs)


def node(
    *,
    category: str,
    version: int = 1,
    title: str | None = None,
    id: str | None = None,  # noqa: A002
    effect: bool = False,
    by_value: bool = False,
    static_dims: Callable[..., Mapping[str, int | str]] | None = None,
    validate: Callable[..., None] | Sequence[Callable[..., None]] = (),
    lazy: Callable[..., Sequence[str]] | None = None,
    lazy_inputs: Sequence[str] = (),
    aliases: Sequence[str] = (),
    memo: str = "",
) -> Callable[[Callable[P, R]], NodeFunction[P, R]]:
    """Turn a typed function into a node; the arguments are those of `NodeDeclaration`.

    Raises:
        TypeError: an annotation is missing, names no socket type or states dims that cannot be read, or a lazy input
            or a parameter of a validation does not exist.
    """

    def wrap(function: Callable[P, R]) -> NodeFunction[P, R]:
        hints = typing.get_type_hints(function, include_extras=True)
        documentation = parse_docstring(inspect.getdoc(function) or "")
        parameters = inspect.signature(function).parameters
        inputs = tuple(
            _input(name, hints.get(name), parameter, documentation, function)
            for name, parameter in parameters.items()
            if name != "context"
        )
        unknown = set(lazy_inputs) - {entry.id for entry in inputs}
        if unknown:
            raise TypeError(f"{function.__name__}: lazy inputs {sorted(unknown)} do not exist")
        outputs, several = _outputs(hints.get("return"), documentation, function)
        name = function.__name__
        declaration = NodeDeclaration(
            id=id or "Glidewire" + "".join(part.capitalize() for part in name.split("_")),
            name=name,
            title=title or name.replace("_", " ").capitalize(),
            category=category,
            inputs=inputs,
            outputs=outputs,
            function=function,
            documentation=documentation,
            version=version,
            effect=effect,
            by_value=by_value,
            static_dims=static_dims,
            validate=(validate,) if callable(validate) else tuple(validate),
            lazy=lazy,
            lazy_inputs=tuple(lazy_inputs),
            aliases=tuple(aliases),
            memo=memo,
            takes_context="context" in parameters,
            several_outputs=several,
        )
        _require_known_parameters(declaration)
        return NodeFunction(function, declaration)

    return wrap


def _require_known_parameters(declaration: NodeDeclaration) -> None:
    patterns = [parse(socket.dims) for socket in (*declaration.inputs, *declaration.outputs)]
    known = {"folders", *declaration.by_input}
    known |= {axis.name or "" for pattern in patterns for axis in (*pattern.head, *pattern.tail)}
    known |= {tag for pattern in patterns for tag in pattern.tags}
    for function in declaration.validate:
        unknown = set(inspect.signature(function).parameters) - known
        if unknown:
            raise TypeError(f"{declaration.name}: a validation asks for {sorted(unknown)}, which it does not have")


def _input(
    name: str, hint: Any, parameter: inspect.Parameter, documentation: Docstring, function: Callable[..., Any]
) -> InputDeclaration:
    if hint is None:
        raise TypeError(f"{function.__name__}: input {name} has no annotation")
    entry = _read(hint, f"{function.__name__}: input {name}")
    widget = entry.widget
    if widget is None and isinstance(entry.python, type):
        widget = _WIDGET_OF.get(entry.python)
    types_ = entry.types
    if isinstance(widget, File):
        types_ = types_of(str)
    return InputDeclaration(
        id=name,
        types=types_,
        dims=entry.dims,
        widget=widget,
        default=parameter.default,
        optional=entry.optional,
        is_list=entry.is_list,
        variable=entry.variable,
        tooltip=documentation.arguments.get(name, ""),
    )


def _outputs(
    hint: Any, documentation: Docstring, function: Callable[..., Any]
) -> tuple[tuple[OutputDeclaration, ...], bool]:
    if hint is None or hint is type(None):
        return (), False
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        fields = typing.get_type_hints(hint, include_extras=True)
        return tuple(_output(name, fields[name], "", function) for name in hint._fields), True
    single = _output("", hint, documentation.returns, function)
    return (replace(single, id=single.types[0].id.lower() if single.types[0] != ANY else "value"),), False


def _output(name: str, hint: Any, tooltip: str, function: Callable[..., Any]) -> OutputDeclaration:
    entry = _read(hint, f"{function.__name__}: output {name or 'return'}")
    return OutputDeclaration(name, entry.types, entry.dims, entry.is_list, entry.variable, tooltip)


@dataclass(frozen=True)
class _Annotation:
    types: tuple[SocketType, ...]
    python: Any
    dims: str = "..."
    widget: Widget | None = None
    optional: bool = False
    is_list: bool = False
    variable: str | None = None


def _read(hint: Any, where: str) -> _Annotation:
    """Read `Socket[...]`, `Annotated[int, Number()]`, `Literal[...]`, `list[...]`, `... | None` or a TypeVar."""
    if get_origin(hint) is list:
        return replace(_read(get_args(hint)[0], where), is_list=True)
    if get_origin(hint) in (Union, types.UnionType):
        arms = [arm for arm in get_args(hint) if arm is not type(None)]
        if len(arms) < len(get_args(hint)):
            inner: Any = arms[0] if len(arms) == 1 else functools.reduce(operator.or_, arms)
            return replace(_read(inner, where), optional=True)
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        entry = _read(inner, where)
        for mark in marks:
            if isinstance(mark, Dims):
                try:
                    parse(mark.text)
                except GlidewireError as problem:
                    raise TypeError(f"{where}: {problem}") from None
                entry = replace(entry, dims=mark.text)
            elif isinstance(mark, Widget):
                entry = replace(entry, widget=mark)
        return entry
    if get_origin(hint) is typing.Literal:
        return _Annotation((COMBO,), str, widget=Choice(options=get_args(hint)))
    try:
        found = types_of(hint)
    except TypeError as problem:
        raise TypeError(f"{where}: {problem}") from None
    return _Annotation(found, hint, variable=hint.__name__ if isinstance(hint, TypeVar) else None)
