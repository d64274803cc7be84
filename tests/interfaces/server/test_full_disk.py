"""A disk that is really full: whatever is saved is refused in words, what was there stays whole, the server lives."""

from __future__ import annotations

import io
import json

import pytest
from full_disk import full_after
from glidewire.interfaces.session import pack_registry
from PIL import Image

LONG = json.dumps({"nodes": ["x" * 5000]}).encode()


def form(picture: bytes) -> tuple[bytes, dict[str, str]]:
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="noise.png"\r\n\r\n'
    return head + picture + b"\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture
def noise() -> bytes:
    into = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(into, "PNG")
    return into.getvalue()


def test_saving_a_workflow(running):
    path = "/userdata/workflows%2Fmine.json?overwrite=true"
    assert running.post(path, {"nodes": []}).status == 200
    with full_after(1000):
        reply = running.send("POST", path, LONG, {"Content-Type": "application/json"})
    assert reply.status == 507 and "cannot be saved" in reply.json["error"]["message"]
    assert running.get("/userdata/workflows%2Fmine.json").json == {"nodes": []}
    listed = running.get("/userdata?dir=workflows&recurse=true&split=false&full_info=true").json
    assert [one["path"] for one in listed] == ["mine.json"]


def test_changing_a_setting(running):
    assert running.post("/settings/Comfy.Mine", "short").status == 200
    with full_after(1000):
        reply = running.post("/settings/Comfy.Mine", "x" * 5000)
    assert reply.status == 507 and "cannot be saved" in reply.json["error"]["message"]
    assert running.get("/settings/Comfy.Mine").json == "short"


def test_uploading_a_picture(make_server, run_server, noise, tmp_path):
    with run_server(make_server(registry=pack_registry())) as running:
        with full_after(1000):
            reply = running.send("POST", "/upload/image", *form(noise))
        assert reply.status == 507 and "cannot be saved" in reply.json["error"]["message"]
        assert list((tmp_path / "input").iterdir()) == []
        assert running.send("POST", "/upload/image", *form(noise)).status == 200


def test_queueing_a_job(make_server, run_server, workflow, tmp_path):
    with run_server(make_server(jobs=tmp_path / "jobs" / "server.sqlite")) as running:
        before = running.queue(workflow(name="before"))
        running.wait(before)
        with full_after(1000):
            reply = running.post("/prompt", {"prompt": workflow(name="meanwhile")})
        assert reply.status == 507 and "the disk does not take" in reply.json["error"]["message"]
        after = running.queue(workflow(name="after"))
        assert running.wait(after)["status"] == "completed"
        assert [job["id"] for job in running.get("/jobs?limit=10").json["jobs"]] == [after, before]


def test_a_result_that_cannot_be_saved_fails_in_words_and_the_next_one_is_saved(running, workflow, tmp_path):
    with full_after(4):
        id_ = running.queue(workflow(name="too long"))
        job = running.wait(id_)
    assert job["status"] == "failed" and "File too large" in job["execution_error"]["exception_message"]
    assert running.wait(running.queue(workflow(name="short")))["status"] == "completed"
