"""The command line: `glidewire run`, `check`, `plan`, `why`, `nodes`, `convert`, `cache`, `models`."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from . import cli_options as options
from .cli_inspect import cache_commands, model_commands, nodes
from .cli_options import EXIT_CODES, stderr, stdout

if TYPE_CHECKING:
    from ..graph_runtime.context import CancelToken
    from ..graph_runtime.execute import RunResult

app = typer.Typer(
    name="glidewire",
    cls=options.Commands,
    help="Run, check and explain workflows of the GLIDE, unCLIP, Paella and latent-diffusion line.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=EXIT_CODES)(nodes)
app.add_typer(cache_commands, name="cache")
app.add_typer(model_commands, name="models")


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        from .version import version as number

        stdout.print(f"glidewire {number()}", highlight=False)
        raise typer.Exit


@app.command(epilog=EXIT_CODES)
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
    results = Results(output)
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


@app.command(epilog=EXIT_CODES)
def check(
    file: options.Workflow,
    set_: options.Set = None,
    models: options.Models = None,
    inputs: options.Inputs = None,
    dims: Annotated[bool, typer.Option("--dims", help="Show the dims on every wire.")] = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Find every problem of a workflow without loading or running anything."""
    from ..graph_runtime.problems import GraphProblems

    loaded, session = options.open_file(file, models=models, inputs=inputs, no_cache=True, device="cpu")
    graph, session = options.change(loaded.graph, session, set_, None)
    report = session.check(graph)
    problems = loaded.problems_with(report.problems)
    if as_json:
        shown = {f"{node}:{index}": text for (node, index), text in report.dims.items()}
        listed = [problem.as_json() for problem in problems]
        print(json.dumps({"ok": not problems, "problems": listed, "dims": shown}))
        raise typer.Exit(options.PROBLEMS if problems else options.OK)
    if dims:
        from .tables import dims_table

        stdout.print(dims_table(graph, session.registry, report))
    if problems:
        raise GraphProblems(problems)
    stdout.print(f"{len(graph.calls)} nodes, no problems", highlight=False)


@app.command(epilog=EXIT_CODES)
def plan(
    file: options.Workflow,
    set_: options.Set = None,
    seed: options.Seed = None,
    models: options.Models = None,
    inputs: options.Inputs = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    threads: options.Threads = None,
    cache: options.CacheFolder = None,
    no_cache: options.NoCache = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show what a run would do: what is cached and where, what will run, and why."""
    from .tables import plan_rows, plan_table

    graph, session = options.open_workflow(
        file,
        set_,
        seed,
        models=models,
        inputs=inputs,
        device=device,
        dtype=dtype,
        threads=threads,
        cache=cache,
        no_cache=no_cache,
    )
    made = session.plan(graph)
    if as_json:
        print(json.dumps(plan_rows(graph, made)))
    else:
        stdout.print(plan_table(graph, made))


@app.command(epilog=EXIT_CODES)
def why(
    file: options.Workflow,
    node: Annotated[str, typer.Argument(help="A node, by id, title or type.", show_default=False)],
    set_: options.Set = None,
    seed: options.Seed = None,
    models: options.Models = None,
    inputs: options.Inputs = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    threads: options.Threads = None,
    cache: options.CacheFolder = None,
    debug: options.Debug = False,
) -> None:
    """Say why a node would run, or where its result is."""
    from .assignments import find_node

    graph, session = options.open_workflow(
        file, set_, seed, models=models, inputs=inputs, device=device, dtype=dtype, threads=threads, cache=cache
    )
    call = find_node(graph, node)
    entry = session.plan(graph).entries[call.id]
    stdout.print(f"{call.id} ({call.shown_title}): {entry.status}", highlight=False, markup=False)
    stdout.print(str(entry.why), highlight=False, markup=False)


@app.command(epilog=EXIT_CODES)
def convert(
    file: options.Workflow,
    destination: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.", show_default=False)],
    to: Annotated[Literal["saved", "api", "python"], typer.Option("--to", help="The form to write.")] = "saved",
    set_: options.Set = None,
    seed: options.Seed = None,
    debug: options.Debug = False,
) -> None:
    """Write a workflow in another form: the editor's, the API form, or Python."""
    from ..graph_runtime import formats
    from ..graph_runtime.atomic import replacing
    from .python_source import as_python

    graph, session = options.open_workflow(file, set_, seed, no_cache=True, device="cpu")
    with options.exits_with(options.USAGE):
        if to == "python":
            source = as_python(graph, session.registry, name=destination.stem)
            with replacing(destination) as temporary:
                temporary.write_text(source, encoding="utf-8")
        else:
            saved = to == "saved"
            formats.write(destination, formats.to_saved(graph, session.registry) if saved else formats.to_api(graph))
    stdout.print(str(destination), markup=False, highlight=False)


def main() -> None:
    """The entry point `glidewire`."""
    app(prog_name="glidewire")
