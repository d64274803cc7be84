"""Unification of dims: the axes and tags of sockets, matched over wires, with runs of axes of unknown length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .affine import Clash, Value, Variables

if TYPE_CHECKING:
    from .dims import Axis, Pattern

MOST_AXES = 64
"""The number of axes that a torch tensor may have."""


class Axes(NamedTuple):
    """The axes of one socket: variables, around a run of axes where `run` is not None."""

    head: tuple[int, ...]
    run: int | None = None
    tail: tuple[int, ...] = ()

    @property
    def is_free(self) -> bool:
        """Whether it is a run and nothing else."""
        return self.run is not None and not self.head and not self.tail


class Unifier(Variables):
    """Axes of sockets and what is known of them; a statement that clashes is reported and changes nothing.

    The names of one node live in a scope, a dictionary that the caller keeps: name, "height/8", "...run" and "@tag"
    to variables. A run that is given two forms whose answer is not unique yet (`a ...x` = `...y b`) waits until one
    of its runs is known.
    """

    def __init__(self) -> None:
        super().__init__()
        self._run_is: list[Axes | None] = []
        self._run_waits: dict[int, list[tuple[Axes, Axes]]] = {}

    def run(self) -> int:
        """A new run of axes of which nothing is known."""
        self._run_is.append(None)
        return len(self._run_is) - 1

    def constants(self, sizes: Iterable[int], source: Any = None) -> Axes:
        """Axes of known sizes."""
        return Axes(tuple(self.variable(str(size), size, source) for size in sizes))

    def name(self, scope: dict[str, int], name: str) -> int:
        """The variable of a name or an "@tag" in a scope."""
        if name not in scope:
            scope[name] = self.variable(name)
        return scope[name]

    def instantiate(self, pattern: Pattern, scope: dict[str, int], source: Any = None) -> tuple[Axes, list[Clash]]:
        """The axes of a socket of the node whose names are in `scope`, which grows; `source` says its numbers.

        Returns:
            The axes, and the clashes of derived axes: `height/8` where height is 100.
        """
        clashes: list[Clash] = []
        head = tuple([self._axis(axis, scope, source, clashes) for axis in pattern.head])
        if pattern.run is None:
            return Axes(head), clashes
        run = scope.get(f"...{pattern.run}") if pattern.run else None
        if run is None:
            run = self.run()
            if pattern.run:
                scope[f"...{pattern.run}"] = run
        return Axes(head, run, tuple([self._axis(axis, scope, source, clashes) for axis in pattern.tail])), clashes

    def _axis(self, axis: Axis, scope: dict[str, int], source: Any, clashes: list[Clash]) -> int:
        if axis.name is None:
            return self.variable(axis.text, axis.offset, source)
        if axis.name == "_":
            return self.variable()
        known = scope.get(axis.text)
        if known is not None:
            return known
        base = self.name(scope, axis.name)
        if axis.text == axis.name:
            return base
        scope[axis.text], clash = self.derived(base, axis.scale, axis.offset, axis.text)
        if clash:
            clashes.append(clash)
        return scope[axis.text]

    def match(self, left: Axes, right: Axes, source: Any = None) -> list[Clash]:
        """Say that two sockets carry the same axes; each axis that clashes is reported, the others are settled."""
        clashes: list[Clash] = []
        waiting = [(left, right)]
        while waiting:
            left, right = (self.expanded(side) for side in waiting.pop())
            pairs = self._aligned(left, right, waiting)
            if pairs is None:
                clashes.append(Clash(_count(left), _count(right), what="number of axes"))
                continue
            for axis, one, other in pairs:
                clash = self.equate(one, other, source)
                if clash:
                    what = next((name for name in map(self.label, (other, one)) if name.isidentifier()), "_")
                    clashes.append(replace(clash, axis=axis, what=what))
        return clashes

    def _aligned(self, left: Axes, right: Axes, waiting: list[tuple[Axes, Axes]]) -> list[tuple[int, int, int]] | None:
        """The pairs (axis, left, right) that stand at the same place, or None where the numbers of axes differ."""
        if max(len(left.head) + len(left.tail), len(right.head) + len(right.tail)) > MOST_AXES:
            return None
        if left.run is None and right.run is None:
            if len(left.head) != len(right.head):
                return None
        elif left.run is None or right.run is None:
            whole, part = (left, right) if left.run is None else (right, left)
            end = len(whole.head) - len(part.tail)
            if end < len(part.head):
                return None
            self._know(part.run, Axes(whole.head[len(part.head) : end]), waiting)
            tail = whole.head[end:]
            left, right = left._replace(tail=left.tail or tail), right._replace(tail=right.tail or tail)
        elif not self._match_runs(left, right, waiting):
            return None
        pairs = [(axis, *pair) for axis, pair in enumerate(zip(left.head, right.head, strict=False), 1)]
        ends = zip(reversed(left.tail), reversed(right.tail), strict=False)
        return pairs + [(-axis, *pair) for axis, pair in enumerate(ends, 1)]

    def _match_runs(self, left: Axes, right: Axes, waiting: list[tuple[Axes, Axes]]) -> bool:
        """Let one of two open runs be what the other side has beyond this one; False where lengths forbid it."""
        assert left.run is not None and right.run is not None
        heads, tails = min(len(left.head), len(right.head)), min(len(left.tail), len(right.tail))
        left_rest = Axes(left.head[heads:], left.run, left.tail[: len(left.tail) - tails])
        right_rest = Axes(right.head[heads:], right.run, right.tail[: len(right.tail) - tails])
        if left.run == right.run:
            if left_rest.is_free and right_rest.is_free:
                return True
            if len(left.head) + len(left.tail) != len(right.head) + len(right.tail):
                return False
        elif left_rest.is_free:
            self._know(left.run, right_rest, waiting)
            return True
        elif right_rest.is_free:
            self._know(right.run, left_rest, waiting)
            return True
        for run in {left.run, right.run}:
            self._run_waits.setdefault(run, []).append((left, right))
        return True

    def _know(self, run: int | None, axes: Axes, waiting: list[tuple[Axes, Axes]]) -> None:
        assert run is not None
        self._run_is[run] = axes
        waiting += self._run_waits.pop(run, ())

    def _last_run(self, run: int) -> int:
        """Follow runs that are only other names of a run; the way is shortened."""
        passed: list[int] = []
        while (known := self._run_is[run]) is not None and known.is_free:
            passed.append(run)
            assert known.run is not None
            run = known.run
        for alias in passed[:-1]:
            self._run_is[alias] = Axes((), run)
        return run

    def expanded(self, axes: Axes) -> Axes:
        """The same axes with what is known of their run in its place (at least up to the most axes there can be)."""
        if axes.run is None:
            return axes
        head, tails, count = [*axes.head], [axes.tail], 0
        run: int | None = self._last_run(axes.run)
        while run is not None and (known := self._run_is[run]) is not None and count <= MOST_AXES:
            head += known.head
            tails.append(known.tail)
            count += len(known.head) + len(known.tail)
            run = known.run if known.run is None else self._last_run(known.run)
        tail = tuple(axis for part in reversed(tails) for axis in part)
        return Axes((*head, *tail)) if run is None else Axes(tuple(head), run, tail)

    def values(self, axes: Axes) -> list[Value | None]:
        """The sizes of the axes as far as they are known; an open run has none."""
        axes = self.expanded(axes)
        return [self.value(variable) for variable in (*axes.head, *axes.tail)]

    def show(self, axes: Axes, unknown: str | None = None) -> str:
        """The axes as dims: sizes where they are known, else `unknown` or the names that the node gave."""
        axes = self.expanded(axes)
        run = ["..."] if axes.run is not None else []
        return " ".join([*self._texts(axes.head, unknown), *run, *self._texts(axes.tail, unknown)])

    def _texts(self, variables: Sequence[int], unknown: str | None) -> list[str]:
        values = [(variable, self.value(variable)) for variable in variables]
        return [unknown or self.label(variable) if value is None else str(value) for variable, value in values]


def _count(axes: Axes) -> str:
    count = len(axes.head) + len(axes.tail)
    return f"{count}" if axes.run is None else f"at least {count}"
