"""The loss plot."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from glidewire.training.plots import loss_plot, save_loss_plot
from hypothesis import given
from hypothesis import strategies as st

losses = st.floats(min_value=-1, max_value=1e6, allow_nan=False)


@given(st.lists(losses, min_size=2, max_size=5))
def test_any_losses_make_a_picture_that_parses(values: list[float]) -> None:
    lines = [{"step": float(10 * i), "seconds": 1.0, "total": value} for i, value in enumerate(values)]
    root = ElementTree.fromstring(loss_plot(lines, "a < b"))
    curve = next(child for child in root if child.tag.endswith("polyline"))
    assert len(curve.attrib["points"].split()) == sum(value > 0 for value in values)


def test_a_lower_loss_is_drawn_lower() -> None:
    lines = [{"step": step, "total": total} for step, total in ((0, 1.0), (50, 0.1), (100, 0.01))]
    root = ElementTree.fromstring(loss_plot(lines, "x"))
    points = next(child for child in root if child.tag.endswith("polyline")).attrib["points"].split()
    xs, ys = zip(*(map(float, point.split(",")) for point in points), strict=True)
    assert xs == tuple(sorted(xs)) and ys == tuple(sorted(ys))
    assert abs((ys[1] - ys[0]) - (ys[2] - ys[1])) < 0.2  # equal factors, equal distances


def test_a_log_of_one_line_is_not_plotted(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"step": 1, "total": 1.0}) + "\n")
    save_loss_plot(log, tmp_path / "loss.svg", title="x")
    save_loss_plot(tmp_path / "none.jsonl", tmp_path / "loss.svg", title="x")
    assert not (tmp_path / "loss.svg").exists()
