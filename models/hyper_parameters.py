"""Hyper-parameters of any family: typed values by name, told by shapes, stated by users, or as published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar

from ..errors import GlidewireError

Spec = TypeVar("Spec")
SPEC = "glidewire.spec"
"""Where a safetensors file of ours carries its hyper-parameters."""

HINT = "State the model's own value: `glidewire models convert FILE OUT --state NAME=VALUE` writes it into a file."


class UnfitError(GlidewireError):
    """A hyper-parameter that no network of its spec can have.

    Args:
        spec: The spec's name.
        name: The hyper-parameter.
        expected: What it could be.
        got: What it is.
    """

    def __init__(self, spec: str, name: str, *, expected: object, got: object) -> None:
        self.name = name
        super().__init__(f"{spec}: {name} does not fit", expected=expected, got=got, hint=HINT)

    def of(self, where: str, what: str, *, stated: bool) -> GlidewireError:
        """The same of a file that holds `what`: a value that was stated, or one that the tensors do not tell."""
        why = "" if stated else ", whose tensors do not tell all of it"
        return GlidewireError(
            f"{where} holds {what}{why}: {self.name} does not fit", expected=self.expected, got=self.got, hint=self.hint
        )


def typed(spec: type, values: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """`values` with lists as tuples, each checked against the type of its field's default.

    Raises:
        GlidewireError: An unknown name or another type, naming `where`.
    """
    defaults = {field.name: field.default for field in fields(spec)}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in defaults:
            raise GlidewireError(f"{where} has an unknown field {name!r}", expected=sorted(defaults))
        kind = type(defaults[name])
        if kind is tuple:
            value = _tuples(value)
        if kind is float and type(value) is int:
            value = float(value)
        of_numbers = kind is tuple and bool(defaults[name]) and _only_numbers(defaults[name])
        if type(value) is not kind or (of_numbers and not _only_numbers(value)):
            expected = "whole numbers" if of_numbers else kind.__name__
            raise GlidewireError(f"{where}: {name} has the wrong type", expected=expected, got=repr(value))
        checked[name] = value
    return checked


def _only_numbers(values: Any) -> bool:
    return all(type(item) is int for item in values)


def _tuples(value: Any) -> Any:
    """JSON's lists, in each other too, as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def combined(published: Spec, told: Mapping[str, Any], stated: Mapping[str, Any], *, where: str) -> Spec:
    """The published spec with what is stated, then what the shapes tell.

    Raises:
        GlidewireError: What is stated contradicts what the shapes tell.
    """
    for name, value in told.items():
        if stated.get(name, value) != value:
            raise GlidewireError(
                f"{where} contradicts the stated {name}", expected=f"{value}, from its tensors", got=stated[name]
            )
    return replace(published, **{**stated, **told})  # pyrefly: ignore


def matching(table: Mapping[str, Spec], told: Mapping[str, Any]) -> dict[str, Spec]:
    """The published specs, by name, that agree with everything that the shapes tell."""
    return {name: spec for name, spec in table.items() if all(getattr(spec, field) == told[field] for field in told)}


def require(holds: bool, spec: object, name: str, expected: object) -> None:
    """Raise a GlidewireError that names a field of a spec unless `holds`."""
    if not holds:
        raise UnfitError(type(spec).__name__, name, expected=expected, got=getattr(spec, name))


def to_json(family: str, spec: Any) -> str:
    """What a file carries as `SPEC`: the family and every hyper-parameter."""
    return json.dumps({"family": family, **asdict(spec)})


def json_object(metadata: Mapping[str, str], *, family: str, where: str) -> dict[str, Any]:
    """What a file carries as `SPEC`, without the family; empty if it carries nothing.

    Raises:
        GlidewireError: It is no JSON object of this family, naming `where`.
    """
    if SPEC not in metadata:
        return {}
    try:
        values = json.loads(metadata[SPEC])
    except json.JSONDecodeError as error:
        raise GlidewireError(f"{where}: {SPEC} is not JSON", got=str(error)) from error
    if not isinstance(values, dict) or values.pop("family", None) != family:
        raise GlidewireError(f"{where}: {SPEC} is another family's", expected=f'an object with "family": "{family}"')
    return values


def carried(spec: type, metadata: Mapping[str, str], *, family: str, where: str) -> dict[str, Any]:
    """The hyper-parameters that a file carries as `SPEC`, by the spec's names; none if it carries none.

    Raises:
        GlidewireError: What it carries is no such spec, naming `where`.
    """
    values = json_object(metadata, family=family, where=where)
    return typed(spec, values, where=f"{where}: {SPEC}") if values else {}


def known(
    spec: type, metadata: Mapping[str, str], stated: Mapping[str, Any], *, family: str, where: str
) -> dict[str, Any]:
    """What a file carries of a spec, and what is stated, which wins.

    Raises:
        GlidewireError: As `carried`; an unknown name or another type.
    """
    inside = carried(spec, metadata, family=family, where=where)
    return {**inside, **typed(spec, stated, where=f"{where}: stated hyper-parameters")}
