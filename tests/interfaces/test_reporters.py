"""How a run is shown: plain lines, JSON lines, and bars with previews on a terminal."""

from __future__ import annotations

import io
import json

import pytest
from glidewire.graph_runtime import events
from glidewire.graph_runtime.problems import NodeFailure
from glidewire.interfaces.half_blocks import UPPER_HALF, half_blocks
from glidewire.interfaces.reporters import JsonReporter, LiveReporter, PlainReporter, reporter_for
from PIL import Image
from rich.console import Console

RED = Image.new("RGB", (6, 4), (255, 0, 0))


def console(*, terminal: bool) -> Console:
    system = "truecolor" if terminal else None
    return Console(file=io.StringIO(), force_terminal=terminal, color_system=system, width=100, legacy_windows=False)


def a_run() -> list[events.Event]:
    at = {"run": "r", "node": "1", "title": "Sampler"}
    failure = NodeFailure("1", "Sampler", "broken", "ValueError", traceback="Traceback ...")
    return [
        events.Queued(run="r", nodes=("0", "1"), will_run=("1",)),
        events.Cached(run="r", node="0", title="Text", tier="disk"),
        events.Started(**at),
        *(events.Progress(**at, done=step, total=40, text="eps", preview=RED) for step in range(1, 41)),
        events.Warned(**at, message="careful"),
        events.Failed(**at, failure=failure),
        events.Skipped(run="r", node="2", title="Save", because="1"),
        events.Cancelled(run="r"),
        events.Completed(run="r", ok=False, seconds=1.0),
    ]


def test_previews_that_can_no_longer_be_written_are_given_up_and_the_run_goes_on(tmp_path):
    shown, folder = console(terminal=False), tmp_path / "previews"
    with PlainReporter(shown, previews=folder) as reporter:
        folder.rmdir()
        for event in a_run():
            reporter(event)
    told = [line for line in shown.file.getvalue().splitlines() if "no more previews" in line]
    assert told == ["   1  Sampler: warning: no more previews are written (No such file or directory)"]


def test_off_a_terminal_there_is_a_line_for_each_thing_and_ten_at_most_for_steps():
    out = console(terminal=False)
    with reporter_for(out, as_json=False, previews=None) as reporter:
        assert type(reporter) is PlainReporter and not reporter.wants_previews
        for event in a_run():
            reporter(event)
    lines = out.file.getvalue().splitlines()
    assert lines[:3] == ["1 nodes to run, 1 cached", "   0  Text: cached (disk)", "   1  Sampler: started"]
    assert sum("/40 eps" in line for line in lines) == 9
    assert lines[-4:] == [
        "   1  Sampler: warning: careful",
        "   1  Sampler: failed: broken",
        "   2  Save: skipped, because node 1 did not finish",
        "cancelled",
    ]


def test_json_lines_hold_every_event_without_pictures_and_tracebacks():
    out = io.StringIO()
    with JsonReporter(out) as reporter:
        for event in a_run():
            reporter(event)
    documents = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [one["event"] for one in documents] == [type(event).__name__.lower() for event in a_run()]
    assert "Traceback" not in out.getvalue() and "preview" not in out.getvalue()


def test_on_a_terminal_bars_and_previews_are_drawn():
    out = console(terminal=True)
    with reporter_for(out, as_json=False, previews=None) as reporter:
        assert type(reporter) is LiveReporter and reporter.wants_previews
        for event in a_run()[:20]:
            reporter(event)
        reporter._live.refresh()
    text = out.file.getvalue()
    assert "Sampler" in text and "17/40" in text and UPPER_HALF in text and "38;2;255;0;0" in text
    assert text.rstrip().endswith(("\x1b[2K", "\x1b[?25h"))  # the drawing is taken away again


@pytest.mark.parametrize("as_json", [True, False])
def test_previews_become_files_wherever_the_output_goes(tmp_path, as_json):
    folder = tmp_path / "previews"
    reporter = reporter_for(console(terminal=False), as_json=as_json, previews=folder)
    assert reporter.wants_previews
    reporter(events.Progress(run="r", node="5:2", title="x", done=3, total=9, preview=RED.convert("RGBA")))
    with Image.open(folder / "5_2_00003.png") as written:
        assert written.size == (6, 4)


@pytest.mark.parametrize("size", [(1, 1), (6, 4), (3, 7), (500, 20), (20, 500)])
def test_half_blocks_show_two_pixels_to_a_character(size):
    text = half_blocks(Image.new("L", size, 128), columns=40)
    rows = text.plain.splitlines()
    assert rows and all(set(row) == {UPPER_HALF} and len(row) == len(rows[0]) <= 40 for row in rows)


def test_half_blocks_carry_the_pictures_colours():
    picture = Image.new("RGB", (2, 2))
    picture.putpixel((0, 0), (255, 0, 0))
    picture.putpixel((1, 1), (0, 0, 255))
    text = half_blocks(picture, columns=2)
    styles = [(str(span.style.color.name), str(span.style.bgcolor.name)) for span in text.spans]
    assert styles == [("#ff0000", "#000000"), ("#000000", "#0000ff")]
