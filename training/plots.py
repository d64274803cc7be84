"""The loss plot of a training run, as an SVG that any browser shows."""

from __future__ import annotations

import json
import math
from html import escape
from pathlib import Path

_WIDTH, _HEIGHT, _MARGIN = 640, 240, 44
_COLOURS = ("#c0392b", "#2471a3", "#1e8449", "#7d3c98", "#b9770e")
_NOT_LOSSES = ("step", "seconds", "norm", "rate")


def save_loss_plot(log: Path, path: Path, *, title: str) -> None:
    """Plot every loss of a log over the updates, on a logarithmic scale.

    Args:
        log: JSON objects, one a line, each with "step" and losses by name.
        path: The SVG; replaced if it exists. Nothing is written for a log without two lines.
        title: Of the plot.
    """
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    if len(lines) < 2:
        return
    unfinished = path.with_suffix(".partial")
    unfinished.write_text(loss_plot(lines, title))
    unfinished.replace(path)


def loss_plot(lines: list[dict[str, float]], title: str) -> str:
    """The SVG of two or more log lines; losses that are not positive are left out."""
    names = [name for name in lines[0] if name not in _NOT_LOSSES]
    curves = {
        name: [(line["step"], math.log10(line[name])) for line in lines if line.get(name, 0) > 0] for name in names
    }
    heights = [height for curve in curves.values() for _, height in curve] or [0.0]
    low, high = min(heights), max(max(heights), min(heights) + 1e-3)
    first, last = lines[0]["step"], max(lines[-1]["step"], lines[0]["step"] + 1)

    def place(step: float, height: float) -> str:
        x = _MARGIN + (step - first) / (last - first) * (_WIDTH - 2 * _MARGIN)
        y = _HEIGHT - _MARGIN - (height - low) / (high - low) * (_HEIGHT - 2 * _MARGIN)
        return f"{x:.1f},{y:.1f}"

    parts = [f'<text x="{_MARGIN}" y="20" font-weight="bold">{escape(title)}</text>']
    for index, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        points = " ".join(place(step, height) for step, height in curve)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{points}"/>')
        parts.append(f'<text x="{_MARGIN + 110 * index}" y="38" fill="{colour}">{escape(name)}</text>')
    bottom = _HEIGHT - _MARGIN
    for height, y in ((high, _MARGIN + 4), (low, bottom)):
        parts.append(f'<text x="2" y="{y}">{10**height:.3g}</text>')
    for step, x in ((first, _MARGIN), (last, _WIDTH - _MARGIN)):
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{step:g}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
