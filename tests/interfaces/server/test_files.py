"""Looking at files: the right bytes and types, and nothing that runs or lies outside."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from glidewire.interfaces.server import files
from PIL import Image


@pytest.fixture
def output(tmp_path, running):
    folder = tmp_path / "output"
    (folder / "sub").mkdir()
    Image.new("RGBA", (6, 4), (200, 10, 10, 128)).save(folder / "sub" / "red.png")
    return folder


def test_a_picture_is_sent_as_it_is(running, output):
    reply = running.get("/view?filename=red.png&subfolder=sub&type=output&rand=0.1")
    assert reply.status == 200 and reply.body == (output / "sub" / "red.png").read_bytes()
    assert reply.headers["Content-Type"] == "image/png"
    assert reply.headers["Content-Disposition"].startswith("inline")
    assert running.get("/api/view?filename=sub/red.png%20[output]&type=input").body == reply.body


def test_previews_and_channels(running, output):
    path = "/view?filename=red.png&subfolder=sub"
    small = running.get(f"{path}&preview=webp;50")
    assert small.headers["Content-Type"] == "image/webp" and Image.open(BytesIO(small.body)).size == (6, 4)
    assert Image.open(BytesIO(running.get(f"{path}&preview=jpeg").body)).format == "JPEG"
    assert Image.open(BytesIO(running.get(f"{path}&channel=rgb").body)).mode == "RGB"
    alpha = Image.open(BytesIO(running.get(f"{path}&channel=a").body))
    assert alpha.getpixel((0, 0)) == (0, 0, 0, 128)
    assert running.get(f"{path}&preview=webp;99999999999").status == 200


@pytest.mark.parametrize("name", ["page.html", "page.htm", "x.svg", "x.js", "x.xhtml", "x.xml", "x.pdf", "x", "x.HTML"])
def test_what_a_browser_could_run_is_only_downloaded_stored_xss(running, output, name):
    # ComfyUI showed uploaded HTML in its own origin (CVE-2024-10099).
    (output / name).write_text("<script>alert(1)</script>")
    reply = running.get(f"/view?filename={name}")
    assert reply.headers["Content-Type"] == "application/octet-stream"
    assert reply.headers["Content-Disposition"].startswith("attachment")
    assert (
        reply.headers["X-Content-Type-Options"] == "nosniff" and "sandbox" in reply.headers["Content-Security-Policy"]
    )


def test_links_out_of_the_folder_are_not_followed(running, output, tmp_path):
    # ComfyUI followed them (issue 12285).
    (tmp_path / "secret.png").write_bytes(b"secret")
    (output / "link.png").symlink_to(tmp_path / "secret.png")
    (output / "up").symlink_to(tmp_path)
    for name in ("link.png", "up/secret.png"):
        reply = running.get(f"/view?filename={name}")
        assert reply.status == 403 and b"secret" not in reply.body.replace(b"secret.png", b"")


@pytest.mark.parametrize(
    "query",
    [
        "filename=..%2F..%2Fsecret.png", "filename=%2e%2e/secret.png", "filename=x&subfolder=..", "filename=",
        "filename=%00.png", "filename=..%5Csecret.png", "filename=red.png&subfolder=%2Fetc", "filename=%ff%fe.png",
        "filename=" + "a" * 5000, "", "filename=.ssh/id", "filename=..%252Fsecret.png",
    ],
)  # fmt: skip
def test_no_name_leads_out(running, output, tmp_path, query):
    (tmp_path / "secret.png").write_bytes(b"secret")
    reply = running.get(f"/view?{query}")
    assert reply.status in (400, 403, 404) and reply.json["error"]["message"]


def test_an_unknown_folder_is_named(running):
    reply = running.get("/view?filename=a.png&type=models")
    assert reply.status == 400 and "input, output, temp" in reply.json["error"]["details"]


def test_a_damaged_picture_is_said_to_be_none(running, output):
    (output / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nxx")
    reply = running.get("/view?filename=broken.png&preview=webp")
    assert reply.status == 415 and "no picture" in reply.json["error"]["message"]


def test_a_decompression_bomb_is_refused_before_it_is_decoded(running, output, bomb):
    (output / "bomb.png").write_bytes(bomb)
    reply = running.get("/view?filename=bomb.png&preview=webp")
    assert reply.status == 413 and "too many pixels" in reply.json["error"]["message"]


def test_only_a_few_pictures_are_decoded_at_a_time_however_many_are_asked_for(running, output, monkeypatch):
    real, lock, now, most = files.opened, threading.Lock(), [0], [0]
    two = threading.Event()

    def counted(source):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            if now[0] > 1:
                two.set()
        two.wait(30)  # until another one comes: so many do work at once
        try:
            return real(source)
        finally:
            with lock:
                now[0] -= 1

    monkeypatch.setattr(files, "opened", counted)
    with ThreadPoolExecutor(12) as clients:
        path = "/view?filename=red.png&subfolder=sub&preview=webp"
        replies = list(clients.map(running.get, [path] * 12))
    assert {reply.status for reply in replies} == {200} and most == [2]
