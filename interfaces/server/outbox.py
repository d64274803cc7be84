"""The ordered outbox: every client gets its messages in the order in which they were sent, or is let go of."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final

from aiohttp import web

from .frames import Message, NodeText, Outgoing, Preview
from .jobs import now

_MOST_REMEMBERED: Final = 1_000
_MOST_WAITING: Final = 10_000
_MOST_BYTES: Final = 64 * 2**20
_SEND_SECONDS: Final = 30.0

SEEN: Final = "glidewire_seen"
"""What a page says when it has drawn what the last message of `_PACED` told."""
_PACED: Final = ("status", "progress_state")


class Connection:
    """One WebSocket and the messages that wait for it; what has a slot is replaced by newer ones of that slot."""

    def __init__(self, client: str, socket: web.WebSocketResponse) -> None:
        self.client, self.socket = client, socket
        self.features: dict[str, Any] = {}
        self.closing: asyncio.Future[bool] | None = None
        self._waiting: dict[object, Outgoing] = {}
        self._bytes = 0
        self._more = asyncio.Event()
        self.overrun = False
        self._paced = self._unseen = False

    def seen(self) -> None:
        """The page has drawn what it was told, and says so from now on."""
        self._paced, self._unseen = True, False
        self._more.set()

    def put(self, message: Outgoing) -> None:
        """Queue a message; a client that takes nothing for too long is let go of."""
        slot = object() if message.slot is None else (type(message), message.slot)
        replaced = self._waiting.pop(slot, None)
        self._bytes += _size(message) - (_size(replaced) if replaced else 0)
        self._waiting[slot] = message
        self.overrun = self.overrun or len(self._waiting) > _MOST_WAITING or self._bytes > _MOST_BYTES
        self._more.set()

    async def drain(self) -> None:
        """Send what waits, in order, until the socket closes."""
        while not self.socket.closed:
            await self._more.wait()
            self._more.clear()
            while self._waiting and not self.socket.closed and not self._held():
                if self.overrun:
                    await self.socket.close(code=1013, message=b"too slow: reconnect for the state as it is")
                    return
                message = self._waiting.pop(next(iter(self._waiting)))
                self._bytes -= _size(message)
                self._unseen = self._unseen or (isinstance(message, Message) and message.kind in _PACED)
                async with asyncio.timeout(_SEND_SECONDS):
                    await self._send(message)

    def _held(self) -> bool:
        """A page is told of more progress when it has drawn the last: a slow one would never answer its user again.

        What is told only once goes out at once, with everything before it.
        """
        return self._paced and self._unseen and all(message.slot is not None for message in self._waiting.values())

    async def _send(self, message: Outgoing) -> None:
        match message:
            case Message():
                await self.socket.send_str(message.text())
            case Preview():
                with_node = self.features.get("supports_preview_metadata") is True
                await self.socket.send_bytes(message.frame(with_node=with_node))
            case NodeText():
                await self.socket.send_bytes(message.frame())


def _size(message: Outgoing) -> int:
    return len(message.jpeg) if isinstance(message, Preview) else 200


class Outbox:
    """All connections; `post` may be called from any thread, and order is kept."""

    def __init__(self) -> None:
        self._connections: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened = now()
        self._left: OrderedDict[str, int] = OrderedDict()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop in which the connections live; before it there is nobody to tell."""
        self._loop = loop

    def add(self, connection: Connection) -> None:
        """A client came."""
        self._connections.add(connection)

    def remove(self, connection: Connection) -> None:
        """A client went."""
        self._connections.discard(connection)
        self._left[connection.client] = now()
        self._left.move_to_end(connection.client)
        if len(self._left) > _MOST_REMEMBERED:
            self._left.popitem(last=False)

    def left(self, client: str) -> int:
        """When a client was last here, in milliseconds since 1970: before this server, if it was not."""
        return self._left.get(client, self._opened)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Who is there."""
        return tuple(self._connections)

    def post(self, messages: Iterable[Outgoing]) -> None:
        """Send messages to whom they are for."""
        batch = tuple(messages)
        if batch and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, batch)

    def _deliver(self, batch: tuple[Outgoing, ...]) -> None:
        for connection in self._connections:
            for message in batch:
                if message.client is None or message.client == connection.client:
                    connection.put(message)

    def later(self, work: Callable[[], None]) -> None:
        """Do something in the loop, after the messages posted so far."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work)
