"""What users save: kept, listed, moved and deleted under names of any script, and never run."""

from __future__ import annotations

import socket
from urllib.parse import quote

import pytest
from glidewire.interfaces.server import user_files


@pytest.fixture
def kept(tmp_path, running):
    return tmp_path / "user" / "files"


def save(running, name: str, body: bytes = b"{}", query: str = ""):
    return running.send("POST", f"/userdata/{quote(name, safe='')}{query}", body)


@pytest.mark.parametrize(
    "name", ["workflows/a.json", "workflows/deep/ein Käse 文件.json", "workflows/a#b?.json"[:13] + ".json"]
)
def test_a_workflow_is_saved_found_and_read_again(running, kept, name):
    reply = save(running, name, b'{"nodes": []}', "?overwrite=false&full_info=true")
    assert reply.status == 200 and reply.json["path"] == name and reply.json["size"] == 13
    assert (kept / name).read_bytes() == b'{"nodes": []}'
    read = running.get(f"/api/userdata/{quote(name, safe='')}")
    assert read.json == {"nodes": []} and read.headers["Content-Type"].startswith("application/json")
    listed = running.get("/userdata?dir=workflows&recurse=true&split=false&full_info=true").json
    assert [entry["path"] for entry in listed] == [name.removeprefix("workflows/")]
    assert {"size", "modified", "created"} <= set(listed[0])


def test_saving_again_needs_leave(running, kept):
    assert save(running, "workflows/a.json").status == 200
    reply = save(running, "workflows/a.json", b"[]", "?overwrite=false")
    assert reply.status == 409 and reply.json["error"]["type"] == "exists"
    assert (kept / "workflows/a.json").read_bytes() == b"{}"
    assert save(running, "workflows/a.json", b"[]", "?overwrite=true").json == "workflows/a.json"
    assert (kept / "workflows/a.json").read_bytes() == b"[]"


def test_files_are_moved_and_deleted(running, kept):
    save(running, "workflows/a.json", b"1")
    save(running, "workflows/b.json", b"2")
    move = "/userdata/workflows%2Fa.json/move/workflows%2Fnew%2Fc.json?overwrite=false&full_info=true"
    assert running.send("POST", move).json["path"] == "workflows/new/c.json"
    onto = "/userdata/workflows%2Fb.json/move/workflows%2Fnew%2Fc.json?overwrite=false"
    assert running.send("POST", onto).status == 409
    assert running.send("DELETE", "/userdata/workflows%2Fb.json").status == 204
    assert running.send("DELETE", "/userdata/workflows%2Fb.json").status == 404
    assert [path.relative_to(kept).as_posix() for path in kept.rglob("*.json")] == ["workflows/new/c.json"]


def test_lists_come_in_the_forms_that_editors_ask_for(running, kept):
    for name in ("a.json", "x/b.json"):
        save(running, f"workflows/{name}")
    assert running.get("/userdata?dir=workflows").json == ["a.json"]
    assert running.get("/userdata?dir=workflows&recurse=true").json == ["a.json", "x/b.json"]
    assert running.get("/userdata?dir=workflows&recurse=true&split=true").json[1] == ["x/b.json", "x", "b.json"]
    assert running.get("/userdata?dir=none&recurse=true&full_info=true").json == []


def test_links_out_are_neither_listed_nor_read_nor_written(running, kept, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text("secret")
    (kept / "workflows" / "link.json").symlink_to(outside / "secret.json")
    (kept / "workflows" / "folder").symlink_to(outside)
    assert running.get("/userdata?dir=workflows&recurse=true").json == []
    for name in ("workflows%2Flink.json", "workflows%2Ffolder%2Fsecret.json"):
        assert running.get(f"/userdata/{name}").status == 403
        assert running.send("POST", f"/userdata/{name}", b"x").status == 403
        assert running.send("DELETE", f"/userdata/{name}").status == 403
    assert (outside / "secret.json").read_text() == "secret"


@pytest.mark.parametrize(
    "name",
    ["..%2Fx.json", "%2e%2e%2fx.json", "..%5Cx.json", "a%2F..%2F..%2F..%2Fx.json", "%2Fetc%2Fx.json", "%00.json",
     "x%00.json", "a%0ab.json", ".hidden.json", "%2e.json", "C%3A%2Fx.json", "con.json", "%2F", "%",
     "a" * 3000 + ".json", "..%252Fx.json%2F..%2F.."],
)  # fmt: skip
def test_bad_names_are_refused_in_words_and_the_server_lives(running, kept, tmp_path, name):
    before = sorted(tmp_path.rglob("*"))
    for method in ("GET", "POST", "DELETE"):
        reply = running.send(method, f"/userdata/{name}", b"{}" if method == "POST" else None)
        assert 400 <= reply.status < 500 and reply.json["error"]["message"], (method, reply.body)
    assert 400 <= running.send("POST", f"/userdata/a.json/move/{name}").status < 500
    assert 400 <= running.get(f"/userdata?dir={name}").status < 500 or running.get(f"/userdata?dir={name}").json == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["x.html", "x.js", "x.svg", "x.py", "x", "x.json.html", "x.exe"])
def test_only_what_never_runs_is_kept(running, kept, name):
    reply = save(running, f"workflows/{name}", b"<script>alert(1)</script>")
    assert reply.status == 415 and ".json" in reply.json["error"]["details"]
    (kept / name).write_text("<script>")  # put there by other means
    sent = running.get(f"/userdata/{name}")
    assert sent.headers["Content-Type"] == "application/octet-stream"
    assert sent.headers["Content-Disposition"] == "attachment"
    assert "sandbox" in sent.headers["Content-Security-Policy"]


def test_a_file_that_is_too_long_is_refused(running, kept, monkeypatch):
    monkeypatch.setattr(user_files, "LONGEST", 100)
    reply = save(running, "workflows/long.json", b"x" * 101)
    assert reply.status == 413 and "at most 100 bytes" in reply.json["error"]["details"]
    chunks = b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        head = f"POST /userdata/a.json HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw.sendall(head.encode() + chunks)
        assert raw.recv(1000).startswith(b"HTTP/1.1 413")
    assert not list(kept.rglob("*.json"))


def test_a_full_disk_is_said_and_the_old_file_stays(running, kept, monkeypatch):
    save(running, "workflows/a.json", b"old")

    def full(self, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_bytes", full)
        reply = save(running, "workflows/a.json", b"new")
    assert reply.status == 507 and "No space left" in reply.json["error"]["details"]
    assert (kept / "workflows/a.json").read_bytes() == b"old"
    assert [path.name for path in (kept / "workflows").iterdir()] == ["a.json"]


def test_the_users_style_is_empty_until_there_is_one(running, kept):
    first = running.get("/api/userdata/user.css")
    assert first.status == 200 and first.body == b"" and first.headers["Content-Type"].startswith("text/css")
    save(running, "user.css", b"body {}")
    assert running.get("/userdata/user.css").body == b"body {}"
