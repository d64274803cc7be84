"""What the commands of this room share: their options, errors without a traceback, and the choice of a device."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import torch
import typer
from rich.console import Console

from ..errors import GlidewireError
from .pool import Pool, open_pool
from .run import Course, Lesson, Run, train

AnyCourse = TypeVar("AnyCourse", bound=Course)


@dataclass(frozen=True)
class Options:
    """What every recipe is told on its command line; files that one recipe alone reads are options of its own."""

    out: Annotated[Path, typer.Option(help="Folder of the run: state, log, sheets, weights.")]
    minutes: Annotated[float, typer.Option(min=0.01, help="Time to train for.")] = Course.minutes
    steps: Annotated[int, typer.Option(min=0, help="Updates to train for, instead of a time.")] = 0
    pool: Annotated[int, typer.Option(min=1, help="Number of training scenes.")] = Course.pool_size
    scenes: Annotated[Path | None, typer.Option(help="Folder of rendered scenes; by default inside OUT.")] = None
    start: Annotated[Path | None, typer.Option(help="Published weights that a new run begins with.")] = None
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu"
    seed: Annotated[int, typer.Option(help="Of weights, batches, captions and noise.")] = 0

    @property
    def folder(self) -> Path:
        """Where rendered scenes and what networks make of them are kept."""
        return self.scenes or self.out / "pool"

    @property
    def where(self) -> torch.device:
        """The device; errors as `device_named`."""
        return device_named(self.device)

    def course(self, numbers: type[AnyCourse], /, **more: Any) -> AnyCourse:
        """A recipe's numbers, those that are options as given."""
        return numbers(minutes=self.minutes, steps=self.steps, pool_size=self.pool, seed=self.seed, **more)

    def opened(self, course: Course, side: int = 32) -> Pool:
        """The pool of training scenes at a side in pixels, rendered if it is not there."""
        return open_pool(self.folder, self.pool, side, tints=course.tints, workers=self.threads)


def recipe_command(build: Callable[..., Lesson], kind: type[Course]) -> Callable[..., None]:
    """The command of a recipe.

    Args:
        build: From `Options`, and from options of its own as keywords, to the lesson; its docstring is the help. Its
            own options stand before the shared ones, and in the place of one of the same name.
        kind: The recipe's numbers, whose defaults are those of the options.

    Returns:
        A function that a command line can be made of; it trains until the time has passed.
    """
    own = list(inspect.signature(build, eval_str=True).parameters.values())[1:]
    taken = {parameter.name for parameter in own}
    hints = get_type_hints(Options, include_extras=True)
    defaults = {field.name: field.default for field in fields(Options) if field.name != "out"}
    defaults |= {"minutes": kind.minutes, "pool": kind.pool_size}
    shared = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name, inspect.Parameter.empty), annotation=hint
        )
        for name, hint in hints.items()
        if name not in taken
    ]

    def command(**values: Any) -> None:
        options = Options(**{parameter.name: values.pop(parameter.name) for parameter in shared})
        torch.set_num_threads(options.threads)
        train(Run(build(options, **values), options.out, start=options.start))

    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    command.__signature__ = inspect.Signature([shared[0], *keywords, *shared[1:]])  # pyrefly: ignore
    command.__annotations__ = {}
    command.__doc__ = build.__doc__
    return command


def run_command(command: Callable[..., None]) -> None:
    """Run a typed function as a command line; our own errors are printed in one line, with exit code 1."""
    try:
        typer.run(command)
    except GlidewireError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        raise SystemExit(1) from None


def device_named(name: str) -> torch.device:
    """The device of a name such as "cpu" or "cuda:0".

    Raises:
        GlidewireError: when there is no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise GlidewireError(
            "device", expected="cpu, or cuda where there is a GPU", got=f"{name!r} ({str(error).splitlines()[0]})"
        ) from error
    return device
