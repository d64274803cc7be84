"""The command line: `glidewire run`, `check`, `plan`, `why`, `nodes`, `convert`, `cache`, `models`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import GlidewireError
from . import cli_options as options
from .cli_inspect import cache_commands, nodes
from .cli_models import model_commands
from .cli_options import EXIT_CODES, stdout
from .cli_run import run
from .cli_serve import serve

app = typer.Typer(
    name="glidewire",
    cls=options.Commands,
    help="Run, check and explain workflows of the GLIDE, unCLIP, Paella and latent-diffusion line.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=EXIT_CODES)(run)
app.command(epilog=EXIT_CODES)(serve)
app.add_typer(cache_commands, name="cache")
app.add_typer(model_commands, name="models")


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        from .version import version as number

        stdout.print(f"glidewire {number()}", highlight=False)
        raise typer.Exit


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
            source = as_python(graph, session.registry, name=Path(file).stem)
            with replacing(destination) as temporary:
                temporary.write_text(source, encoding="utf-8")
        else:
            saved = to == "saved"
            formats.write(destination, formats.to_saved(graph, session.registry) if saved else formats.to_api(graph))
    stdout.print(str(destination), markup=False, highlight=False)


app.command(epilog=EXIT_CODES)(nodes)


def main() -> None:
    """The entry point `glidewire`."""
    try:
        app(prog_name="glidewire")
    except Exception as problem:
        if "--debug" in sys.argv:
            raise
        text = f"glidewire made a mistake of its own ({type(problem).__name__}: {str(problem)[:200]})"
        options.tell(GlidewireError(text, hint="Please report it, with what --debug shows."))
        raise SystemExit(options.UNFORESEEN) from None
