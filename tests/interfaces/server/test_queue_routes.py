"""Queueing, listing, deleting and stopping, and bad requests of every kind."""

from __future__ import annotations

import json
import socket
import time
import uuid

import pytest
from glidewire.interfaces.server import queue_routes, replies


@pytest.fixture
def busy(running, endless):
    """A server with one slow job running; stopped at the end."""
    id_ = running.queue(endless)
    while not running.get("/queue").json["queue_running"]:
        time.sleep(0.01)
    yield running
    running.post("/interrupt", {"prompt_id": id_})
    running.wait(id_)


def test_the_queue_is_listed_in_the_hosts_form(busy, workflow):
    first = busy.queue(workflow(name="a"), client_id="me", extra_data={"extra_pnginfo": {"workflow": {}}})
    second = busy.queue(workflow(name="b"), front=True)
    third = busy.queue(workflow(name="c"), number=0.5)
    listed = busy.get("/queue").json
    assert [entry[1] for entry in listed["queue_pending"]] == [second, third, first]
    number, id_, prompt, extra, _ = listed["queue_pending"][2]
    assert id_ == first and prompt == workflow(name="a") and extra["client_id"] == "me" and number > 0.5
    assert len(listed["queue_running"]) == 1
    assert busy.get("/prompt").json == {"exec_info": {"queue_remaining": 4}}
    jobs = busy.get("/jobs?status=pending,in_progress").json["jobs"]
    assert [job["id"] for job in jobs][:3] == [third, second, first] and jobs[3]["status"] == "in_progress"
    assert busy.post("/queue", {"clear": True}).json["cancelled"]


def test_waiting_jobs_are_taken_out_one_by_one_or_all(busy, workflow):
    ids = [busy.queue(workflow(name=name)) for name in "abcd"]
    assert busy.post("/queue", {"delete": [ids[1]]}).json == {"cancelled": [ids[1]]}
    assert busy.post(f"/jobs/{ids[2]}/cancel").json == {"cancelled": True}
    assert busy.post("/jobs/cancel", {"job_ids": [ids[3], "none"]}).json == {"cancelled": True}
    assert [entry[1] for entry in busy.get("/queue").json["queue_pending"]] == [ids[0]]
    assert busy.post("/queue", {"clear": True}).json == {"cancelled": [ids[0]]}
    assert {busy.get(f"/jobs/{id_}").json["status"] for id_ in ids} == {"cancelled"}
    assert len(busy.get("/queue").json["queue_running"]) == 1


def test_a_full_queue_says_so(busy, workflow, monkeypatch):
    monkeypatch.setattr(queue_routes, "MOST_PENDING", 1)
    busy.queue(workflow())
    reply = busy.post("/prompt", {"prompt": workflow()})
    assert reply.status == 429 and "queue is full" in reply.json["error"]["message"]
    busy.post("/queue", {"clear": True})


def test_an_id_is_used_once(running, workflow):
    chosen = str(uuid.uuid4())
    assert running.queue(workflow(), prompt_id=chosen) == chosen
    again = running.post("/prompt", {"prompt": workflow(), "prompt_id": chosen})
    assert again.status == 409 and again.json["error"]["type"] == "duplicate_id"
    running.wait(chosen)


def test_stopping_what_does_not_run_stops_nothing(running):
    assert running.post("/interrupt", {}).json == {"cancelled": False}
    assert running.send("POST", "/interrupt").json == {"cancelled": False}
    assert running.post("/interrupt", {"prompt_id": 3}).status == 400
    assert running.post("/jobs/none/cancel").status == 404


def test_memory_is_freed_when_asked(running, workflow):
    running.wait(running.queue(workflow()))
    assert running.server.session.cache.stats()["entries"]
    assert running.post("/free", {"unload_models": True, "free_memory": True}).status == 200
    assert not running.server.session.cache.stats()["entries"]


@pytest.mark.parametrize(
    "body",
    [b"{", b"nonsense", b"\xff\xfe", b"[1]", b"null", b'"x"', b"3", b"[" * 100_000, b'{"prompt": ' * 500,
     b'{"prompt": {"1": {"class_type": "\\ud800"}}}', b"{" + b" " * 100, b'{"a": 1' + b"0" * 5000 + b"}"],
    ids=repr,
)  # fmt: skip
def test_malformed_requests_get_a_400_with_a_message(running, body):
    for path in ("/prompt", "/queue", "/history", "/jobs/cancel", "/interrupt"):
        reply = running.send("POST", path, body, {"Content-Type": "application/json"})
        assert reply.status == 400 and reply.json["error"]["message"], path
        assert b"Traceback" not in reply.body
    assert running.get("/users").status == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [("/queue", {"delete": "x"}), ("/queue", {"delete": [1]}), ("/history", {"delete": {}}), ("/jobs/cancel", {}),
     ("/jobs/cancel", {"job_ids": None}), ("/prompt", {"prompt": {"1": None}}), ("/prompt", {"client_id": 1})],
)  # fmt: skip
def test_wrong_shapes_get_a_400_with_a_message(running, path, body):
    reply = running.post(path, body)
    assert reply.status == 400 and reply.json["error"]["message"]


def test_a_giant_body_is_refused_before_it_is_read(running):
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        head = f"POST /prompt HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nContent-Length: {10**12}\r\n\r\n"
        raw.sendall(head.encode())
        raw.settimeout(10)
        reply = raw.recv(4000)
    assert reply.startswith(b"HTTP/1.1 413") and b"the request is too long" in reply


def test_a_slow_client_is_let_go_of(running, monkeypatch):
    monkeypatch.setattr(replies, "BODY_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(
            f"POST /prompt HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nContent-Length: 100\r\n\r\n{{".encode()
        )
        raw.settimeout(10)
        assert raw.recv(4000).startswith(b"HTTP/1.1 408")
    assert running.get("/users").status == 200


@pytest.mark.parametrize(
    "start", [b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n", b"A" * 20000]
)
def test_what_is_no_http_ends_the_connection_only(running, start):
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(start)
        raw.shutdown(socket.SHUT_WR)
        raw.settimeout(10)
        answer = raw.recv(4000)
    assert not answer or answer.startswith(b"HTTP/1.")
    assert running.get("/users").status == 200


def test_methods_that_a_path_does_not_have_are_refused_in_json(running):
    reply = running.send("PUT", "/api/prompt", b"{}")
    assert reply.status == 405 and json.loads(reply.body)["error"]["message"]
