"""The command `run`: progress on stderr, results on stdout, Ctrl-C as a clean end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import cli_options as options
from .cli_options import stderr, stdout

if TYPE_CHECKING:
    from ..graph_runtime.context import CancelToken
    from ..graph_runtime.execute import RunResult


def run(
    file: options.Workflow,
    set_: options.Set = None,
    seed: options.Seed = None,
    output: options.Output = Path("output"),
    models: options.Models = None,
    inputs: options.Inputs = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    threads: options.Threads = None,
    cache: options.CacheFolder = None,
    no_cache: options.NoCache = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Finish what does not depend on a failed node.")
    ] = False,
    no_metadata: Annotated[
        bool, typer.Option("--no-metadata", help="Save pictures without the workflow in them.")
    ] = False,
    previews: Annotated[
        Path | None,
        typer.Option("--previews", metavar="DIR", help="Write step previews there as PNG files.", show_default=False),
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Run a workflow; what it saved is listed on stdout, progress goes to stderr."""
    from .reporters import reporter_for

    graph, session = options.open_workflow(
        file,
        set_,
        seed,
        models=models,
        inputs=inputs,
        output=output,
        device=device,
        dtype=dtype,
        threads=threads,
        cache=cache,
        no_cache=no_cache,
    )
    results = Results(session.folders.output)
    with reporter_for(stderr, as_json=as_json, previews=previews) as reporter, cancel_on_interrupt() as cancel:

        def on_event(event: Any) -> None:
            reporter(event)
            results(event)

        result = session.run(
            graph,
            on_event=on_event,
            cancel=cancel,
            keep_going=keep_going,
            metadata=not no_metadata,
            previews=reporter.wants_previews,
        )
    if not as_json:
        results.show()
    _exit(result, cancel, debug=debug)


def _exit(result: RunResult, cancel: CancelToken, *, debug: bool) -> None:
    for failure in result.failures:
        stderr.print(f"error: {failure}", style="red", markup=False, highlight=False, soft_wrap=True)
        if debug and failure.traceback:
            stderr.print(failure.traceback, markup=False, highlight=False, soft_wrap=True)
    if cancel.cancelled:
        raise typer.Exit(options.CANCELLED)
    if not result.ok:
        raise typer.Exit(options.NODE_FAILED)


class Results:
    """What a run has to show for itself: the files that it saved and the texts that it showed."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._lines: list[str] = []

    def __call__(self, event: Any) -> None:
        """Keep what a finished node shows."""
        shown = getattr(event, "show", {})
        for image in shown.get("images", []):
            self._lines.append(str(self._output / image.get("subfolder", "") / image["filename"]))
        self._lines.extend(str(text) for text in shown.get("text", []))

    def show(self) -> None:
        """One line each on stdout."""
        for line in self._lines:
            stdout.print(line, markup=False, highlight=False)


@contextmanager
def cancel_on_interrupt() -> Iterator[CancelToken]:
    """A token that Ctrl-C sets; a second Ctrl-C interrupts at once."""
    from ..graph_runtime.context import CancelToken

    token = CancelToken()
    previous = signal.getsignal(signal.SIGINT)

    def handler(number: int, frame: Any) -> None:
        if token.cancelled:
            raise KeyboardInterrupt
        token.cancel()

    try:
        signal.signal(signal.SIGINT, handler)
    except ValueError:  # not in the main thread: whoever runs us there cancels in his own way
        yield token
        return
    try:
        yield token
    finally:
        signal.signal(signal.SIGINT, previous)
