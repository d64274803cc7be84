"""What the commands share: their options, their exit codes, and how a problem is told."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, ConsoleDimensions
from typer.core import TyperGroup

from ..errors import GlidewireError
from ..graph_runtime.problems import GraphProblems

if TYPE_CHECKING:
    from ..graph_runtime.graph import Graph
    from .session import Loaded, Session

OK, NODE_FAILED, USAGE, PROBLEMS, UNREADABLE, UNFORESEEN, CANCELLED, PIPE_CLOSED = 0, 1, 2, 3, 4, 70, 130, 141

EXIT_CODES = """Exit codes: 0 done; 1 a node failed; 2 the command line is wrong; 3 the workflow has problems;
4 a file cannot be read, or the output cannot be written; 70 a mistake of glidewire's own; 130 cancelled;
141 whoever read the output went away."""

_LOG_WIDTH = 160
"""Bars and lines of progress are this wide where no terminal says otherwise."""
_ENDLESS = 100_000


class _Stdout(Console):
    """Standard output: where it is no terminal, each row of a table is one line, however long, as `grep` needs it."""

    @property
    def size(self) -> ConsoleDimensions:  # pyrefly: ignore[bad-override]
        """Columns and rows."""
        return super().size if self.is_terminal else ConsoleDimensions(_ENDLESS, 25)


def _stderr() -> Console:
    # The stream is None where whoever started us closed it.
    piped = not (sys.stderr and sys.stderr.isatty()) and "COLUMNS" not in os.environ
    return Console(stderr=True, width=_LOG_WIDTH if piped else None, emoji=False)


stdout, stderr = _Stdout(soft_wrap=True, emoji=False), _stderr()


class ExitWith(Exception):
    """Carries an error of ours up to the place that prints it, with the exit code that it means."""

    def __init__(self, code: int, error: GlidewireError) -> None:
        self.code, self.error = code, error


@contextmanager
def exits_with(code: int) -> Iterator[None]:
    """Inside, an error of ours means the exit code `code` (problems of a workflow stay 3)."""
    try:
        yield
    except GraphProblems:
        raise
    except GlidewireError as error:
        raise ExitWith(code, error) from error


class Commands(TyperGroup):
    """The commands: whatever of ours comes up becomes a message on stderr and an exit code; never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (ExitWith, GlidewireError) as problem:
            if ctx.meta.get("debug"):
                stderr.print(traceback.format_exc(), markup=False, highlight=False, soft_wrap=True)
            error = problem.error if isinstance(problem, ExitWith) else problem
            tell(error, as_json=ctx.meta.get("json", False))
            raise typer.Exit(_code(problem)) from None
        except KeyboardInterrupt:
            stderr.print("cancelled", style="yellow")
            raise typer.Exit(CANCELLED) from None
        except OSError as problem:
            if problem.filename is not None:
                raise
            raise typer.Exit(_stream_failed(problem)) from None


def _stream_failed(problem: OSError) -> int:
    """What standard output or standard error could not take; whatever else goes there is dropped."""
    if not isinstance(problem, BrokenPipeError):
        with suppress(OSError):
            print(f"error: the output cannot be written; got {problem.strerror or problem}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return PIPE_CLOSED if isinstance(problem, BrokenPipeError) else UNREADABLE


def _code(problem: Exception) -> int:
    if isinstance(problem, ExitWith):
        return problem.code
    return PROBLEMS if isinstance(problem, GraphProblems) else USAGE


def tell(error: GlidewireError, *, as_json: bool = False) -> None:
    """Print an error on stderr; with --json also as the last object on stdout."""
    stderr.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        problems = [problem.as_json() for problem in error.problems] if isinstance(error, GraphProblems) else []
        print(json.dumps({"event": "error", "message": str(error), "problems": problems}), file=sys.stdout, flush=True)


def _note(name: str) -> Any:
    def callback(ctx: typer.Context, value: bool) -> bool:
        ctx.meta[name] = ctx.meta.get(name) or value
        return value

    return callback


Workflow = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="A saved workflow, an API form, a picture that carries one, or the name of a shipped workflow.",
        show_default=False,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="INPUT=VALUE",
        help="Change an input: node.input=value (the node by id, title or type), or input=value where that is unique.",
        show_default=False,
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Set every seed of the workflow.", show_default=False)]
Output = Annotated[Path, typer.Option("--output", "-o", help="The folder that results are written into.")]
Models = Annotated[
    list[Path] | None,
    typer.Option(
        "--models", help="A folder of checkpoints; beside $GLIDEWIRE_MODELS and the shipped ones.", show_default=False
    ),
]
Inputs = Annotated[
    list[Path] | None,
    typer.Option("--input", help="A folder of pictures; the current folder if none is given.", show_default=False),
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, mps, or auto.")]
Dtype = Annotated[str, typer.Option("--dtype", help="float32, bfloat16 or float16.")]
Threads = Annotated[
    int | None, typer.Option("--threads", help="How many processor threads to use.", show_default=False)
]
CacheFolder = Annotated[
    Path | None,
    typer.Option("--cache", help="The folder of the disk cache, in place of $GLIDEWIRE_CACHE.", show_default=False),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Read and write no disk cache.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, and nothing else there.", callback=_note("json"))]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", callback=_note("debug"))]


def open_session(
    *,
    workflow: Path | None = None,
    models: list[Path] | None = None,
    inputs: list[Path] | None = None,
    output: Path = Path("output"),
    device: str = "auto",
    dtype: str = "float32",
    threads: int | None = None,
    cache: Path | None = None,
    no_cache: bool = False,
) -> Session:
    """The session that the options describe."""
    from .session import Session

    chosen: dict[str, Any] = {"cache": None} if no_cache else {"cache": cache} if cache else {}
    return Session.open(
        workflow=workflow,
        models=models or (),
        inputs=inputs or (),
        output=output,
        device=device,
        dtype=dtype,
        threads=threads,
        **chosen,
    )


def open_file(file: str, **options: Any) -> tuple[Loaded, Session]:
    """A workflow as far as it can be read, and a session to run it in."""
    from .session import load, pack_registry

    with exits_with(UNREADABLE):
        loaded = load(file, pack_registry())
    return loaded, open_session(workflow=loaded.path, **options)


def change(graph: Graph, session: Session, changes: list[str] | None, seed: int | None) -> tuple[Graph, Session]:
    """The graph with its inputs changed as --set and --seed ask; files that were named so are allowed."""
    from .assignments import assign, assign_seed

    pairs = dict(split_assignment(text) for text in changes or [])
    if seed is not None:
        graph = assign_seed(graph, session.registry, seed)
    graph, files = assign(graph, session.registry, pairs)
    return graph, session.allowing(files)


def open_workflow(file: str, changes: list[str] | None, seed: int | None, **options: Any) -> tuple[Graph, Session]:
    """The graph in a file, with its inputs changed, and a session to run it in; GraphProblems if it has any."""
    loaded, session = open_file(file, **options)
    return change(loaded.require(session), session, changes, seed)


def split_assignment(
    text: str, *, option: str = "--set", example: str = "node.input=value, or input=value"
) -> tuple[str, str]:
    """`name=value` as a pair; the value may hold further signs of equality.

    Args:
        text: What was given.
        option: To which option.
        example: What is expected, for errors.

    Raises:
        GlidewireError: there is no sign of equality, or no name before it.
    """
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise GlidewireError(f"{option} cannot be read", expected=example, got=repr(text), hint="Quote it whole.")
    return name.strip(), value
