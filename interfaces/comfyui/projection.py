"""Every declaration as the class that a ComfyUI-style host expects (its V1 schema)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...graph_runtime.declaration import NodeDeclaration
from ...graph_runtime.host_schema import object_info
from ...graph_runtime.registry import Registry
from ...graph_runtime.widgets import File
from . import host
from .cache import shared_cache
from .execution import HIDDEN, execute, takes_lists


def node_class(declaration: NodeDeclaration) -> type:
    """The class that the host instantiates for a node; its schema is `host_schema.object_info`."""
    info = object_info(declaration)
    lists = takes_lists(declaration)
    hidden = {"hidden": dict(HIDDEN)} if declaration.effect else {}

    def input_types(cls: type) -> dict[str, Any]:
        sections = object_info(declaration, host.folders())["input"]
        shown = {name: {key: tuple(entry) for key, entry in entries.items()} for name, entries in sections.items()}
        return {**shown, **hidden}

    def run(self: object, **inputs: Any) -> Any:
        asked = {name: _single(inputs.pop(name, None), lists) for name in HIDDEN}
        return execute(declaration, **inputs, **asked)

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
    if any(isinstance(entry.widget, File) for entry in declaration.inputs):
        members["IS_CHANGED"] = classmethod(lambda cls, **inputs: fingerprint(declaration, inputs))
    if declaration.lazy:
        members["check_lazy_status"] = lambda self, **inputs: _still_needed(declaration, inputs)
    return type(declaration.id, (), members)


def _single(value: Any, lists: bool) -> Any:
    return value[0] if lists and isinstance(value, list) and value else value


def fingerprint(declaration: NodeDeclaration, inputs: Mapping[str, Any]) -> str:
    """The node's version and the content of the files that it would read: the host runs it again when they change."""
    folders, files = host.folders(), shared_cache().files
    found = [str(declaration.version)]
    for entry in declaration.inputs:
        name = _single(inputs.get(entry.id), isinstance(inputs.get(entry.id), list))
        if isinstance(entry.widget, File) and isinstance(name, str) and name:
            found.append(files.digest(folders.find(entry.widget.folder, name)))
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
