"""Where a session finds things on this machine: folders, shipped files, the device, the disk cache."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import platformdirs
import torch

from ..errors import GlidewireError
from ..graph_runtime.cache import Store
from ..graph_runtime.folders import Folders, user_path
from .model_folders import existing, host_folders, hub_cache, own_folder

PACKAGE = __name__.rpartition(".interfaces.")[0]
ROOT = Path(__file__).resolve().parent.parent
_MOST_THREADS = 1024


def find_folders(
    models: Iterable[str | Path], inputs: Iterable[str | Path], output: str | Path, workflow: Path | None = None
) -> Folders:
    """The folders that files are looked up in and written to.

    Models: those given, then $GLIDEWIRE_MODELS, what `glidewire models pull` fetched, the shipped weights, the
    folders of the node host around the pack, and the hub's cache. Inputs: those given, else the current folder;
    then the workflow's own folder. A shipped workflow has none.

    Raises:
        GlidewireError: a folder that was given does not exist, or the output is a file.
    """
    named = [entry for entry in os.environ.get("GLIDEWIRE_MODELS", "").split(os.pathsep) if entry]
    beside = [] if workflow is None or workflow.is_relative_to(ROOT) else [workflow.resolve().parent]
    destination = user_path(output, "the output folder")
    if destination.exists() and not destination.is_dir():
        raise GlidewireError("the output folder is a file", expected="a folder, or a path that is free", got=output)
    given = [*_folders("models", models), *_folders("GLIDEWIRE_MODELS", named)]
    beyond = [*host_folders(ROOT), *existing(hub_cache())]
    return Folders(
        models=tuple(dict.fromkeys([*given, *existing(own_folder()), ROOT / "weights", *beyond])),
        input=tuple(dict.fromkeys([*(_folders("input", inputs) or [Path.cwd()]), *beside])),
        output=destination,
    )


def _folders(what: str, names: Iterable[str | Path]) -> list[Path]:
    found = [user_path(name, f"the {what} folder").resolve() for name in names]
    for path in found:
        if not path.is_dir():
            raise GlidewireError(f"the {what} folder does not exist", expected="an existing folder", got=path)
    return found


def find_device(name: str) -> str:
    """The device that `name` means on this machine.

    Raises:
        GlidewireError: torch knows no such device, or this machine has none.
    """
    here = ["cpu"]
    here += [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    here += ["mps"] if torch.backends.mps.is_available() else []
    if name == "auto":
        return "cuda" if "cuda:0" in here else here[-1]
    if name in here or (name == "cuda" and "cuda:0" in here):
        return name
    raise GlidewireError("this machine has no such device", expected=f"auto, {', '.join(here)}", got=name)


def find_dtype(name: str) -> str:
    """The number type called `name`.

    Raises:
        GlidewireError: there is no such type.
    """
    if name not in ("float32", "bfloat16", "float16"):
        raise GlidewireError("no such number type", expected="float32, bfloat16 or float16", got=name)
    return name


def use_threads(count: int | None) -> None:
    """Let torch use `count` processor threads; None leaves it as it is."""
    if count is None:
        return
    if not 1 <= count <= _MOST_THREADS:
        raise GlidewireError("the number of threads is impossible", expected=f"1 to {_MOST_THREADS}", got=count)
    torch.set_num_threads(count)


def cache_folder(named: str | Path | None = None) -> Path:
    """The folder of the disk cache: the one named, else $GLIDEWIRE_CACHE, else the user's cache folder."""
    chosen = named or os.environ.get("GLIDEWIRE_CACHE")
    return user_path(chosen, "the cache folder") if chosen else platformdirs.user_cache_path("glidewire")


def open_store(named: str | Path | None = None) -> Store:
    """The disk cache; see `cache_folder`."""
    return Store(cache_folder(named))
