"""Plain values as nodes, lists of them, and the switch: what steers a workflow rather than computes in it."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Seed, Text, Wired
from .number_lists import numbers_of, whole_numbers_of

T = TypeVar("T")


def _are_numbers(numbers: str) -> None:
    numbers_of(numbers)


def _are_whole(numbers: str) -> None:
    whole_numbers_of(numbers)


@node(category="values", by_value=True)
def text(value: Annotated[str, Text(multiline=True)] = "") -> str:
    """A text that several nodes can share.

    Args:
        value: The text.

    Returns: The same text.

    Source: none (utility).
    """
    return value


@node(category="values", by_value=True)
def integer(value: Annotated[int, Number(min=-(2**53), max=2**53)] = 0) -> int:
    """A whole number that several nodes can share.

    Args:
        value: The number.

    Returns: The same number.

    Source: none (utility).
    """
    return value


@node(category="values", by_value=True)
def number(value: Annotated[float, Number(min=-1e12, max=1e12, step=0.01)] = 0.0) -> float:
    """A real number that several nodes can share.

    Args:
        value: The number.

    Returns: The same number.

    Source: none (utility).
    """
    return value


@node(category="values", by_value=True)
def seed(value: Annotated[int, Seed()] = 0) -> int:
    """A seed that several nodes can share.

    Args:
        value: The seed, 0 to 2^53 - 1.

    Returns: The same seed.

    Source: none (utility).
    """
    return value


@node(category="values", by_value=True)
def text_list(lines: Annotated[str, Text(multiline=True)] = "") -> list[str]:
    """One text per line: what it is wired to runs once for each.

    Args:
        lines: The texts, one per line; empty lines are left out.

    Returns: The list of texts.

    Raises: GlidewireError where no line holds a text.

    Source: none (utility).
    """
    found = [line.strip() for line in lines.splitlines() if line.strip()]
    if not found:
        raise GlidewireError(
            "the list of texts is empty", expected="at least one line that is not blank", got=repr(lines)
        )
    return found


@node(category="values", by_value=True)
def seed_list(first: Annotated[int, Seed()] = 0, count: Annotated[int, Number(min=1, max=4096)] = 4) -> list[int]:
    """`count` seeds counting up from `first`: what it is wired to runs once for each.

    Args:
        first: The first seed.
        count: How many.

    Returns: The list of seeds.

    Source: none (utility).
    """
    return [first + index for index in range(count)]


@node(category="values", by_value=True, validate=_are_numbers)
def number_list(numbers: Annotated[str, Text()] = "1, 2, 3") -> list[float]:
    """A list of numbers, a guidance scale's for one: what it is wired to runs once for each.

    Args:
        numbers: The numbers, with commas between.

    Returns: The list of numbers.

    Raises: GlidewireError for a text that holds something else, or nothing.

    Source: none (utility).
    """
    return numbers_of(numbers)


@node(category="values", by_value=True, validate=_are_whole)
def integer_list(numbers: Annotated[str, Text()] = "4, 8, 12") -> list[int]:
    """A list of whole numbers, of steps for one: what it is wired to runs once for each.

    Args:
        numbers: The numbers, with commas between.

    Returns: The list of whole numbers.

    Raises: GlidewireError for a text that holds something else, or nothing.

    Source: none (utility).
    """
    return whole_numbers_of(numbers)


@node(category="values", by_value=True)
def collect_numbers(
    first: Annotated[float, Wired()],
    second: Annotated[float, Wired()] | None = None,
    third: Annotated[float, Wired()] | None = None,
    fourth: Annotated[float, Wired()] | None = None,
    fifth: Annotated[float, Wired()] | None = None,
    sixth: Annotated[float, Wired()] | None = None,
    seventh: Annotated[float, Wired()] | None = None,
    eighth: Annotated[float, Wired()] | None = None,
) -> list[float]:
    """Make a list of numbers that come from several nodes: a column of a table, or a line of a plot.

    Args:
        first, second, third, fourth, fifth, sixth, seventh, eighth: The numbers; what is not wired is left out.

    Returns: The list, in this order.

    Source: none (utility).
    """
    given = (first, second, third, fourth, fifth, sixth, seventh, eighth)
    return [number for number in given if number is not None]


@node(category="values", by_value=True)
def mean(numbers: list[Annotated[float, Wired()]]) -> float:
    """The mean of a list of numbers, of a metric over many seeds for one.

    Args:
        numbers: The list.

    Returns: Their sum over their count.

    Raises: GlidewireError for an empty list.

    Source: none (utility).
    """
    if not numbers:
        raise GlidewireError("an empty list has no mean", expected="at least one number", got="none")
    return sum(numbers) / len(numbers)


@node(category="values", by_value=True)
def join_texts(texts: list[Annotated[str, Wired()]], between: Annotated[str, Text()] = "\n") -> str:
    """Join a list of texts, labels of a grid for one.

    Args:
        texts: The list.
        between: What stands between them; a line break by default.

    Returns: One text.

    Source: none (utility).
    """
    return between.join(texts)


@node(category="values", by_value=True)
def number_text(
    number: Annotated[float, Wired()],
    before: Annotated[str, Text()] = "",
    after: Annotated[str, Text()] = "",
    digits: Annotated[int, Number(min=0, max=12)] = 2,
) -> str:
    """Write a number as a text.

    Args:
        number: The number.
        before, after: What stands around it.
        digits: Behind the decimal point; zeros at the end are left out.

    Returns: "before" + the number + "after".

    Source: none (utility).
    """
    shown = f"{number:.{digits}f}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return f"{before}{'0' if shown == '-0' else shown}{after}"


@node(category="values")
def pick(
    items: list[Socket[T, "...shape"]], index: Annotated[int, Number(min=0, max=100_000)] = 0
) -> Socket[T, "...shape"]:
    """Take one item of a list.

    Args:
        items: The list, of anything.
        index: Which item, counted from 0.

    Returns: That item.

    Raises: GlidewireError where the list is shorter.

    Source: none (utility).
    """
    if index >= len(items):
        raise GlidewireError(f"item {index} of a list of {len(items)}", expected=f"0 to {len(items) - 1}", got=index)
    return items[index]


def _branch(condition: bool, **_: Any) -> list[str]:
    return ["on_true"] if condition else ["on_false"]


@node(category="values", lazy=_branch, lazy_inputs=["on_true", "on_false"])
def switch(
    condition: bool = True,
    on_true: Socket[T, "...shape"] | None = None,
    on_false: Socket[T, "...shape"] | None = None,
) -> Socket[T, "...shape"]:
    """Pass one of two inputs on; the other one is not computed.

    Args:
        condition: Which.
        on_true: Passed on if the condition holds.
        on_false: Passed on if it does not.

    Returns: The chosen input.

    Raises: GlidewireError where the chosen input is not wired.

    Source: none (utility).
    """
    chosen = on_true if condition else on_false
    if chosen is None:
        name = "on_true" if condition else "on_false"
        raise GlidewireError(
            f"the switch chose {name}, which is not wired", expected=f"a wire into {name}", got="nothing"
        )
    return chosen


@node(category="values", effect=True)
def show_text(value: Annotated[str, Wired()], context: Context = INJECTED) -> None:
    """Show a text on the node.

    Args:
        value: The text.

    Source: none (utility).
    """
    context.show(text=[value])
