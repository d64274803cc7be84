"""The node host's door: every declaration as the class that a ComfyUI-style host expects (its V1 schema)."""

from __future__ import annotations

import importlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ..digests import sha256_file
from ..graph_runtime import codec
from ..graph_runtime.context import CancelledError, CancelToken, Context, Policy
from ..graph_runtime.declaration import NodeDeclaration
from ..graph_runtime.folders import Folders
from ..graph_runtime.host_schema import object_info
from ..graph_runtime.mapping import per_item
from ..graph_runtime.registry import Registry
from ..graph_runtime.widgets import File
from .session import pack_registry
from .surroundings import ROOT, find_device
from .version import versions

WEB_DIRECTORY = "./web"
"""Where the host finds our editor extension and the help pages, relative to the pack's root."""

_HIDDEN = {"glidewire_id": "UNIQUE_ID", "glidewire_prompt": "PROMPT", "glidewire_extra": "EXTRA_PNGINFO"}


def _host(name: str) -> ModuleType | None:
    """A module of the host, or None outside of it: nothing of a host is imported before a node runs in one."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def host_folders() -> Folders:
    """The host's own folders, with our shipped weights."""
    named = [Path(entry) for entry in os.environ.get("GLIDEWIRE_MODELS", "").split(os.pathsep) if entry]
    models, host = [*named, ROOT / "weights"], _host("folder_paths")
    if host is None:
        return Folders(models=tuple(models), input=(Path.cwd(),), output=Path("output"))
    for kind in ("checkpoints", "diffusion_models"):
        if kind in getattr(host, "folder_names_and_paths", {}):
            models += [Path(entry) for entry in host.get_folder_paths(kind)]
    return Folders(
        models=tuple(models), input=(Path(host.get_input_directory()),), output=Path(host.get_output_directory())
    )


class HostCancel(CancelToken):
    """Cancelled when the host's own interrupt flag is up."""

    @property
    def cancelled(self) -> bool:
        """Whether the host was asked to stop."""
        management = _host("comfy.model_management")
        return bool(management and management.processing_interrupted()) or super().cancelled


def host_context(node_id: str | None, prompt: Any, extra: Mapping[str, Any] | None) -> Context:
    """What a node may ask of its surroundings, answered by the host as far as it can."""
    utils, management = _host("comfy.utils"), _host("comfy.model_management")
    bars: dict[str, Any] = {}

    def on_progress(done: int, total: int, text: str, preview: Any) -> None:
        if utils is None:
            return
        bar = bars.setdefault("bar", utils.ProgressBar(total))
        bar.update_absolute(done, total, ("JPEG", preview, 512) if preview is not None else None)

    device = str(management.get_torch_device()) if management else find_device("auto")
    told = {"workflow": (extra or {}).get("workflow"), "prompt": prompt, "glidewire": versions()}
    return Context(
        policy=Policy(device=device),
        folders=host_folders(),
        cancel=HostCancel(),
        on_progress=on_progress,
        on_warning=_warn,
        provenance={name: json.dumps(document) for name, document in told.items() if document},
        wants_previews=utils is not None,
    )


def _warn(message: str) -> None:
    logging.getLogger("glidewire").warning(message)


def execute(declaration: NodeDeclaration, **inputs: Any) -> Any:
    """Run one node in the host: outside its inference mode, so that our networks may compute gradients.

    Tensors that the host made under inference mode are cloned; ours are handed through as they are.
    """
    hidden = {name: inputs.pop(name, None) for name in _HIDDEN}
    with torch.inference_mode(False):
        context = host_context(*hidden.values())
        values = {name: codec.map_tensors(value, _usable) for name, value in inputs.items()}
        try:
            results = _call(declaration, values, context)
        except CancelledError:
            management = _host("comfy.model_management")
            if management:
                management.throw_exception_if_processing_interrupted()
            raise
    return {"ui": dict(context.shown), "result": results} if declaration.effect else results


def _usable(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone() if tensor.is_inference() else tensor


def _call(declaration: NodeDeclaration, values: Mapping[str, Any], context: Context) -> tuple[Any, ...]:
    """One value per output; where the node takes lists, one list per output (the host hands everything as lists)."""
    injected = {"context": context} if declaration.takes_context else {}
    if not takes_lists(declaration):
        return declaration.results(declaration.function(**values, **injected))
    listed = [name for name in values if not declaration.by_input[name].is_list]
    gathered: list[list[Any]] = [[] for _ in declaration.outputs]
    for once in per_item(values, listed):
        results = declaration.results(declaration.function(**once, **injected))
        for entry, result, into in zip(declaration.outputs, results, gathered, strict=True):
            into.extend(result if entry.is_list else [result])
    return tuple(gathered)


def takes_lists(declaration: NodeDeclaration) -> bool:
    """Whether the host must hand every input of this node as a list."""
    return any(entry.is_list for entry in declaration.inputs)


def node_class(declaration: NodeDeclaration) -> type:
    """The class that the host instantiates for a node; its schema is `host_schema.object_info`."""
    info = object_info(declaration)
    lists = takes_lists(declaration)

    def input_types(cls: type) -> dict[str, Any]:
        sections = object_info(declaration, host_folders())["input"]
        shown = {name: {key: tuple(entry) for key, entry in entries.items()} for name, entries in sections.items()}
        return {**shown, "hidden": dict(_HIDDEN)}

    def run(self: object, **inputs: Any) -> Any:
        hidden = {name: _single(inputs.pop(name, None), lists) for name in _HIDDEN}
        return execute(declaration, **inputs, **hidden)

    members: dict[str, Any] = {
        "__doc__": info["description"],
        "INPUT_TYPES": classmethod(input_types),
        "INPUT_IS_LIST": lists,
        "RETURN_TYPES": tuple(info["output"]),
        "RETURN_NAMES": tuple(info["output_name"]),
        "OUTPUT_IS_LIST": tuple(lists or is_list for is_list in info["output_is_list"]),
        "OUTPUT_TOOLTIPS": tuple(info["output_tooltips"]),
        "OUTPUT_NODE": declaration.effect,
        "FUNCTION": "run",
        "CATEGORY": f"glidewire/{declaration.category}",
        "DESCRIPTION": info["description"],
        "SEARCH_ALIASES": info["search_aliases"],
        "run": run,
    }
    files = [entry for entry in declaration.inputs if isinstance(entry.widget, File)]
    if files:
        members["IS_CHANGED"] = classmethod(lambda cls, **inputs: _fingerprint(declaration, inputs))
    if declaration.lazy:
        members["check_lazy_status"] = lambda self, **inputs: _still_needed(declaration, inputs)
    return type(declaration.id, (), members)


def _single(value: Any, lists: bool) -> Any:
    return value[0] if lists and isinstance(value, list) and value else value


def _fingerprint(declaration: NodeDeclaration, inputs: Mapping[str, Any]) -> str:
    """The content digests of the files that a node would read: the host re-runs it when they change."""
    folders = host_folders()
    found = []
    for entry in declaration.inputs:
        name = _single(inputs.get(entry.id), isinstance(inputs.get(entry.id), list))
        if isinstance(entry.widget, File) and isinstance(name, str):
            found.append(sha256_file(folders.find(entry.widget.folder, name)))
    return " ".join(found)


def _still_needed(declaration: NodeDeclaration, inputs: Mapping[str, Any]) -> list[str]:
    """The lazy inputs that the node asks for and that are wired but not computed yet."""
    assert declaration.lazy is not None
    lists = takes_lists(declaration)
    known = {
        name: _single(value, lists and not declaration.by_input[name].is_list)
        for name, value in inputs.items()
        if name in declaration.by_input and name not in declaration.lazy_inputs
    }
    return [name for name in declaration.lazy(**known) if name in inputs and _single(inputs[name], lists) is None]


def mappings(registry: Registry) -> tuple[dict[str, type], dict[str, str]]:
    """The classes and the titles of a registry's nodes, by id; a node stands under its former ids too."""
    classes: dict[str, type] = {}
    titles: dict[str, str] = {}
    for declaration in registry:
        made = node_class(declaration)
        for name in (declaration.id, *declaration.aliases):
            classes[name], titles[name] = made, declaration.title
    return classes, titles


def __getattr__(name: str) -> Any:
    """NODE_CLASS_MAPPINGS and NODE_DISPLAY_NAME_MAPPINGS, made of the pack's nodes when the host asks for them."""
    if name not in ("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = dict(zip(("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"), mappings(pack_registry()), strict=True))
    globals().update(made)
    return made[name]
