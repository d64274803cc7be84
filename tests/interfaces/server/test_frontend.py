"""The editor's page: under its policy, unmodified, and words where it is not installed."""

from __future__ import annotations

import dataclasses

import pytest
from glidewire.interfaces.server import frontend


@pytest.fixture
def editor(tmp_path, make_server, run_server):
    folder = tmp_path / "editor"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><p>the editor")
    (folder / "assets" / "index-abc.js").write_text("export default 1")
    (tmp_path / "secret.js").write_text("secret")
    (folder / "link.js").symlink_to(tmp_path / "secret.js")
    with run_server(make_server(installed=folder)) as found:
        yield found


def test_the_page_may_load_from_and_talk_to_this_server_only(editor):
    page = editor.get("/")
    assert page.status == 200 and b"the editor" in page.body and page.headers["Cache-Control"] == "no-cache"
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["connect-src"] == f"'self' ws://127.0.0.1:{editor.port} wss://127.0.0.1:{editor.port} data: blob:"
    assert policy["default-src"] == "'self' data: blob:" and policy["frame-ancestors"] == "'none'"
    assert "http:" not in page.headers["Content-Security-Policy"] and "*" not in page.headers["Content-Security-Policy"]


def test_assets_are_modules_that_browsers_keep(editor):
    reply = editor.get("/assets/index-abc.js")
    assert reply.headers["Content-Type"].startswith("text/javascript") and "immutable" in reply.headers["Cache-Control"]
    assert editor.get("/user.css").headers["Content-Type"].startswith("text/css")
    for name in ("link.js", "..%2Fsecret.js", "%2e%2e/secret.js", "assets/none.js", "assets"):
        assert editor.get(f"/{name}").status in (403, 404)


def test_without_the_editor_the_page_says_how_to_get_it_and_the_api_answers(make_server, run_server):
    server = dataclasses.replace(make_server(), frontend=None)
    with run_server(server) as running:
        page = running.get("/")
        assert page.status == 200 and b"pip install 'glidewire[serve]'" in page.body
        assert running.get("/assets/index.js").status == 404
        assert running.get("/api/object_info").status == 200


@pytest.mark.parametrize(
    ("version", "says"),
    [("1.42.0", None), ("1.58.99", None), ("1.41.9", "older"), ("1.20.7", "older"), ("1.59.0", "newer"),
     ("2.0", "newer"), ("1.58.1rc2", None), ("nonsense", "older")],
)  # fmt: skip
def test_versions_outside_the_tested_range_are_warned_of(version, says):
    notice = frontend.version_notice(version)
    assert notice is None if says is None else says in notice and "1.42 to 1.58" in notice


def test_the_installed_editor_is_found():
    pytest.importorskip("comfyui_frontend_package", reason="the editor is an extra")
    folder = frontend.find_frontend()
    assert folder is not None and (folder / "index.html").is_file()
    assert frontend.version_notice(frontend.frontend_version() or "") is None
