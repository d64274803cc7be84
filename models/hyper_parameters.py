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

HINT = "State the model's own value as a hyper-parameter beside the file."


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
        if kind is tuple and isinstance(value, list | tuple):
            value = tuple(value)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise GlidewireError(f"{where}: {name} has the wrong type", expected=kind.__name__, got=repr(value))
        checked[name] = value
    return checked


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
        raise GlidewireError(
            f"{type(spec).__name__}: {name} does not fit", expected=expected, got=getattr(spec, name), hint=HINT
        )


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
