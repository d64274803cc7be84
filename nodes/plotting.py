"""Line plots as pictures: axes with round numbers, lines of several colours, a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..errors import GlidewireError
from .lettering import font

# Okabe & Ito 2008: told apart by colour-blind readers too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_SMOOTHING = 2
_LETTERS = 13
_TICKS = 6


@dataclass(frozen=True)
class Line:
    """One line of a plot: points (x, y), drawn in their order."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def round_ticks(low: float, high: float, most: int = _TICKS) -> list[float]:
    """About `most` round numbers (1, 2 or 5 times a power of ten apart) within [low, high]."""
    rough = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * index for index in range(first, last + 1)]


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-12):
        half = abs(low) / 2 or 0.5
        return low - half, high + half
    return low, high


def drawn(lines: Sequence[Line], size: tuple[int, int], title: str, axes: tuple[str, str]) -> Tensor:
    """A plot, "1 height width 3" in [0, 1].

    Args:
        lines: What is plotted.
        size: Width and height in pixels.
        title: Above it.
        axes: What x and y are.

    Raises:
        GlidewireError: There is nothing to plot, a line has not as many x as y, or a number is not finite.
    """
    if not lines or not any(len(line.x) for line in lines):
        raise GlidewireError("there is nothing to plot", expected="at least one number", got="none")
    for line in lines:
        if len(line.x) != len(line.y):
            raise GlidewireError(
                f"line {line.name!r} of the plot has not as many x as y", expected=len(line.x), got=len(line.y)
            )
        if not all(map(math.isfinite, (*line.x, *line.y))):
            raise GlidewireError(
                f"line {line.name!r} of the plot has numbers that are not finite",
                expected="finite numbers",
                got="NaN or infinity",
            )
    width, height = size[0] * _SMOOTHING, size[1] * _SMOOTHING
    canvas = Image.new("RGB", (width, height), "white")
    _Plot(canvas, lines, title, axes).draw()
    small = canvas.resize(size, Image.Resampling.BOX)
    return torch.from_numpy(np.array(small, dtype=np.float32) / 255)[None]


class _Plot:
    """The pen, and where the numbers lie on the canvas."""

    def __init__(self, canvas: Image.Image, lines: Sequence[Line], title: str, axes: tuple[str, str]) -> None:
        self.pen, self.lines, self.title, self.axes = ImageDraw.Draw(canvas), lines, title, axes
        self.letters = _LETTERS * _SMOOTHING
        self.font = font(self.letters)
        self.x = _bounds([x for line in lines for x in line.x])
        self.y = _bounds([y for line in lines for y in line.y])
        em = self.letters
        widest = max(self.pen.textlength(f"{tick:g}", self.font) for tick in round_ticks(*self.y))
        self.left, self.right = widest + 1.5 * em, canvas.width - 1.5 * em
        self.rows = self._legend_rows()
        legend = 1.6 * em + 1.3 * em * (len(self.rows) - 1) if len(lines) > 1 or lines[0].name else 0
        self.bottom = canvas.height - (3.6 * em if axes[0] else 2.2 * em)
        top = (2.2 * em if title else em) + (1.2 * em if axes[1] else 0) + legend
        self.top = min(top, self.bottom - 2 * em)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies on the canvas."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)

    def draw(self) -> None:
        """Everything, lines last."""
        em, write = self.letters, self.pen.text
        for tick in round_ticks(*self.x):
            x, _ = self.place(tick, self.y[0])
            self.pen.line((x, self.top, x, self.bottom), fill="#e4e4e4", width=_SMOOTHING)
            write((x, self.bottom + 0.4 * em), f"{tick:g}", fill="#404040", font=self.font, anchor="mt")
        for tick in round_ticks(*self.y):
            _, y = self.place(self.x[0], tick)
            self.pen.line((self.left, y, self.right, y), fill="#e4e4e4", width=_SMOOTHING)
            write((self.left - 0.5 * em, y), f"{tick:g}", fill="#404040", font=self.font, anchor="rm")
        self.pen.line((self.left, self.top, self.left, self.bottom, self.right, self.bottom), fill="black", width=3)
        middle = (self.left + self.right) / 2
        write((middle, 0.4 * em), self.title, fill="black", font=self.font, anchor="mt")
        write((middle, self.bottom + 1.9 * em), self.axes[0], fill="black", font=self.font, anchor="mt")
        write((0.4 * em, self.top - 0.7 * em), self.axes[1], fill="black", font=self.font, anchor="ls")
        self._legend()
        for index, line in enumerate(self.lines):
            points = [self.place(x, y) for x, y in zip(line.x, line.y, strict=True)]
            shade = COLOURS[index % len(COLOURS)]
            if len(points) > 1:
                self.pen.line(points, fill=shade, width=2 * _SMOOTHING, joint="curve")
            if len(points) <= 24:
                for x, y in points:
                    reach = 3 * _SMOOTHING
                    self.pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=shade)

    def _legend_rows(self) -> list[list[int]]:
        """Which lines' names stand in each row of the legend, lowest first; the unit of y stands before the lowest."""
        rows: list[list[int]] = [[]]
        room = self.right - 1.4 * self.letters - self.pen.textlength(self.axes[1], self.font)
        for index in reversed(range(len(self.lines))):
            needed = self._width(index)
            if rows[-1] and needed > room:
                rows.append([])
                room = self.right - 0.4 * self.letters
            rows[-1].insert(0, index)
            room -= needed + self.letters
        return rows

    def _width(self, index: int) -> float:
        return self.pen.textlength(self.lines[index].name, self.font)

    def _legend(self) -> None:
        em = self.letters
        for row, indices in enumerate(self.rows):
            right, base = self.right, self.top - 0.7 * em - 1.3 * em * row
            for index in reversed(indices):
                shade = COLOURS[index % len(COLOURS)]
                self.pen.text((right, base), self.lines[index].name, fill=shade, font=self.font, anchor="rs")
                right -= self._width(index) + em
