"""What conversion needs of a node type, read from the host's object_info: sockets, widgets, and slots for values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..host_schema import BLANK

_WIDGET_TYPES = frozenset(
    {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "MARKDOWN", "COLOR", "TEXTAREA", "IMAGEUPLOAD", "FILEUPLOAD"}
)
_ZERO: dict[str, Any] = {"INT": 0, "FLOAT": 0, "STRING": "", "BOOLEAN": False}
_UPLOADS = ("image_upload", "video_upload", "animated_image_upload")


@dataclass(frozen=True)
class HostInput:
    """One input as object_info has it; `type` is "COMBO" where the host gives a list of options."""

    name: str
    type: str
    is_widget: bool
    required: bool
    forced: bool
    options: Mapping[str, Any]
    choices: tuple[Any, ...] = ()

    @property
    def may_be_blank(self) -> bool:
        """Whether null means "left out" here rather than "the default"."""
        return bool(self.options.get(BLANK))

    @property
    def default(self) -> Any:
        """What the editor's fresh widget holds; raises KeyError where it holds nothing."""
        if "default" in self.options:
            return self.options["default"]
        if self.may_be_blank:
            raise KeyError(self.name)
        if self.choices:
            return self.choices[0]
        return _ZERO[self.type]


Slot = HostInput | str
"""What a position of `widgets_values` belongs to: an input, or the editor itself (the text it would write there)."""


@dataclass(frozen=True)
class NodeType:
    """One node type.

    Args:
        name, title: Its id and what the editor shows.
        inputs: In the order of object_info, required ones first.
        outputs, output_names: Types and names of the outputs.
        output_is_list, effect: Which outputs are lists; whether it is an output node.
    """

    name: str
    title: str
    inputs: tuple[HostInput, ...]
    outputs: tuple[str, ...]
    output_names: tuple[str, ...]
    output_is_list: tuple[bool, ...]
    effect: bool

    @cached_property
    def by_name(self) -> Mapping[str, HostInput]:
        """The inputs by name."""
        return {entry.name: entry for entry in self.inputs}

    @cached_property
    def live_order(self) -> tuple[HostInput, ...]:
        """The inputs as the editor lays out their sockets: those without a widget first."""
        return (
            *(entry for entry in self.inputs if not entry.is_widget),
            *(entry for entry in self.inputs if entry.is_widget),
        )

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """What each position of `widgets_values` belongs to: an input, or a text that the editor keeps for itself."""
        made: list[Slot] = []
        for required in (True, False):
            section = [entry for entry in self.inputs if entry.required is required]
            for entry in section:
                if entry.is_widget:
                    made += [entry, *_extra_slots(entry)]
            if required and any(entry.options.get(key) for entry in section for key in _UPLOADS):
                made.append("image")
        return tuple(made)

    @cached_property
    def slots_with_forced(self) -> tuple[Slot, ...]:
        """The positions in files from before frontend 1.16, which kept a dummy for inputs that are always sockets."""
        made: list[Slot] = []
        waiting = list(self.slots)
        for entry in self.inputs:
            if entry.forced:
                made.append("")
            elif entry.is_widget:
                made.append(waiting.pop(0))
                while waiting and isinstance(waiting[0], str):
                    made.append(waiting.pop(0))
        return tuple(made) if any(entry.forced for entry in self.inputs) else self.slots


class NodeTypes:
    """The node types of an object_info, read when first asked for."""

    def __init__(self, object_info: Mapping[str, Mapping[str, Any]]) -> None:
        self._object_info = object_info
        self._made: dict[str, NodeType | None] = {}

    def get(self, name: str) -> NodeType | None:
        """The node type called `name`, or None."""
        if name not in self._made:
            info = self._object_info.get(name)
            self._made[name] = None if info is None else _node_type(name, info)
        return self._made[name]

    def names(self) -> list[str]:
        """The names of every node type."""
        return list(self._object_info)


def _node_type(name: str, info: Mapping[str, Any]) -> NodeType:
    inputs = [
        _input(input_name, spec, section == "required")
        for section in ("required", "optional")
        for input_name, spec in _ordered(info, section)
    ]
    outputs = tuple(kind if isinstance(kind, str) else "COMBO" for kind in info.get("output", ()))
    return NodeType(
        name=info.get("name") or name,
        title=info.get("display_name") or name,
        inputs=tuple(inputs),
        outputs=outputs,
        output_names=tuple(info.get("output_name") or outputs),
        output_is_list=tuple(info.get("output_is_list") or (False,) * len(outputs)),
        effect=bool(info.get("output_node")),
    )


def _ordered(info: Mapping[str, Any], section: str) -> list[tuple[str, Any]]:
    entries = info.get("input", {}).get(section, {})
    order = info.get("input_order", {}).get(section, list(entries))
    return [(name, entries[name]) for name in order if name in entries]


def _input(name: str, spec: Any, required: bool) -> HostInput:
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    choices = tuple(kind) if isinstance(kind, list) else tuple(options.get("options") or ())
    type_ = "COMBO" if isinstance(kind, list) else kind
    could = type_ in _WIDGET_TYPES or options.get("widgetType") in _WIDGET_TYPES
    forced = bool(options.get("forceInput"))
    return HostInput(name, type_, could and not forced, required, could and forced, options, choices)


def _extra_slots(entry: HostInput) -> tuple[str, ...]:
    """What the editor keeps behind a widget: what happens to a seed after a run, and a combo's filter."""
    named_like_a_seed = entry.type == "INT" and entry.name in ("seed", "noise_seed")
    if not entry.options.get("control_after_generate", named_like_a_seed):
        return ()
    return ("fixed", "") if entry.type == "COMBO" else ("fixed",)
