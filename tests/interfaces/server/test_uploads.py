"""Pictures from the browser: kept under names of their own, within limits, and only pictures."""

from __future__ import annotations

import json
import socket
from io import BytesIO
from typing import Annotated

import pytest
from glidewire.graph_runtime.declaration import node
from glidewire.graph_runtime.registry import Registry
from glidewire.graph_runtime.widgets import File
from glidewire.interfaces.server import uploads
from PIL import Image


@node(category="tiny")
def tiny_picture(file: Annotated[str, File(suffixes=(".png", ".jpg", ".webp", ".svg"), upload=True)]) -> str:
    """Takes uploads."""
    return file


@pytest.fixture
def running(make_server, run_server, registry):
    with run_server(make_server(registry=Registry([*registry, tiny_picture.declaration]))) as found:
        yield found


def picture(colour: str = "red", form: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (4, 4)) -> bytes:
    into = BytesIO()
    Image.new(mode, size, colour).save(into, form)
    return into.getvalue()


def upload(running, name: str, data: bytes, path: str = "/upload/image", **fields: str):
    parts = [f'--b\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()]
    head = f'--b\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'
    body = "".join(parts).encode() + head.encode("utf-8", "surrogateescape") + data + b"\r\n--b--\r\n"
    return running.send("POST", path, body, {"Content-Type": "multipart/form-data; boundary=b"})


def test_a_picture_is_kept_and_can_be_looked_at(running, tmp_path):
    reply = upload(running, "ein Bild.png", picture(), type="input", subfolder="pasted")
    assert reply.json == {"name": "ein Bild.png", "subfolder": "pasted", "type": "input"}
    assert (tmp_path / "input" / "pasted" / "ein Bild.png").read_bytes() == picture()
    assert running.get("/view?filename=ein%20Bild.png&subfolder=pasted&type=input").body == picture()


def test_another_picture_of_the_same_name_gets_a_number_and_the_same_one_is_kept_once(running, tmp_path):
    names = [upload(running, "a.png", picture(colour)).json["name"] for colour in ("red", "blue", "red", "blue")]
    assert names == ["a.png", "a (1).png", "a.png", "a (1).png"]
    assert upload(running, "a.png", picture("green"), overwrite="true").json["name"] == "a.png"
    assert (tmp_path / "input" / "a.png").read_bytes() == picture("green")
    assert len(list((tmp_path / "input").iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("page.html", b"<script>", "ending is not taken"),
        ("x.svg", b"<svg onload=alert(1)>", "ending is not taken"),
        ("x.py", b"import os", "ending is not taken"),
        ("x", b"", "ending is not taken"),
        ("x.png", b"<script>alert(1)</script>", "not what its ending says"),
        ("x.png", b"", "not what its ending says"),
        ("x.png", picture(form="JPEG"), "not what its ending says"),
        ("x.png.html", picture(), "ending is not taken"),
    ],
)
def test_what_is_no_picture_is_not_taken(running, tmp_path, name, data, says):
    reply = upload(running, name, data)
    assert reply.status == 415 and says in reply.json["error"]["message"]
    assert not list((tmp_path / "input").iterdir())


@pytest.mark.parametrize(
    "name", ["../x.png", "a/../../x.png", "/tmp/x.png", "..\\\\x.png", ".x.png", "x\x01.png", "NUL.png"]
)
def test_an_upload_writes_nowhere_else(running, tmp_path, name):
    # Mellon joined the name that the browser sent to its folder.
    reply = upload(running, name, picture())
    assert reply.status in (400, 403)
    assert upload(running, "x.png", picture(), subfolder="../up").status == 403
    assert upload(running, "x.png", picture(), type="output").status == 400
    (tmp_path / "input" / "link").symlink_to(tmp_path)
    assert upload(running, "x.png", picture(), subfolder="link").status == 403
    assert not list(tmp_path.rglob("x.png"))


def test_an_upload_has_a_size_limit(running, monkeypatch, tmp_path):
    monkeypatch.setattr(uploads, "MOST_UPLOADED", 1000)
    big = picture() + b"\0" * 2000
    reply = upload(running, "big.png", big)
    assert reply.status == 413 and "at most 1000 bytes" in reply.json["error"]["details"]
    assert not list((tmp_path / "input").iterdir())


def test_bombs_are_refused_by_their_header(running, bomb):
    reply = upload(running, "bomb.png", bomb)
    assert reply.status == 413 and "too many pixels" in reply.json["error"]["message"]


def test_what_is_no_form_is_refused_in_words(running):
    assert running.post("/upload/image", {}).status == 415
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (
        b"",
        b"--b--\r\n",
        b"--b\r\n\r\n",
        b"garbage",
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--',
    ):
        reply = running.send("POST", "/upload/image", body, form)
        assert reply.status == 400 and reply.json["error"]["message"]
    assert running.send("POST", "/upload/image", b"x", {"Content-Type": "multipart/form-data"}).status == 400


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(running, tmp_path):
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(
            f"POST /upload/image HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nContent-Length: 100000\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: form-data; "
            'name="image"; filename="a.png"\r\n\r\nabc'.encode()
        )
    assert running.get("/users").status == 200
    assert not list((tmp_path / "input").iterdir())


def test_a_mask_becomes_the_transparency_of_its_original(running, tmp_path):
    upload(running, "photo.png", picture("blue"))
    painted = picture((0, 0, 0, 40), mode="RGBA", size=(4, 4))
    reference = json.dumps({"filename": "photo.png", "subfolder": "", "type": "input"})
    reply = upload(running, "clip.png", painted, "/upload/mask", original_ref=reference)
    assert reply.json == {"name": "clip.png", "subfolder": "clipspace", "type": "input"}
    made = Image.open(tmp_path / "input" / "clipspace" / "clip.png")
    assert made.getpixel((0, 0)) == (0, 0, 255, 40)
    for bad in ('{"filename": "../x.png"}', "[]", "x", '{"filename": 3}', "{}"):
        assert upload(running, "clip.png", painted, "/upload/mask", original_ref=bad).status in (400, 403)


def test_the_endings_come_from_the_nodes_and_never_hold_what_runs(registry):
    assert uploads.upload_suffixes(registry) == frozenset()
    assert uploads.upload_suffixes(Registry([tiny_picture.declaration])) == {".png", ".jpg", ".webp"}
