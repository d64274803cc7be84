"""The WebSocket: the host's messages in the host's order, to whom they are for, whatever the client does."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from PIL import Image

FLAGS = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}


def heard(message: aiohttp.WSMessage) -> tuple[str, Any]:
    """A frame as (kind, data); binary ones as ("picture", ...) and ("node text", ...)."""
    if message.type is aiohttp.WSMsgType.TEXT:
        said = json.loads(message.data)
        return said["type"], said["data"]
    (kind,) = struct.unpack_from(">I", message.data)
    if kind == 1:
        (form,) = struct.unpack_from(">I", message.data, 4)
        return "picture", (form, message.data[8:])
    (length,) = struct.unpack_from(">I", message.data, 4)
    head, rest = message.data[8 : 8 + length], message.data[8 + length :]
    return ("picture of node", (json.loads(head), rest)) if kind == 4 else ("node text", (head.decode(), rest.decode()))


async def until_idle(ws: aiohttp.ClientWebSocketResponse, id_: str) -> list[tuple[str, Any]]:
    """Everything up to the message that says that the job is over."""
    said = []
    while True:
        said.append(heard(await ws.receive(30)))
        kind, data = said[-1]
        if kind == "executing" and data["node"] is None and data["prompt_id"] == id_:
            return said


def follow(running, prompt: Any, *, flags: bool = True, client: str = "me") -> list[tuple[str, Any]]:
    """Queue a workflow and listen to its end."""

    async def work() -> list[tuple[str, Any]]:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{running.url}/ws?clientId={client}") as ws:
            said = [heard(await ws.receive(10))]
            if flags:
                await ws.send_json(FLAGS)
                said.append(heard(await ws.receive(10)))
            async with session.post(f"{running.url}/prompt", json={"prompt": prompt, "client_id": client}) as reply:
                id_ = (await reply.json())["prompt_id"]
            return said + await until_idle(ws, id_)

    return asyncio.run(work())


def test_a_run_is_told_in_the_hosts_order(running, workflow):
    said = follow(running, workflow(steps=4))
    kinds = [kind for kind, _ in said]
    assert kinds[:2] == ["status", "feature_flags"] and said[0][1]["sid"] == "me"
    assert said[1][1]["supports_preview_metadata"] is True
    assert (
        kinds.index("execution_start")
        < kinds.index("executing")
        < kinds.index("executed")
        < kinds.index("execution_success")
    )
    assert [data["nodes"] for kind, data in said if kind == "execution_cached"] == [[]]
    assert kinds[-2:] == ["status", "executing"] and said[-2][1]["status"]["exec_info"]["queue_remaining"] == 0
    running_nodes = [data["node"] for kind, data in said if kind == "executing"]
    assert running_nodes == ["1", "2", "3", None]
    order = [(kind, data.get("node")) for kind, data in said if kind in ("executing", "progress", "executed")]
    assert order.index(("executing", "2")) < order.index(("progress", "2")) < order.index(("executing", "3"))
    states = [data["nodes"] for kind, data in said if kind == "progress_state"]
    assert [nodes["2"]["state"] for nodes in states if "2" in nodes][-1] == "finished"
    assert {"value", "max", "state", "node_id", "prompt_id", "display_node_id", "real_node_id"} <= set(states[-1]["1"])
    (progress,) = [data for kind, data in said if kind == "progress" and data["value"] == 4]
    assert progress["max"] == 4 and progress["node"] == "2"
    (shown,) = [data for kind, data in said if kind == "executed"]
    assert shown["output"] == {"text": ["grain"]} and shown["display_node"] == "3"
    assert [data["message"] for kind, data in said if kind == "glidewire_warning"] == ["the steps are over"]
    assert [data[0] for kind, data in said if kind == "node text"] == ["2"]
    facts = {data["node"]: data for kind, data in said if kind == "glidewire_finished"}
    assert facts["1"]["nbytes"] > 0 and facts["2"]["seconds"] >= 0 and "grain" in str(facts["1"]["outputs"]).lower()


def test_previews_come_in_the_form_that_the_client_knows(running, workflow):
    new = [data for kind, data in follow(running, workflow(steps=2)) if kind == "picture of node"]
    facts, picture = new[-1]
    assert facts["node_id"] == facts["real_node_id"] == "2" and facts["image_type"] == "image/jpeg"
    assert Image.open(BytesIO(picture)).format == "JPEG"
    old = [data for kind, data in follow(running, workflow(steps=3), flags=False) if kind == "picture"]
    form, picture = old[-1]
    assert form == 1 and Image.open(BytesIO(picture)).size == (4, 4)


def test_previews_and_progress_are_bounded_however_fast_the_steps_are(running, workflow):
    said = follow(running, workflow(steps=3000))
    pictures = [kind for kind, _ in said if kind == "picture of node"]
    progress = [data for kind, data in said if kind == "progress"]
    assert 1 <= len(pictures) < 300 and len(progress) < 1000 and progress[-1]["value"] == 3000


def test_what_is_cached_is_told_at_once(running, workflow):
    follow(running, workflow())
    said = follow(running, workflow())
    (cached,) = [data for kind, data in said if kind == "execution_cached"]
    assert set(cached["nodes"]) == {"1", "2"} or cached["nodes"] == ["2"]
    kinds = [kind for kind, _ in said]
    assert kinds.index("execution_start") < kinds.index("execution_cached") < kinds.index("executing")


def test_a_failure_names_its_node_in_our_words_without_a_traceback(running, workflow):
    prompt = workflow()
    prompt["2"] = {"class_type": "GlidewireTinyFail", "inputs": {"grain": ["1", 0]}}
    said = follow(running, prompt)
    (error,) = [data for kind, data in said if kind == "execution_error"]
    assert error["node_id"] == "2" and error["node_type"] == "GlidewireTinyFail" and error["executed"] == ["1"]
    assert "expected success; got failure. It always does." in error["exception_message"] and error["traceback"] == []
    assert "grain" in error["current_inputs"]
    assert "execution_success" not in [kind for kind, _ in said]
    job = running.get(f"/jobs/{error['prompt_id']}").json
    assert job["status"] == "failed" and job["execution_error"]["node_id"] == "2"


def test_an_error_that_is_none_of_ours_carries_the_lines_to_report(running, workflow):
    prompt = workflow()
    prompt["2"] = {"class_type": "GlidewireTinyCrash", "inputs": {"grain": ["1", 0]}}
    (error,) = [data for kind, data in follow(running, prompt) if kind == "execution_error"]
    assert error["exception_type"] == "KeyError" and "tiny_crash" in "".join(error["traceback"])


def test_messages_go_to_whom_they_are_for_and_the_queue_to_all(running, workflow):
    async def work() -> tuple[list[Any], list[Any]]:
        async with aiohttp.ClientSession() as session:
            a, b = [await session.ws_connect(f"{running.url}/ws?clientId={name}") for name in "ab"]
            async with session.post(f"{running.url}/prompt", json={"prompt": workflow(), "client_id": "a"}) as reply:
                id_ = (await reply.json())["prompt_id"]
            mine = await until_idle(a, id_)
            theirs: list[Any] = []
            while not theirs or theirs[-1][1].get("status", {}).get("exec_info") != {"queue_remaining": 0}:
                theirs.append(heard(await b.receive(10)))
            await a.close()
            await b.close()
            return mine, theirs

    mine, theirs = asyncio.run(work())
    assert {kind for kind, _ in theirs} == {"status"} and "executed" in [kind for kind, _ in mine]


def test_two_tabs_of_one_client_hear_the_same(running, workflow):
    async def work() -> list[list[str]]:
        async with aiohttp.ClientSession() as session:
            tabs = [await session.ws_connect(f"{running.url}/ws?clientId=me") for _ in range(2)]
            async with session.post(f"{running.url}/prompt", json={"prompt": workflow(), "client_id": "me"}) as reply:
                id_ = (await reply.json())["prompt_id"]
            said = [await until_idle(tab, id_) for tab in tabs]
            for tab in tabs:
                await tab.close()
            return [[kind for kind, _ in one if kind in ("executing", "executed", "execution_success")] for one in said]

    first, second = asyncio.run(work())
    assert first == second and "execution_success" in first


def test_a_client_that_comes_back_learns_where_its_job_stands_and_a_cancel_stops_within_a_step(running, endless):
    async def work() -> tuple[list[Any], list[Any]]:
        async with aiohttp.ClientSession() as session:
            first = await session.ws_connect(f"{running.url}/ws?clientId=me")
            body = {"prompt": endless, "client_id": "me"}
            async with session.post(f"{running.url}/prompt", json=body) as reply:
                id_ = (await reply.json())["prompt_id"]
            while heard(await first.receive(30))[0] != "progress":
                pass
            await first.close()  # the browser goes in the middle of the run
            async with session.ws_connect(f"{running.url}/ws?clientId=me") as again:
                state = []
                while not state or state[-1][0] != "executing":
                    state.append(heard(await again.receive(10)))
                async with session.post(f"{running.url}/interrupt", json={"prompt_id": "another"}) as reply:
                    assert (await reply.json()) == {"cancelled": False}
                async with session.post(f"{running.url}/api/jobs/{id_}/cancel") as reply:
                    assert (await reply.json()) == {"cancelled": True}
                return state, await until_idle(again, id_)

    state, rest = asyncio.run(work())
    kinds = [kind for kind, _ in state]
    assert kinds[:2] == ["status", "execution_start"] and "progress_state" in kinds and state[-1][1]["node"] == "2"
    (stopped,) = [data for kind, data in rest if kind == "execution_interrupted"]
    assert stopped["node_id"] == "2" and stopped["executed"] == ["1"]
    assert running.get(f"/jobs/{stopped['prompt_id']}").json["status"] == "cancelled"
    assert running.get(f"/history/{stopped['prompt_id']}").json[stopped["prompt_id"]]["status"]["status_str"] == "error"


def test_a_client_that_was_away_while_its_job_ended_is_told_of_it_once(running, workflow):
    async def work() -> list[list[tuple[str, Any]]]:
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{running.url}/ws?clientId=me") as ws:
                await ws.receive(10)
            id_ = running.queue(workflow(), client_id="me")
            running.wait(id_)
            found = []
            for client in ("me", "me", "another"):
                async with session.ws_connect(f"{running.url}/ws?clientId={client}") as ws:
                    await ws.send_json(FLAGS)
                    found.append([heard(await ws.receive(10))])
                    while found[-1][-1][0] != "feature_flags":
                        found[-1].append(heard(await ws.receive(10)))
            return found

    told, again, other = asyncio.run(work())
    kinds = [kind for kind, _ in told if kind != "status"]
    expected = ["execution_start", "execution_cached", "executed", "execution_success", "executing", "feature_flags"]
    assert kinds == expected
    (shown,) = [data for kind, data in told if kind == "executed"]
    assert shown["output"] == {"text": ["grain"]} and shown["node"] == "3"
    assert dict(told)["executing"]["node"] is None
    assert [kind for kind, _ in again] == [kind for kind, _ in other] == ["status", "feature_flags"]


def test_a_client_that_comes_back_to_a_server_that_was_started_again_is_told_of_what_ended_meanwhile(
    make_server, run_server, workflow, tmp_path
):
    jobs, cache = tmp_path / "jobs.sqlite", tmp_path / "cache"
    with run_server(make_server(jobs=jobs, cache=cache)) as first:
        old = first.queue(workflow(name="old"), client_id="me")
        first.wait(old)

    async def kinds(running: Any) -> list[tuple[str, Any]]:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{running.url}/ws?clientId=me") as ws:
            await ws.send_json(FLAGS)
            said = [heard(await ws.receive(10))]
            while said[-1][0] != "feature_flags":
                said.append(heard(await ws.receive(10)))
            return said

    with run_server(make_server(jobs=jobs, cache=cache)) as second:
        new = second.queue(workflow(name="new"), client_id="me")
        second.wait(new)
        told = asyncio.run(kinds(second))
    assert [data["output"] for kind, data in told if kind == "executed"] == [{"text": ["new"]}]


def test_a_client_without_a_name_gets_one_and_bad_names_are_not_taken(running):
    async def sid(query: str) -> str:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{running.url}/api/ws{query}") as ws:
            return heard(await ws.receive(10))[1]["sid"]

    assert asyncio.run(sid("?clientId=tab-1")) == "tab-1"
    first, second = asyncio.run(sid("")), asyncio.run(sid("?clientId="))
    assert len(first) == 32 and first != second
    for bad in ("a" * 200, "a%00b", "a%0Ab"):
        assert len(asyncio.run(sid(f"?clientId={bad}"))) == 32


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", '{"type": 3}', '{"type": "feature_flags", "data": 1}', "[" * 5000]
)
def test_whatever_a_client_says_the_server_lives(running, text, workflow):
    async def work() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{running.url}/ws") as ws:
            await ws.send_str(text)
            await ws.send_bytes(b"\0" * 10)

    asyncio.run(work())
    assert running.wait(running.queue(workflow()))["status"] == "completed"


def test_a_message_that_is_too_long_ends_only_that_connection(running):
    async def work() -> int | None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{running.url}/ws") as ws:
            await ws.send_str("x" * 200_000)
            while (await ws.receive(10)).type is aiohttp.WSMsgType.TEXT:
                pass
            return ws.close_code

    assert asyncio.run(work()) == 1009
    assert running.get("/users").status == 200


def test_a_half_open_socket_holds_nobody_up(running, workflow):
    # A client that shook hands and then neither reads nor closes.
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(
            f"GET /ws?clientId=me HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert raw.recv(12) == b"HTTP/1.1 101"
        ids = [running.queue(workflow(steps=steps), client_id="me") for steps in range(1, 6)]
        assert [running.wait(id_)["status"] for id_ in ids] == ["completed"] * 5
