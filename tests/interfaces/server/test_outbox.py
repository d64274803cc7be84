"""The outbox: order, newest of a slot, and letting go of who takes nothing."""

from __future__ import annotations

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import Any

from glidewire.interfaces.server import outbox as outbox_room
from glidewire.interfaces.server.frames import Message, NodeText, Preview
from glidewire.interfaces.server.outbox import Connection, Outbox
from hypothesis import given
from hypothesis import strategies as st


class Line:
    """The far end of a connection: keeps what arrives, or takes nothing until it is let."""

    def __init__(self, *, blocked: bool = False) -> None:
        self.frames: list[Any] = []
        self.closed, self.code = False, None
        self.open = asyncio.Event()
        if not blocked:
            self.open.set()

    async def send_str(self, text: str) -> None:
        await self.open.wait()
        self.frames.append(text)

    send_bytes = send_str

    async def close(self, *, code: int, message: bytes = b"") -> None:
        self.closed, self.code = True, code


async def drained(messages: list[Any]) -> list[Any]:
    line = Line(blocked=True)
    connection = Connection("me", line)  # type: ignore[arg-type]
    for message in messages:
        connection.put(message)
    task = asyncio.create_task(connection.drain())
    line.open.set()
    while len(line.frames) < 1 or connection._waiting:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    return line.frames


@given(st.lists(st.sampled_from([None, "a", "b"]), min_size=1, max_size=20))
def test_order_is_kept_and_of_each_slot_only_the_newest_is_sent(slots):
    messages = [Message("m", {"n": index}, slot=slot) for index, slot in enumerate(slots)]
    expected = [
        message.text()
        for index, message in enumerate(messages)
        if message.slot is None or message.slot not in [later.slot for later in messages[index + 1 :]]
    ]
    assert asyncio.run(drained(messages)) == expected


def test_previews_of_one_node_replace_one_another_and_keep_to_memory_bounds():
    async def work() -> Connection:
        connection = Connection("me", Line(blocked=True))  # type: ignore[arg-type]
        for _ in range(1000):
            connection.put(Preview(b"x" * 100_000, {}, slot="preview 1"))
        return connection

    connection = asyncio.run(work())
    assert connection._bytes == 100_000 and not connection.overrun


def test_a_client_that_takes_nothing_is_let_go_of(monkeypatch):
    monkeypatch.setattr(outbox_room, "_MOST_WAITING", 10)

    async def work() -> Line:
        line = Line()
        connection = Connection("me", line)  # type: ignore[arg-type]
        for index in range(12):
            connection.put(Message("m", {"n": index}))
        await asyncio.wait_for(connection.drain(), 5)
        return line

    line = asyncio.run(work())
    assert line.code == 1013 and line.frames == []


def test_a_page_that_says_what_it_has_drawn_is_told_of_more_progress_only_then():
    async def work() -> list[list[str]]:
        line = Line()
        connection = Connection("me", line)  # type: ignore[arg-type]
        task = asyncio.create_task(connection.drain())
        found = []

        async def said(*messages: Message, seen: bool = False) -> None:
            for message in messages:
                connection.put(message)
            if seen:
                connection.seen()
            for _ in range(20):
                await asyncio.sleep(0)
            found.append([json.loads(text)["data"]["n"] for text in line.frames])
            line.frames.clear()

        def progress(n: int) -> Message:
            return Message("progress_state", {"n": n}, slot="progress_state")

        await said(progress(1))
        await said(progress(2))  # whoever never says it is told everything
        await said(seen=True)
        await said(progress(3))
        await said(progress(4))
        await said(progress(5))
        await said(seen=True)
        await said(progress(6))
        await said(Message("executed", {"n": 7}))  # what is told only once does not wait, and keeps its place
        task.cancel()
        return found

    assert asyncio.run(work()) == [[1], [2], [], [3], [], [], [5], [], [6, 7]]


def test_threads_post_in_order_and_only_to_whom_it_is_for():
    async def work() -> list[str]:
        outbox, line = Outbox(), Line()
        outbox.post([Message("m", {})])  # nobody is there yet
        outbox.attach(asyncio.get_running_loop())
        connection = Connection("me", line)  # type: ignore[arg-type]
        outbox.add(connection)
        task = asyncio.create_task(connection.drain())

        def talk() -> None:
            for index in range(500):
                outbox.post([Message("m", {"n": index}, "me"), Message("m", {"n": index}, "other")])

        thread = threading.Thread(target=talk)
        thread.start()
        while len(line.frames) < 500:
            await asyncio.sleep(0.001)
        thread.join()
        task.cancel()
        outbox.remove(connection)
        assert outbox.connections == ()
        return line.frames

    assert asyncio.run(work()) == [Message("m", {"n": index}).text() for index in range(500)]


def test_posting_after_the_end_of_the_loop_is_nothing():
    outbox = Outbox()
    loop = asyncio.new_event_loop()
    outbox.attach(loop)
    loop.close()
    outbox.post([NodeText("1", "late")])
    outbox.later(SimpleNamespace)
