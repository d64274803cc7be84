"""The typed events of a run: the one stream from which every door draws its bars, messages and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .problems import NodeFailure

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, kw_only=True)
class Event:
    """What every event has: the run it belongs to."""

    run: str

    def as_json(self) -> dict[str, Any]:
        """The event as plain JSON, its kind under "event"; previews are left out."""
        fields = {key: value for key, value in asdict(self).items() if key != "preview"}
        return {"event": type(self).__name__.lower(), **fields}


@dataclass(frozen=True, kw_only=True)
class Queued(Event):
    """A run begins: the nodes that it will look at, in order."""

    nodes: tuple[str, ...]
    will_run: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class NodeEvent(Event):
    """An event of one node."""

    node: str
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Cached(NodeEvent):
    """A node's result was found: in "memory" or on "disk"."""

    tier: str


@dataclass(frozen=True, kw_only=True)
class Started(NodeEvent):
    """A node begins to run."""


@dataclass(frozen=True, kw_only=True)
class Progress(NodeEvent):
    """A node is `done` of `total` steps on, perhaps with a picture of where it stands."""

    done: int
    total: int
    text: str = ""
    preview: Image | None = None


@dataclass(frozen=True, kw_only=True)
class Warned(NodeEvent):
    """A node goes on, but the user should know something."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Finished(NodeEvent):
    """A node's result is there.

    Args:
        seconds: Wall time of the node.
        nbytes: Bytes of its outputs.
        outputs: One line per output: type, shape, dtype, range.
        show: What the node wants shown: {"images": [{"filename", "subfolder", "type"}], "text": [...]}.
    """

    seconds: float
    nbytes: int = 0
    outputs: Mapping[str, str] = field(default_factory=dict)
    show: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Failed(NodeEvent):
    """A node raised an exception."""

    failure: NodeFailure


@dataclass(frozen=True, kw_only=True)
class Skipped(NodeEvent):
    """A node could not run because `because` (a node id) failed or was skipped."""

    because: str


@dataclass(frozen=True, kw_only=True)
class Cancelled(Event):
    """The run was cancelled by the user."""


@dataclass(frozen=True, kw_only=True)
class Completed(Event):
    """The run is over; `digests` holds the digest of each effect node's inputs (the same from every door)."""

    ok: bool
    seconds: float
    digests: Mapping[str, str] = field(default_factory=dict)


Listener = Callable[[Event], None]
