"""What is asked of the node host itself: its modules, folders, device, interrupt flag and progress bar."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, NamedTuple

from ...errors import GlidewireError
from ...graph_runtime.context import CancelToken, Policy
from ...graph_runtime.folders import Folders
from ..surroundings import ROOT, find_device

LOG = logging.getLogger("glidewire")

OWN_FOLDER = "glidewire"
"""The host's name for our folder of models: a folder of that name beside its others, and in its path files."""
_MODEL_FOLDERS = (
    OWN_FOLDER,
    *("checkpoints", "diffusion_models", "vae", "text_encoders", "clip", "clip_vision", "controlnet"),
)
_FRESH_SECONDS = 3.0


def module(name: str) -> ModuleType | None:
    """A module of the host, or None outside of it: nothing of a host is imported before a node needs it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def require(name: str) -> ModuleType:
    """A module of the host.

    Raises:
        GlidewireError: we are not inside of a host, or its version has no such module.
    """
    found = module(name)
    if found is None:
        raise GlidewireError(
            "this node works inside of ComfyUI only",
            expected=f"ComfyUI's module {name}",
            got="none",
            hint="Start ComfyUI with this pack among its custom nodes, or update ComfyUI.",
        )
    return found


@dataclass(frozen=True)
class HostFolders(Folders):
    """Folders whose listing is remembered for a moment: the host asks once for every node that offers files."""

    def listing(self, folder: str, suffixes: Iterable[str] = ()) -> list[str]:
        """As `Folders.listing`."""
        wanted = tuple(suffixes)
        found = _everything(self.roots(folder), int(time.monotonic() / _FRESH_SECONDS))
        return [name for name in found if not wanted or PurePosixPath(name).suffix.lower() in wanted]


@functools.lru_cache(maxsize=8)
def _everything(roots: tuple[Path, ...], moment: int) -> tuple[str, ...]:
    return tuple(Folders(models=roots).listing("models"))


def folders() -> Folders:
    """The host's folders of models, inputs and outputs, with our shipped weights.

    Models: $GLIDEWIRE_MODELS, the shipped weights, then the host's own folders, ours among them.
    """
    named = [Path(entry) for entry in os.environ.get("GLIDEWIRE_MODELS", "").split(os.pathsep) if entry]
    models, paths = [*named, ROOT / "weights"], module("folder_paths")
    if paths is None:
        return Folders(models=tuple(models), input=(Path.cwd(),), output=Path("output"))
    known = getattr(paths, "folder_names_and_paths", {})
    for kind in _MODEL_FOLDERS:
        if kind in known:
            models += [Path(entry) for entry in paths.get_folder_paths(kind)]
    return HostFolders(
        models=tuple(dict.fromkeys(models)),
        input=(Path(paths.get_input_directory()),),
        output=Path(paths.get_output_directory()),
    )


def offer_own_folder() -> None:
    """Tell the host of a folder of models that is ours, where it knows folders of models."""
    paths = module("folder_paths")
    if hasattr(paths, "add_model_folder_path") and hasattr(paths, "models_dir"):
        paths.add_model_folder_path(OWN_FOLDER, str(Path(paths.models_dir) / OWN_FOLDER))


def device() -> str:
    """The device that the host computes on."""
    management = module("comfy.model_management")
    return str(management.get_torch_device()) if management else find_device("auto")


def loading_device() -> str:
    """The device that models are loaded to before they are needed: memory that the host has plenty of."""
    management = module("comfy.model_management")
    return str(management.unet_offload_device()) if hasattr(management, "unet_offload_device") else device()


def policy(*, loading: bool = False) -> Policy:
    """Where nodes compute, or where those that load models put them until the host makes room."""
    return Policy(device=loading_device() if loading else device())


class HostCancel(CancelToken):
    """Cancelled when the host's own interrupt flag is up."""

    @property
    def cancelled(self) -> bool:
        """Whether the host was asked to stop."""
        management = module("comfy.model_management")
        return bool(management and management.processing_interrupted()) or super().cancelled


def raise_interrupted() -> None:
    """Raise the host's own exception if it was asked to stop, so that it ends the prompt quietly."""
    management = module("comfy.model_management")
    if management:
        management.throw_exception_if_processing_interrupted()


class ProgressReport:
    """`Context.on_progress` on the host's progress bar, which also carries previews."""

    def __init__(self) -> None:
        self._utils = module("comfy.utils")
        self._bar: Any = None

    @property
    def shown(self) -> bool:
        """Whether anybody looks."""
        return self._utils is not None

    def __call__(self, done: int, total: int, text: str, preview: Any) -> None:
        """Move the bar, made at the first call."""
        if self._utils is None:
            return
        if self._bar is None:
            self._bar = self._utils.ProgressBar(total)
        self._bar.update_absolute(done, total, ("JPEG", preview, 512) if preview is not None else None)


class Running(NamedTuple):
    """What the host executes now."""

    prompt: str
    node: str


def running() -> Running | None:
    """What the host executes now, where it tells."""
    utils = module("comfy_execution.utils")
    told = utils.get_executing_context() if hasattr(utils, "get_executing_context") else None
    return None if told is None else Running(str(told.prompt_id), str(told.node_id))


def server() -> Any:
    """The host's server, or None."""
    return getattr(getattr(module("server"), "PromptServer", None), "instance", None)
