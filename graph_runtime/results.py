"""What a run came to: outputs, digests, failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import codec
from .problems import NodeFailure


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Args:
        ok: Nothing failed and nobody cancelled.
        outputs: The outputs of each target that has them.
        digests: SHA-256 for each target: of everything that went into an effect node, of any other's outputs.
        failures: The nodes that failed, in order.
        skipped: The nodes that could not run, each with the node that is to blame.
        seconds: Wall time.
        cancelled: The user stopped it.
    """

    ok: bool
    outputs: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    failures: tuple[NodeFailure, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    cancelled: bool = False


def digest_or_none(value: Any) -> str | None:
    """The digest of a value, or None if it holds a handle."""
    try:
        return codec.digest(value)
    except codec.NotStorable:
        return None


def digest_of(outputs: tuple[Any, ...]) -> str:
    """One digest of all outputs of a node; handles count as nothing."""
    return codec.digest([digest_or_none(value) for value in outputs])
