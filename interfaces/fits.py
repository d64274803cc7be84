"""What a checkpoint can be wired to: the loaders that take it, and the inputs that take what they yield."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..graph_runtime.check import check
from ..graph_runtime.declaration import NodeDeclaration
from ..graph_runtime.folders import Folders
from ..graph_runtime.graph import Graph, NodeCall, Wire
from ..graph_runtime.registry import Registry
from ..graph_runtime.sockets import fits
from ..graph_runtime.widgets import File

_LOADER = "loader"


@dataclass(frozen=True)
class Outlet:
    """One output of a loader, for one file.

    Attributes:
        name: The output's id.
        type: Its type.
        dims: Its dims, with the file's own numbers.
        inputs: The inputs that take it, as "title: input".
    """

    name: str
    type: str
    dims: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """A loader that takes a file.

    Attributes:
        loader: Its title.
        outlets: Its outputs.
    """

    loader: str
    outlets: tuple[Outlet, ...]


def fits_of(path: Path, registry: Registry) -> tuple[Fit, ...]:
    """Every loader that takes a checkpoint, told from its header alone: no weight is read.

    Args:
        path: The file.
        registry: The nodes that there are.
    """
    # A loader of two files finds the other one beside it.
    folders = Folders(models=(path.resolve().parent,), files=frozenset({path.resolve()}))
    found = (
        _fit(declaration, given.id, path, registry, folders)
        for declaration in registry
        for given in declaration.inputs
        if isinstance(given.widget, File) and given.widget.folder == "models" and declaration.static_dims is not None
    )
    return tuple(fit for fit in found if fit is not None)


def _fit(declaration: NodeDeclaration, name: str, path: Path, registry: Registry, folders: Folders) -> Fit | None:
    loader = NodeCall(_LOADER, declaration.id, {name: str(path.resolve())})
    takers = list(_takers(declaration, registry))
    calls = [
        NodeCall(str(n), taker.id, {given: Wire(_LOADER, output)}) for n, (output, taker, given) in enumerate(takers)
    ]
    report = check(Graph([loader, *calls]), registry, folders)
    if any(problem.node == _LOADER for problem in report.problems):
        return None
    refused = {(problem.node, problem.input) for problem in report.problems}
    taken = [taker for n, taker in enumerate(takers) if (str(n), taker[2]) not in refused]
    return Fit(
        declaration.title,
        tuple(
            Outlet(
                output.id,
                " or ".join(output.type_ids),
                report.dims.get((_LOADER, index), ""),
                tuple(f"{taker.title}: {given}" for place, taker, given in taken if place == index),
            )
            for index, output in enumerate(declaration.outputs)
        ),
    )


def _takers(declaration: NodeDeclaration, registry: Registry) -> Iterator[tuple[int, NodeDeclaration, str]]:
    """Every input whose type is that of an output: the output's number, the node, the input's id."""
    for index, output in enumerate(declaration.outputs):
        for taker in registry:
            for given in taker.inputs:
                if "*" not in given.type_ids and not given.is_literal and fits(output.type_ids, given.type_ids):
                    yield index, taker, given.id
