"""Widget values: which of a saved node's `widgets_values` belongs to which input, for reading and for writing back."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from .document import Definition, SavedNode
from .node_types import HostInput, NodeType, Slot

VALUES, NAMED = "widgets_values", "widgets_values_named"


@dataclass(frozen=True)
class Held:
    """A value and the places in the document that hold it."""

    value: Any
    places: tuple[tuple[Any, str | int], ...] = ()

    def set(self, value: Any) -> bool:
        """Write another value into those places; False where there is none."""
        for container, key in self.places:
            container[key] = value
        return bool(self.places)


def own_values(node: SavedNode, type_: NodeType | None) -> dict[str, Held]:
    """The values of a node's widgets by input id: by name where the file has names, else by position.

    What is missing or null is the widget's default, or left out where the widget may be blank. Of a node of
    unknown type only values with names can be told.
    """
    values, named = node.raw.get(VALUES), node.raw.get(NAMED)
    by_name = [table for table in (named, values) if isinstance(table, MutableMapping)]
    if type_ is None:
        return {name: Held(table[name], ((table, name),)) for table in reversed(by_name) for name in table}
    listed = values if isinstance(values, list) else []
    found: dict[str, Held] = {}
    for index, slot in enumerate(_slots(type_, len(listed))):
        if isinstance(slot, str):
            continue
        places: list[tuple[Any, str | int]] = [(table, slot.name) for table in by_name if slot.name in table]
        if index < len(listed):
            places.append((listed, index))
        held = _with_default(places, slot)
        if held is not None:
            found[slot.name] = held
    return found


def primitive_value(node: SavedNode) -> Held | None:
    """The value of a PrimitiveNode: its first widget."""
    values = node.raw.get(VALUES)
    if isinstance(values, list) and values:
        return Held(values[0], ((values, 0),))
    if isinstance(values, MutableMapping) and values:
        name = next(iter(values))
        return Held(values[name], ((values, name),))
    return None


def promoted_values(node: SavedNode, definition: Definition) -> dict[int, Held]:
    """The values that a subgraph instance holds for the promoted widgets, by number of the definition's input."""
    values, named = node.raw.get(VALUES), node.raw.get(NAMED)
    by_name = [table for table in (named, values) if isinstance(table, MutableMapping)]
    names = [definition.inputs[index][0] for index in definition.widget_inputs]
    positions = _promoted_positions(node, definition)
    found: dict[int, Held] = {}
    for index, name in zip(definition.widget_inputs, names, strict=True):
        places: list[tuple[Any, str | int]] = []
        if names.count(name) == 1:
            places += [(table, name) for table in by_name if name in table]
        position = positions.get(index)
        if isinstance(values, list) and position is not None and position < len(values):
            places.append((values, position))
        if places and _value(places[0]) is not None:
            found[index] = Held(_value(places[0]), tuple(places))
    return found


def _promoted_positions(node: SavedNode, definition: Definition) -> dict[int, int]:
    """Number of the definition's input -> position in `widgets_values`.

    Files of some versions list every promoted widget in `properties.proxyWidgets` as [inner node, name]; there the
    inner node keeps the value, except of those marked "-1", which are inputs of the subgraph.
    """
    properties = node.raw.get("properties")
    proxies = properties.get("proxyWidgets") if isinstance(properties, Mapping) else None
    if not isinstance(proxies, list) or not proxies:
        return {index: position for position, index in enumerate(definition.widget_inputs)}
    by_name = {definition.inputs[index][0]: index for index in definition.widget_inputs}
    return {
        by_name[proxy[1]]: position
        for position, proxy in enumerate(proxies)
        if isinstance(proxy, list) and len(proxy) == 2 and str(proxy[0]) == "-1" and isinstance(proxy[1], str)
        if proxy[1] in by_name
    }


def _slots(type_: NodeType, count: int) -> tuple[Slot, ...]:
    older = type_.slots_with_forced
    return older if len(older) != len(type_.slots) and count == len(older) else type_.slots


def _with_default(places: list[tuple[Any, str | int]], slot: HostInput) -> Held | None:
    value = _value(places[0]) if places else None
    if value is None and not slot.may_be_blank:
        try:
            value = slot.default
        except KeyError:
            return None
    return None if value is None else Held(value, tuple(places))


def _value(place: tuple[Any, str | int]) -> Any:
    container, key = place
    return container[key]
