"""Variables in affine relations (`latent = height / 8`), solved exactly in any order, and who said which number.

A union-find whose links carry an affine map, value(child) = scale * value(parent) + offset. A class of variables has a
value as soon as one statement settles it; until then it is only known how its members depend on one another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

Number = int | Fraction
Value = int | Fraction | str


@dataclass(frozen=True)
class Clash:
    """Two statements that cannot both hold.

    Args:
        left, right: What each says, as text.
        left_source, right_source: Who said so: whatever was handed in with the value, or None.
        axis: The axis, from 1 in order, from -1 in reverse; 0 where it is no single axis.
        what: What they disagree on: the name of an axis or a tag, or "number of axes".
        because: Where a value is no size for something derived from it: "height/8 would be 12.5"; then the value
            is `left`.
    """

    left: str
    right: str
    left_source: Any = None
    right_source: Any = None
    axis: int = 0
    what: str = "_"
    because: str = ""


class Variables:
    """Variables, numbered from 0, and what is known of them; a statement that clashes changes nothing."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._scale: list[Number] = []
        self._offset: list[Number] = []
        self._value: list[Value | None] = []
        self._source: list[Any] = []
        self._label: list[str] = []
        self._followers: dict[int, list[int]] = {}

    def variable(self, label: str = "_", value: Value | None = None, source: Any = None) -> int:
        """A new variable, perhaps with its value and who said it; `label` is how it is shown while unknown."""
        made = len(self._parent)
        self._parent.append(made)
        self._scale.append(1)
        self._offset.append(0)
        self._value.append(value)
        self._source.append(source)
        self._label.append(label)
        return made

    def derived(self, base: int, scale: Number, offset: Number, label: str) -> tuple[int, Clash | None]:
        """A new variable that is base * scale + offset, and the clash where that is no size of an axis."""
        made = self.variable(label)
        root, root_scale, root_offset = self._find(base)
        scale, offset = scale * root_scale, scale * root_offset + offset
        known = self._value[root]
        if known is None:
            self._attach(made, root, scale, offset)
        elif isinstance(known, str) or not _is_size(size := scale * known + offset):
            because = _would_be(label, known if isinstance(known, str) else scale * known + offset)
            said = Clash(_shown(self.value(base)), label, self._source[root], what=self._label[base], because=because)
            return made, said
        else:
            self._value[made], self._source[made] = int(size), self._source[root]
        return made, None

    def value(self, variable: int) -> Value | None:
        """The value of a variable, or None while it is unknown."""
        root, scale, offset = self._find(variable)
        known = self._value[root]
        return known if known is None or isinstance(known, str) else _simple(scale * known + offset)

    def source(self, variable: int) -> Any:
        """Who settled the value of a variable, or None."""
        return self._source[self._find(variable)[0]]

    def label(self, variable: int) -> str:
        """How a variable is shown while it is unknown."""
        return self._label[variable]

    def settle(self, variable: int, value: Value, source: Any = None) -> Clash | None:
        """Say what value a variable has."""
        return self.equate(variable, self.variable(str(value), value, source))

    def equate(self, left: int, right: int, source: Any = None) -> Clash | None:
        """Say that two variables are equal; `source` says so where this alone settles a number (x = 2 * x - 4)."""
        left_root, left_scale, left_offset = self._find(left)
        right_root, right_scale, right_offset = self._find(right)
        left_known, right_known = self._value[left_root], self._value[right_root]
        if left_known is not None and right_known is not None:
            return None if self.value(left) == self.value(right) else self._clash(left, right)
        if left_known is not None:
            return self._settle_as(right, left)
        if right_known is not None:
            return self._settle_as(left, right)
        if left_root != right_root:
            # left_scale * left_root + left_offset = right_scale * right_root + right_offset, for the smaller class
            shift = right_offset - left_offset
            if len(self._followers.get(left_root, ())) <= len(self._followers.get(right_root, ())):
                self._attach(left_root, right_root, _over(right_scale, left_scale), _over(shift, left_scale))
            else:
                self._attach(right_root, left_root, _over(left_scale, right_scale), _over(-shift, right_scale))
            return None
        if left_scale == right_scale:
            return None if left_offset == right_offset else self._clash(left, right)
        solved = _over(right_offset - left_offset, left_scale - right_scale)
        refused = self._bind(left_root, solved, source)
        return replace(self._clash(left, right), because=refused) if refused else None

    def _settle_as(self, unknown: int, known: int) -> Clash | None:
        value = self.value(known)
        root, scale, offset = self._find(unknown)
        solved = value if value is None or isinstance(value, str) else _over(value - offset, scale)
        assert solved is not None
        refused = self._bind(root, solved, self.source(known))
        if not refused:
            return None
        return Clash(_shown(value), self._label[unknown], self.source(known), because=refused)

    def _bind(self, root: int, value: Value, source: Any) -> str:
        """Give a class its value, or say which of its members would be no size: negative, or a fraction."""
        if not isinstance(value, str):
            for member in (root, *self._followers.get(root, ())):
                _, scale, offset = self._find(member)
                if not _is_size(scale * value + offset):
                    return _would_be(self._label[member], scale * value + offset)
            value = _simple(value)
        self._value[root], self._source[root] = value, source
        self._followers.pop(root, None)
        return ""

    def _clash(self, left: int, right: int) -> Clash:
        sides = [self._label[side] if (value := self.value(side)) is None else _shown(value) for side in (left, right)]
        return Clash(sides[0], sides[1], self.source(left), self.source(right))

    def _attach(self, child: int, root: int, scale: Number, offset: Number) -> None:
        self._parent[child], self._scale[child], self._offset[child] = root, scale, offset
        members = self._followers.setdefault(root, [])
        members.append(child)
        members += self._followers.pop(child, ())

    def _find(self, variable: int) -> tuple[int, Number, Number]:
        """The root of a variable's class, and the affine map from the root to it; paths are shortened."""
        parent = self._parent
        above = parent[variable]
        if parent[above] == above:
            return above, self._scale[variable], self._offset[variable]
        path = [variable]
        while parent[above] != above:
            path.append(above)
            above = parent[above]
        scale, offset = self._scale[path[-1]], self._offset[path[-1]]
        for member in reversed(path[:-1]):
            scale, offset = self._scale[member] * scale, self._scale[member] * offset + self._offset[member]
            parent[member], self._scale[member], self._offset[member] = above, scale, offset
        return above, scale, offset


def _over(numerator: Number, denominator: Number) -> Number:
    return numerator if denominator == 1 else _simple(Fraction(numerator) / denominator)


def _simple(number: Number) -> Number:
    return number if isinstance(number, int) or number.denominator != 1 else number.numerator


def _is_size(number: Number) -> bool:
    return number >= 0 and (isinstance(number, int) or number.denominator == 1)


def _shown(value: Value | None) -> str:
    return f"{float(value):g}" if isinstance(value, Fraction) and value.denominator != 1 else str(value)


def _would_be(label: str, value: Value) -> str:
    return f"{label} would be {_shown(value)}"
