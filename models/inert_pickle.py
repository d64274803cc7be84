"""A pickle read as plain data: what it would call is written down by name and never called."""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

# What pickles beside stored tensors take is some hundred bytes a tensor.
LONGEST = 8 * 2**20

_MARK = object()


class InertPickleError(Exception):
    """A pickle is damaged, or asks for what no checkpoint needs."""


@dataclass(frozen=True)
class Reference:
    """A class or function by its dotted name."""

    name: str


@dataclass(eq=False)
class Record:
    """What running the pickle would have made: of which class, from what, and the state it would have been given."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


Call = Callable[[str, tuple[Any, ...]], Any]


def read_pickle(file: BinaryIO, *, call: Call, stored: Callable[[Any], Any]) -> Any:
    """The value of one pickle, made of numbers, texts, lists, tuples, dicts, Records and what the functions answer.

    Args:
        file: Stands at the start of the pickle, and behind it afterwards.
        call: What stands for a call of the function or class of that name with those arguments.
        stored: What stands for something that is stored outside of the pickle, from its persistent id.

    Raises:
        InertPickleError: The pickle is damaged, longer than `LONGEST`, or has an instruction that no checkpoint
            needs.
    """
    machine = _Machine(call, stored)
    start = file.tell()
    try:
        for operation, argument, _ in pickletools.genops(file):
            if file.tell() - start > LONGEST:
                raise InertPickleError(f"a pickle of more than {LONGEST} bytes")
            if operation.name == "STOP":
                return machine.pop()
            machine.step(operation.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
        raise InertPickleError(f"a damaged pickle ({type(error).__name__}: {str(error)[:100]})") from error
    raise InertPickleError("a pickle without an end")


class _Machine:
    """The stack and the memo of one pickle; its instructions are those that `pickletools` documents."""

    def __init__(self, call: Call, stored: Callable[[Any], Any]) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.call, self.stored = call, stored

    def step(self, name: str, argument: Any) -> None:
        """One instruction."""
        if name in _VALUES:
            self.push(argument)
        elif name in _EMPTY:
            self.push(_EMPTY[name]())
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise InertPickleError(f"a pickle with the instruction {name}")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if self.stack[-1] is _MARK:
            raise InertPickleError("a damaged pickle (a mark in the place of a value)")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        """Everything above the topmost mark, which goes too."""
        values: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def last(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def extend(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def set_items(self, values: list[Any]) -> None:
        for key, value in zip(values[::2], values[1::2], strict=True):
            # A tuple could be nested deeper than hashing goes.
            if not isinstance(key, str | int | float | bytes | None):
                raise InertPickleError(f"a pickle with a {type(key).__name__} for a key")
            if isinstance(self.stack[-1], dict):
                self.stack[-1][key] = value

    def dict_of(self, values: list[Any]) -> None:
        self.push({})
        self.set_items(values)

    def build(self) -> None:
        state = self.pop()
        if isinstance(self.stack[-1], Record):
            self.stack[-1].state = state

    def apply(self, function: Any, arguments: Any, *, make: Call) -> None:
        if not isinstance(function, Reference) or not isinstance(arguments, tuple):
            raise InertPickleError("a damaged pickle (a call of what is no function)")
        self.push(make(function.name, arguments))


# Instructions whose argument is the value.
_VALUES = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8",
})  # fmt: skip
# Sets are lists: nobody asks one whether it holds a thing.
_EMPTY: Mapping[str, Callable[[], Any]] = {
    "EMPTY_LIST": list, "EMPTY_SET": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "MARK": lambda: _MARK,
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
}  # fmt: skip


def _store(machine: _Machine, place: int) -> None:
    machine.memo[place] = machine.stack[-1]


def _fetch(machine: _Machine, place: int) -> None:
    machine.push(machine.memo[place])


_ACTIONS: Mapping[str, Callable[[_Machine, Any], Any]] = {
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.since_mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "PUT": _store,
    "BINPUT": _store,
    "LONG_BINPUT": _store,
    "MEMOIZE": lambda m, _: _store(m, len(m.memo)),
    "GET": _fetch,
    "BINGET": _fetch,
    "LONG_BINGET": _fetch,
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.push(tuple(m.last(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.last(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.last(3))),
    "LIST": lambda m, _: m.push(m.since_mark()),
    "FROZENSET": lambda m, _: m.push(m.since_mark()),
    "DICT": lambda m, _: m.dict_of(m.since_mark()),
    "APPEND": lambda m, _: m.extend(m.last(1)),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "ADDITEMS": lambda m, _: m.extend(m.since_mark()),
    "SETITEM": lambda m, _: m.set_items(m.last(2)),
    "SETITEMS": lambda m, _: m.set_items(m.since_mark()),
    "GLOBAL": lambda m, name: m.push(Reference(name.replace(" ", "."))),
    "STACK_GLOBAL": lambda m, _: m.push(Reference(".".join(m.last(2)))),
    "REDUCE": lambda m, _: m.apply(*m.last(2), make=m.call),
    "NEWOBJ": lambda m, _: m.apply(*m.last(2), make=Record),
    "NEWOBJ_EX": lambda m, _: m.apply(*m.last(3)[:2], make=Record),
    "BUILD": lambda m, _: m.build(),
    "BINPERSID": lambda m, _: m.push(m.stored(m.pop())),
}
