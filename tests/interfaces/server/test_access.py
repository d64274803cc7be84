"""Who may talk to the server; one test for each hole that other node servers are known for."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from glidewire.interfaces.server.access import COOKIE, Access, is_loopback

TOKEN = "a-token-of-this-test"


def test_a_name_that_somebody_pointed_at_this_machine_is_not_answered_dns_rebinding(running):
    # The page is evil.example's own: Host and Origin agree, and only the name gives it away.
    evil = f"evil.example:{running.port}"
    for method, path in (("GET", "/api/object_info"), ("POST", "/api/prompt"), ("GET", "/")):
        reply = running.send(method, path, b"{}", {"Host": evil, "Origin": f"http://{evil}"})
        assert reply.status == 403 and reply.json["error"]["type"] == "forbidden_host"
        assert "--allow-host" in reply.json["error"]["details"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_the_names_of_this_machine_are_answered_on_any_port(running, host):
    assert running.get("/users", Host=f"{host}:{running.port}").status == 200
    assert running.get("/users", Host=f"{host}:1234").status == 200  # through a tunnel


@pytest.mark.parametrize(
    "host", ["", "a@127.0.0.1", "127.0.0.1/x", "127.0.0.1.evil.example", "[::1", "0.0.0.0", "::1:x"]
)
def test_a_host_that_is_no_name_of_ours_is_refused(running, host):
    assert running.get("/users", Host=host).status in (400, 403)


@pytest.mark.parametrize("origin", ["http://evil.example", "https://127.0.0.1.evil.example", "http://127.0.0.1:1"])
def test_pages_of_other_sites_are_refused_even_where_the_host_is_ours(running, origin):
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
        reply = running.send(method, "/api/queue", b"{}", {"Origin": origin})
        assert reply.status == 403, method
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]


def test_origin_null_may_change_nothing(running):
    # A sandboxed frame or a local file sends this: ComfyUI took it for no origin at all (pull request 13914).
    for path, body in (("/api/prompt", b"{}"), ("/api/queue", b'{"clear":true}'), ("/api/settings/x", b"1")):
        assert running.send("POST", path, body, {"Origin": "null"}).status == 403
    assert running.send("DELETE", "/api/userdata/x.json", None, {"Origin": "null"}).status == 403


def test_a_form_of_another_site_without_an_origin_is_refused(running):
    strange = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Content-Type": "text/plain"}
    assert running.send("POST", "/api/interrupt", b"{}", strange).status == 403
    assert running.send("GET", "/api/view?filename=x.png", None, strange).status == 403
    opened = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert running.send("GET", "/", None, opened).status == 200  # a link to the editor
    assert running.send("GET", "/api/object_info", None, opened).status == 403


def test_no_reply_allows_other_sites_to_read_it(running):
    for path in ("/", "/api/object_info", "/view?filename=no.png", "/api/nothing"):
        headers = running.get(path).headers
        assert "Access-Control-Allow-Origin" not in headers
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
        assert headers["Content-Security-Policy"]


def test_a_websocket_of_another_page_is_refused(running):
    async def status(**headers: str) -> int:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.ws_connect(f"{running.url}/ws", headers=headers):
                    return 101
            except aiohttp.WSServerHandshakeError as problem:
                return problem.status

    assert asyncio.run(status(Origin="http://evil.example")) == 403
    assert asyncio.run(status(Origin="null")) == 403
    assert asyncio.run(status(Host="evil.example")) == 403
    assert asyncio.run(status(Origin=running.url)) == 101
    assert asyncio.run(status()) == 101


@pytest.fixture
def locked(make_server, run_server):
    with run_server(make_server(access=Access("0.0.0.0", TOKEN, frozenset({"box.lan"})))) as found:
        yield found


def test_without_the_token_nothing_is_answered(locked):
    for path in ("/api/object_info", "/assets/x.js", "/extensions", "/api/view?filename=a.png", "/user.css"):
        reply = locked.get(path)
        assert reply.status == 401 and reply.json["error"]["type"] == "token_required"
    assert locked.post("/api/prompt", {}).status == 401
    for wrong in ("x", TOKEN + "x", TOKEN[:-1], "", "ö"):
        assert locked.get("/api/users", Authorization=f"Bearer {wrong}".encode().decode("latin-1")).status == 401
    page = locked.get("/")
    assert page.status == 401 and b"token" in page.body and TOKEN.encode() not in page.body


def test_the_token_is_taken_from_header_and_cookie_and_given_once_by_the_address(locked):
    assert locked.get("/api/users", Authorization=f"Bearer {TOKEN}").status == 200
    entered = locked.get(f"/?token={TOKEN}")
    assert entered.status == 303 and entered.headers["Location"] == "/"
    cookie = entered.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert locked.get("/api/users", Cookie=cookie.split(";")[0]).status == 200
    assert locked.get(f"/api/users?token={TOKEN}").status == 401  # only the page takes it from the address
    assert locked.get("/?token=wrong").status == 401


def test_the_websocket_wants_the_token_too(locked):
    async def status(**options: object) -> int:
        async with aiohttp.ClientSession(**options) as session:  # type: ignore[arg-type]
            try:
                async with session.ws_connect(f"{locked.url}/ws"):
                    return 101
            except aiohttp.WSServerHandshakeError as problem:
                return problem.status

    assert asyncio.run(status()) == 401
    assert asyncio.run(status(headers={"Authorization": f"Bearer {TOKEN}"})) == 101
    assert asyncio.run(status(headers={"Cookie": f"{COOKIE}={TOKEN}"})) == 101


def test_a_server_for_others_answers_to_addresses_and_allowed_names_only(locked):
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    for host in ("192.168.1.5", "box.lan", "[fe80::1]", "localhost"):
        assert locked.get("/users", Host=host, **bearer).status == 200
    assert locked.get("/users", Host="evil.example", **bearer).status == 403


def test_an_origin_that_the_user_allowed_may_talk(make_server, run_server):
    origin = "https://editor.example"
    with run_server(make_server(access=Access(origins=frozenset({origin})))) as running:
        assert running.post("/api/queue", {}, Origin=origin, **{"Sec-Fetch-Site": "cross-site"}).status == 200
        assert running.post("/api/queue", {}, Origin="https://other.example").status == 403


def test_loopback_is_told_from_the_rest():
    assert all(map(is_loopback, ("127.0.0.1", "127.8.0.1", "localhost", "::1", "[::1]")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "example.org", "")))


def test_no_way_leads_to_installing_running_or_evaluating_anything(running):
    # Managers, terminals and evaluating nodes of other hosts were the way in; here there is nothing behind their paths.
    for path in ("/manager/reboot", "/customnode/install", "/api/manager/queue/install", "/terminal", "/eval", "/exec"):
        for method in ("GET", "POST"):
            assert running.send(method, path, b"{}").status in (404, 405)


def test_no_endpoint_takes_a_path_of_the_machine(running, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    for path in (f"/file?file={secret}", f"/view?filename={secret}", f"/view?filename=x&subfolder={tmp_path}"):
        reply = running.get(path)
        assert reply.status in (403, 404) and b"secret" not in reply.body.replace(b"secret.png", b"")


def test_the_settings_and_the_queue_cannot_be_reached_through_what_users_save(running, tmp_path):
    # ComfyUI-Manager kept its configuration where the web could write it (CVE-2025-67303).
    running.post("/settings/Comfy.ColorPalette", "light")
    assert json.loads((tmp_path / "user" / "settings.json").read_text())["Comfy.ColorPalette"] == "light"
    for name in ("..%2Fsettings.json", "%2e%2e%2fsettings.json", "../settings.json", "settings.json"):
        assert running.get(f"/userdata/{name}").status in (403, 404)
        running.send("POST", f"/userdata/{name}", b"{}")
    assert json.loads((tmp_path / "user" / "settings.json").read_text())["Comfy.ColorPalette"] == "light"
