"""What goes over a WebSocket: messages in JSON, and pictures in the two binary forms that editors know."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from PIL.Image import Image

PREVIEW_SIDE: Final = 512
"""The longest side of a preview, in pixels."""

_PICTURE, _NODE_TEXT, _PICTURE_OF_NODE = 1, 3, 4
_JPEG = 1


@dataclass(frozen=True)
class Message:
    """One message in JSON.

    Args:
        kind: The host's word for it: "status", "executing", ...
        data: Plain JSON.
        client: Who gets it; None means everybody.
        slot: A message that still waits is replaced by a newer one of the same slot; None: never.
    """

    kind: str
    data: Mapping[str, Any]
    client: str | None = None
    slot: str | None = None

    def text(self) -> str:
        """The frame."""
        return json.dumps({"type": self.kind, "data": self.data}, separators=(",", ":"))


@dataclass(frozen=True)
class Preview:
    """A picture of where a node stands, as JPEG, with what says whose it is."""

    jpeg: bytes
    node: Mapping[str, Any]
    client: str | None = None
    slot: str | None = None

    def frame(self, *, with_node: bool) -> bytes:
        """The binary frame, big endian: type 4 with metadata, for those who announced it, or type 1 without."""
        if not with_node:
            return struct.pack(">II", _PICTURE, _JPEG) + self.jpeg
        metadata = json.dumps({**self.node, "image_type": "image/jpeg"}).encode()
        return struct.pack(">II", _PICTURE_OF_NODE, len(metadata)) + metadata + self.jpeg


@dataclass(frozen=True)
class NodeText:
    """A text that the editor shows on a node."""

    node: str
    text: str
    client: str | None = None
    slot: str | None = None

    def frame(self) -> bytes:
        """The binary frame, big endian."""
        node = self.node.encode()
        return struct.pack(">II", _NODE_TEXT, len(node)) + node + self.text.encode()


Outgoing = Message | Preview | NodeText


def jpeg(image: Image) -> bytes:
    """A picture as a small JPEG; the picture given is not changed."""
    small = image.convert("RGB")
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    into = BytesIO()
    small.save(into, "JPEG", quality=85)
    return into.getvalue()
