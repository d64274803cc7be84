"""The commands `models list`, `inspect`, `pull` and `convert`."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import typer

from ..errors import GlidewireError
from . import cli_options as options
from .cli_options import EXIT_CODES, stderr, stdout

if TYPE_CHECKING:
    from rich.table import Table

    from ..models.published import Published

model_commands = typer.Typer(help="Checkpoints: which there are, what one of them is, fetching and converting them.")

_CHECKPOINTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".th")
_PATIENCE = 1800  # seconds for a conversion in a process of its own


@model_commands.command("list", epilog=EXIT_CODES)
def list_models(models: options.Models = None, as_json: options.Json = False, debug: options.Debug = False) -> None:
    """The checkpoints in the model folders and what each of them is; and those that are published."""
    from ..models.published import PUBLISHED
    from .surroundings import find_folders
    from .tables import bytes_text

    folders = find_folders(models or (), (), "output")
    names = folders.listing("models", _CHECKPOINTS)
    found = [_summary(name, folders.find("models", name)) for name in names]
    present = {name: _present(entry.files, names) for name, entry in PUBLISHED.items()}
    if as_json:
        listed = [
            {
                "name": name,
                "system": entry.system,
                "part": entry.what,
                "licence": entry.licence,
                "bytes": entry.size,
                "present": present[name],
                "files": {file: dataclasses.asdict(source) for file, source in entry.files.items()},
            }
            for name, entry in PUBLISHED.items()
        ]
        print(json.dumps({"folders": [str(root) for root in folders.models], "found": found, "published": listed}))
        return
    if not found:
        places = ", ".join(str(root) for root in folders.models)
        stderr.print(f"no checkpoints in {places}", highlight=False, markup=False)
    for row in found:
        what = f"{row.get('is') or row.get('error')}, {bytes_text(row['bytes'])}"
        stdout.print(f"{row['name']}: {what}", highlight=False, markup=False)
    stdout.print("\npublished; `glidewire models pull NAME` fetches one:", highlight=False, markup=False)
    stdout.print(_published_table(PUBLISHED.items(), present))


def _published_table(entries: Iterable[tuple[str, Published]], present: Mapping[str, bool]) -> Table:
    from rich.table import Table

    from .tables import bytes_text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("name", "here", "system", "part", "licence", "size", "sha256", "from"):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for name, entry in entries:
        source = next(iter(entry.files.values()))
        digest = source.sha256[:12] if source.sha256 else "not known"
        size = bytes_text(entry.size) if entry.size else entry.about or "not known"
        origin = source.page.partition("//")[2] or urlsplit(source.url).netloc
        here = "yes" if present[name] else ""
        table.add_row(name, here, entry.system, entry.what, entry.licence, size, digest, origin)
    return table


def _present(files: Any, names: list[str]) -> bool:
    return all(any(name == file or name.endswith(f"/{file}") for name in names) for file in files)


@model_commands.command("inspect", epilog=EXIT_CODES)
def inspect_model(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A checkpoint: a path, or a name in the model folders.")],
    models: options.Models = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """What a checkpoint is, from its header alone: family, variant, hyper-parameters, dims, what it can be wired to."""
    from ..digests import file_digest
    from .fits import fits_of
    from .session import pack_registry
    from .surroundings import find_folders

    with options.exits_with(options.UNREADABLE):
        path = Path(file).expanduser()
        path = path if path.exists() else find_folders(models or (), (), "output").find("models", file)
        facts: dict[str, Any] = {"file": str(path), "components": _components(path)}
        facts["fits"] = [dataclasses.asdict(fit) for fit in fits_of(path, pack_registry())] if path.is_file() else []
        if path.is_file():
            facts |= {"bytes": path.stat().st_size, "sha256": file_digest(path)}
    if as_json:
        print(json.dumps(facts, default=str))
        return
    for name, value in _lines(facts):
        stdout.print(f"{name}: {value}", highlight=False, markup=False)


def _lines(facts: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What `inspect` prints, line by line."""
    for entry in facts.pop("components") or [{"component": "none that the pack knows"}]:
        for name, value in entry.items():
            yield name, ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else value
    for fit in facts.pop("fits"):
        yield "loader", fit["loader"]
        for outlet in fit["outlets"]:
            dims = f" ({outlet['dims']})" if outlet["dims"] else ""
            yield f"  {outlet['name']}", f"{outlet['type']}{dims} -> {'; '.join(outlet['inputs']) or 'nothing yet'}"
    yield from facts.items()


def _components(path: Path) -> list[dict[str, Any]]:
    """Each component that the pack knows in a checkpoint, as plain data."""
    from ..models.checkpoint import identify_all

    return [
        {
            "component": f"{found.family} {found.component}",
            "variant": found.variant,
            "dims": dict(found.dims),
            "hyper-parameters": dataclasses.asdict(found.spec) if dataclasses.is_dataclass(found.spec) else {},
            "parameters": found.header.parameters,
            "dtype": ", ".join(sorted({str(kind).removeprefix("torch.") for kind in found.header.dtypes.values()})),
            "layout": found.layout,
            "assumed": ", ".join(found.assumed) or "nothing",
            **({"remarks": " ".join(found.remarks)} if found.remarks else {}),
        }
        for found in identify_all(path)
    ]


def _summary(name: str, path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    try:
        found = [f"{entry['component']} ({entry['variant']})" for entry in _components(path)]
    except GlidewireError as problem:
        return {"name": name, "error": str(problem), "bytes": size}
    return {"name": name, "is": " + ".join(found) or "nothing that the pack knows", "bytes": size}


@model_commands.command("pull", epilog=EXIT_CODES)
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A published checkpoint; `models list` names them.")],
    to: Annotated[
        Path | None, typer.Option("--to", help="The folder to put it in; the user's own if none is given.")
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Fetch a published checkpoint; an interrupted one goes on where it stopped, and its digest is checked."""
    from ..graph_runtime.folders import user_path
    from ..models.download import download
    from ..models.published import published
    from .model_folders import own_folder

    entry = published(name)
    folder = user_path(to, "the folder") if to else own_folder()
    fetched: dict[str, str] = {}
    with options.exits_with(options.UNREADABLE):
        for file in entry.files:
            target = folder / file
            if target.exists():
                raise GlidewireError(
                    f"{target} is there already", expected="no such file", hint="Remove it, or name another folder."
                )
        for file, source in entry.files.items():
            with _bar(file, shown=not as_json) as on_progress:
                fetched[str(folder / file)] = download(source, folder / file, on_progress=on_progress)
    if as_json:
        print(json.dumps({"name": name, "licence": entry.licence, "files": fetched}))
        return
    for path, digest in fetched.items():
        stdout.print(f"{path}\nsha256 {digest}", highlight=False, markup=False, soft_wrap=True)
    stderr.print(f"{entry.system}, {entry.what}: licence {entry.licence}", highlight=False, markup=False)


@contextmanager
def _bar(name: str, *, shown: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on the terminal; nothing where nobody looks."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(
        *columns,
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=stderr,
        disable=not (shown and stderr.is_terminal),
    ) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@model_commands.command("convert", epilog=EXIT_CODES)
def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint, or a pickled module.")],
    destination: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write, or the folder for diffusers.")],
    to: Annotated[Literal["safetensors", "diffusers"], typer.Option("--to", help="The form to write.")] = "safetensors",
    component: Annotated[
        str | None, typer.Option("--component", help="Write this one alone, where the file holds several.")
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="NAME=VALUE", help="Hyper-parameters that the tensors do not tell."),
    ] = None,
    isolated: Annotated[bool, typer.Option("--isolated", hidden=True)] = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write a checkpoint as safetensors, or a network of it as a folder for diffusers.

    A pickled module (DALL·E's encoder.pkl and decoder.pkl) is a program: loading it with torch runs whatever its
    author wrote. Here its instructions are read and none is carried out, in a process of its own that has no network
    and writes nowhere but beside OUT. What is no plain module is refused.

    With --component or --state, one component is written with all of its hyper-parameters beside the weights.
    """
    file, destination, stated = file.expanduser(), destination.expanduser(), _stated(state)
    with options.exits_with(options.UNREADABLE):
        if destination.exists() and file.exists() and destination.resolve() == file.resolve():
            raise GlidewireError(f"{file.name} would be written over itself", hint="Name another file.")
        if to == "diffusers":
            _to_diffusers(file, destination, component, stated)
            facts = {"folder": str(destination)}
        elif component or state:
            tensors = _component_to_safetensors(file, destination, component, stated)
            facts = {"file": str(destination), "tensors": tensors}
        else:
            facts = {"file": str(destination), "tensors": _to_safetensors(file, destination, isolated=isolated)}
    if as_json:
        print(json.dumps(facts))
        return
    for key, value in facts.items():
        stdout.print(f"{key}: {value}", highlight=False, markup=False, soft_wrap=True)


def _stated(pairs: list[str] | None) -> dict[str, Any]:
    """`name=value` as hyper-parameters: numbers, lists and switches as JSON writes them, anything else as text."""
    stated: dict[str, Any] = {}
    for name, value in (options.split_assignment(text, option="--state", example="name=value") for text in pairs or ()):
        try:
            stated[name] = json.loads(value)
        except ValueError:
            stated[name] = value
    return stated


def _to_diffusers(file: Path, folder: Path, component: str | None, stated: dict[str, Any]) -> None:
    from ..models.checkpoint import identify
    from ..models.conversion import to_diffusers

    to_diffusers(identify(file, component=component, stated=stated), folder)


def _component_to_safetensors(file: Path, destination: Path, component: str | None, stated: dict[str, Any]) -> int:
    from ..models.checkpoint import identify
    from ..models.conversion import component_to_safetensors

    return component_to_safetensors(identify(file, component=component, stated=stated), destination)


def _to_safetensors(file: Path, destination: Path, *, isolated: bool) -> int:
    from ..models.conversion import module_to_safetensors, to_safetensors
    from ..models.torch_files import NeedsCodeToReadError

    if isolated:
        from ..models.isolation import confine

        confine(destination.parent, largest=2 * file.stat().st_size + 2**20)
        return module_to_safetensors(file, destination)
    try:
        return to_safetensors(file, destination)
    except NeedsCodeToReadError:
        return _in_isolation(file, destination)


def _in_isolation(file: Path, destination: Path) -> int:
    """Convert a pickled module in a process that locks itself in first."""
    from .surroundings import ROOT

    program = [sys.executable, str(ROOT), "models", "convert", "--isolated", "--json"]
    try:
        done = subprocess.run(  # noqa: S603 - this program, with two paths
            [*program, str(file.resolve()), str(destination.resolve())],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GlidewireError(f"the conversion of {file.name} took more than {_PATIENCE} seconds") from error
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        answer = {}
    if done.returncode == 0 and "tensors" in answer:
        return answer["tensors"]
    raise GlidewireError(
        answer.get("message") or f"the conversion of {file.name} was stopped",
        got=None if answer else (done.stderr.strip() or f"exit code {done.returncode}")[-300:],
    )
