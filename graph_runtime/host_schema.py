"""A node declaration as the node host describes it (NodeInfoV1, what GET /object_info answers): one dict per node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .declaration import REQUIRED, InputDeclaration, NodeDeclaration
from .folders import Folders
from .registry import Registry
from .widgets import Choice, File, Number, Seed, Slider, Text, Toggle

BLANK = "glidewire_blank"
"""Option of an input whose widget may stay unset: null in a saved workflow then means "left out", not "default"."""

DIMS = "glidewire_dims"
"""Option that carries an input's dims; `glidewire_output_dims` of the node carries those of its outputs."""


def object_info(declaration: NodeDeclaration, folders: Folders | None = None) -> dict[str, Any]:
    """Describe one node the way the host's editor expects it.

    Args:
        declaration: The node.
        folders: Where the files offered by File widgets are looked up; without it, no file is offered.

    Returns:
        A NodeInfoV1: plain JSON. Inputs that have a widget and a default stand under "required", as in the host.
    """
    sections: dict[str, dict[str, list[Any]]] = {"required": {}, "optional": {}}
    for entry in declaration.inputs:
        sections["optional" if _is_optional(entry) else "required"][entry.id] = _input(entry, declaration, folders)
    kept = {name: entries for name, entries in sections.items() if entries or name == "required"}
    documentation = declaration.documentation
    return {
        "input": kept,
        "input_order": {name: list(entries) for name, entries in kept.items()},
        "is_input_list": any(entry.is_list for entry in declaration.inputs),
        "output": [",".join(entry.type_ids) for entry in declaration.outputs],
        "output_is_list": [entry.is_list for entry in declaration.outputs],
        "output_name": [entry.id for entry in declaration.outputs],
        "output_tooltips": [entry.tooltip for entry in declaration.outputs],
        "glidewire_output_dims": [entry.dims for entry in declaration.outputs],
        "name": declaration.id,
        "display_name": declaration.title,
        "description": "\n\n".join(part for part in (documentation.summary, documentation.body) if part),
        "python_module": "custom_nodes.glidewire",
        "category": declaration.category,
        "output_node": declaration.effect,
        "search_aliases": [declaration.name, *declaration.aliases],
    }


class Catalogue(Mapping[str, Mapping[str, Any]]):
    """A registry seen as the host's object_info: descriptions made when asked for, found by former ids as well."""

    def __init__(self, registry: Registry, folders: Folders | None = None) -> None:
        self._registry, self._folders = registry, folders
        self._made: dict[str, Mapping[str, Any]] = {}

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        if name not in self._made:
            declaration = self._registry.get(name)
            if declaration is None:
                raise KeyError(name)
            self._made[name] = object_info(declaration, self._folders)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._registry.ids())

    def __len__(self) -> int:
        return len(self._registry)


def has_widget(entry: InputDeclaration) -> bool:
    """Whether the editor shows a widget for this input; a list has none, it can only be wired."""
    return entry.is_literal and not entry.is_list


def _is_optional(entry: InputDeclaration) -> bool:
    return entry.optional or (entry.default is not REQUIRED and not has_widget(entry))


def _input(entry: InputDeclaration, declaration: NodeDeclaration, folders: Folders | None) -> list[Any]:
    kind, options = _widget(entry, folders) if has_widget(entry) else (",".join(entry.type_ids), _socket(entry))
    if entry.tooltip:
        options["tooltip"] = entry.tooltip
    if entry.id in declaration.lazy_inputs:
        options["lazy"] = True
    if entry.dims != "...":
        options[DIMS] = entry.dims
    return [kind, options] if options else [kind]


def _socket(entry: InputDeclaration) -> dict[str, Any]:
    """Options of an input without a widget: forceInput where the host would draw one for its type."""
    return {"forceInput": True} if set(entry.type_ids) & {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"} else {}


def _widget(entry: InputDeclaration, folders: Folders | None) -> tuple[Any, dict[str, Any]]:
    """The host's type (a list for a combo) and the widget's options."""
    widget = entry.widget
    kind: Any = entry.type_ids[0]
    options: dict[str, Any] = {}
    match widget:
        case Number():
            options = {name: getattr(widget, name) for name in ("min", "max", "step")}
            options = {name: value for name, value in options.items() if value is not None}
            if isinstance(widget, Slider):
                options["display"] = "slider"
            if kind == "FLOAT":
                options["round"] = False  # else the editor rounds what is typed to the step
        case Seed():
            options = {"min": widget.min, "max": widget.max, "control_after_generate": True}
        case Text():
            options = {"multiline": widget.multiline}
        case Toggle():
            options = {"label_on": widget.on, "label_off": widget.off}
        case Choice():
            kind = list(widget.current())
        case File():
            kind = folders.listing(widget.folder, widget.suffixes) if folders else []
            if widget.upload and widget.folder == "input":
                options["image_upload"] = True
    if entry.default is REQUIRED or entry.default is None:
        options[BLANK] = True
    else:
        options["default"] = entry.default
    if widget is not None and widget.label:
        options["display_name"] = widget.label
    return kind, options
