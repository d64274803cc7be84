"""How a run is shown: bars and previews on a terminal, plain lines off it, or one JSON object per event."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from ..errors import GlidewireError
from ..graph_runtime import events
from ..graph_runtime.events import Event, NodeEvent
from .half_blocks import half_blocks

if TYPE_CHECKING:
    from PIL.Image import Image

_SECONDS_A_PICTURE = 0.1
_SHARE = 10
"""Off a terminal a node's progress is told in so many lines at most."""


class Reporter:
    """Receives the events of a run, in order; this one shows nothing.

    Args:
        previews: A folder that step previews are written into as PNG files, or None.
    """

    wants_previews = False

    def __init__(self, previews: Path | None = None) -> None:
        self._previews = previews
        if previews is not None:
            _make(previews)
        self.wants_previews = self.wants_previews or previews is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Show one event; each kind has its own method, and a kind without one is not shown."""
        if isinstance(event, events.Progress) and event.preview is not None and self._previews:
            self._write_preview(event, event.preview)
        method: Callable[[Any], None] | None = getattr(self, f"on_{type(event).__name__.lower()}", None)
        if method:
            method(event)

    def _write_preview(self, event: events.Progress, picture: Image) -> None:
        assert self._previews is not None
        node = re.sub(r"[^\w-]", "_", event.node)
        try:
            picture.convert("RGB").save(self._previews / f"{node}_{event.done:05d}.png")
        except OSError as problem:  # a run is worth more than its previews
            message = f"no more previews are written ({problem.strerror or problem})"
            self._previews = None
            self(events.Warned(run=event.run, node=event.node, title=event.title, message=message))


class JsonReporter(Reporter):
    """One JSON object per line and per event, and nothing else."""

    def __init__(self, stream: TextIO | None = None, previews: Path | None = None) -> None:
        super().__init__(previews)
        self._stream = sys.stdout if stream is None else stream

    def __call__(self, event: Event) -> None:
        """Write the event; tracebacks stay out."""
        super().__call__(event)
        document = event.as_json()
        if isinstance(event, events.Failed):
            document["failure"].pop("traceback", None)
        print(json.dumps(document, default=str), file=self._stream, flush=True)


class PlainReporter(Reporter):
    """One line per thing that happened: for logs and pipes."""

    def __init__(self, console: Console, previews: Path | None = None) -> None:
        super().__init__(previews)
        self.console = console
        self._told: dict[str, int] = {}

    def say(self, event: NodeEvent, text: str, style: str = "") -> None:
        """One line about a node."""
        line = Text(f"{event.node:>4}  {event.title}: ").append(text, style)
        self.console.print(line, soft_wrap=True, highlight=False)

    def on_queued(self, event: events.Queued) -> None:
        """How much there is to do."""
        kept = len(event.nodes) - len(event.will_run)
        self.console.print(f"{len(event.will_run)} nodes to run, {kept} cached", highlight=False)

    def on_cached(self, event: events.Cached) -> None:
        """A result was found."""
        self.say(event, f"cached ({event.tier})", "dim")

    def on_started(self, event: events.Started) -> None:
        """A node begins."""
        self.say(event, "started")

    def on_progress(self, event: events.Progress) -> None:
        """Steps, at most ten lines of them."""
        share = event.done * _SHARE // max(event.total, 1)
        if share > self._told.get(event.node, 0) and event.done < event.total:
            self._told[event.node] = share
            self.say(event, f"{event.done}/{event.total} {event.text}".rstrip())

    def on_warned(self, event: events.Warned) -> None:
        """Something the user should know."""
        self.say(event, f"warning: {event.message}", "yellow")

    def on_finished(self, event: events.Finished) -> None:
        """A node is done: its time, and what it gave."""
        gave = ", ".join(f"{name} {text}" for name, text in event.outputs.items())
        self.say(event, f"finished in {event.seconds:.2f} s{f': {gave}' if gave else ''}", "green")

    def on_failed(self, event: events.Failed) -> None:
        """A node failed; the whole text comes at the end."""
        self.say(event, f"failed: {event.failure.error}", "red")

    def on_skipped(self, event: events.Skipped) -> None:
        """A node could not run."""
        self.say(event, f"skipped, because node {event.because} did not finish", "yellow")

    def on_cancelled(self, event: events.Cancelled) -> None:
        """The user cancelled."""
        self.console.print("cancelled", style="yellow")


class LiveReporter(PlainReporter):
    """A bar per running node and the latest preview, drawn in place on a terminal."""

    def __init__(self, console: Console, previews: Path | None = None) -> None:
        super().__init__(console, previews)
        self._draws = console.color_system == "truecolor"
        self.wants_previews = self.wants_previews or self._draws
        self._drawn = 0.0
        self._bars = Progress(
            TextColumn("{task.fields[node]:>4}  {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._live = Live(self._bars, console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def on_started(self, event: events.Started) -> None:
        """A bar appears."""
        self._tasks[event.node] = self._bars.add_task(event.title, total=None, node=event.node, text="")

    def on_progress(self, event: events.Progress) -> None:
        """The bar moves, and the preview changes."""
        task = self._tasks.get(event.node)
        if task is not None:
            self._bars.update(task, completed=event.done, total=event.total, text=event.text)
        if event.preview is not None and self._draws and time.monotonic() - self._drawn > _SECONDS_A_PICTURE:
            self._show(half_blocks(event.preview))
            self._drawn = time.monotonic()

    def on_finished(self, event: events.Finished) -> None:
        """The bar makes way for a line."""
        self._remove(event.node)
        super().on_finished(event)

    def on_failed(self, event: events.Failed) -> None:
        """The bar makes way for a line."""
        self._remove(event.node)
        super().on_failed(event)

    def _remove(self, node: str) -> None:
        task = self._tasks.pop(node, None)
        if task is not None:
            self._bars.remove_task(task)
        self._show(None)

    def _show(self, picture: Text | None) -> None:
        self._live.update(Group(picture, self._bars) if picture else self._bars)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise GlidewireError(
            f"cannot make the folder of previews {str(folder)[:80]}",
            expected="a folder, or a path that is free",
            got=problem.strerror or str(problem),
        ) from None


def reporter_for(console: Console, *, as_json: bool, previews: Path | None) -> Reporter:
    """The reporter that suits where the output goes."""
    if as_json:
        return JsonReporter(previews=previews)
    return LiveReporter(console, previews) if console.is_terminal else PlainReporter(console, previews)
