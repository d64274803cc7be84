"""Whatever a name in an address looks like, on every route: a clear answer, and nothing from outside of the folders."""

from __future__ import annotations

from urllib.parse import quote

import pytest

SECRET = "what nobody may read"
NAMES = [
    "..",
    "../secret.txt",
    "../../secret.txt",
    "a/../../secret.txt",
    "..\\secret.txt",
    "..\\..\\secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "C:\\secret.txt",
    "C:secret.txt",
    "\\\\host\\share\\secret.txt",
    "file:///etc/passwd",
    "secret.txt\0.png",
    "\0",
    "secret.txt::$DATA",
    "CON",
    "aux.json",
    "name ",
    "name.",
    ".hidden.json",
    "~/secret.txt",
    "$HOME",
    "%s%n",
    "a\nb.json",
    "\x1b[31m.json",
    "x" * 3000 + ".json",
    "/".join(["d"] * 700) + ".json",
    "ᚠᚢᚦ/日本語/العربية.json",
    "‮txt.exe",
    "．．/secret.txt",
    "․․/secret.txt",
    "𝐬𝐞𝐜𝐫𝐞𝐭.txt",
    "e\u0301.json",
    "\ud800.json",
]
GET = [
    "/view?filename={}",
    "/view?filename=x.png&subfolder={}",
    "/view?filename=x.png&type={}",
    "/view?filename=x.png&preview={}",
    "/userdata/{}",
    "/userdata?dir={}",
    "/extensions/glidewire/{}",
    "/extensions/glidewire/docs/{}.md",
    "/extensions/glidewire-server/{}",
    "/workflow_templates/glidewire/{}.json",
    "/assets/{}",
    "/{}",
    "/object_info/{}",
    "/settings/{}",
    "/internal/files/{}",
    "/jobs/{}",
    "/history/{}",
    "/glidewire/values/{}/0",
    "/glidewire/steps/{}",
    "/glidewire/steps/" + "0" * 64 + "/0/0/{}",
]
POST = ["/userdata/{}", "/userdata/{}/move/y.json", "/userdata/y.json/move/{}", "/settings/{}", "/jobs/{}/cancel"]
DELETE = ["/userdata/{}"]


def spellings(name: str) -> list[str]:
    """The ways in which a client may write a name: every sign escaped, slashes left, and escaped twice."""
    raw = name.encode("utf-8", "surrogatepass")
    return [quote(raw, safe=""), quote(raw, safe="/\\:"), quote(quote(raw, safe=""), safe="")]


@pytest.fixture
def guarded(running, tmp_path):
    """A running server with a secret beside each of its folders."""
    for place in (tmp_path, tmp_path.parent, tmp_path / "user", running.server.web.parent / "none"):
        if place.is_dir():
            (place / "secret.txt").write_text(SECRET)
    yield running
    (tmp_path.parent / "secret.txt").unlink()


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_leads_nowhere_and_is_answered_in_words(guarded, tmp_path, name):
    asked = [("GET", GET, None), ("POST", POST, b"{}"), ("DELETE", DELETE, None)]
    headers = {"Content-Type": "application/json"}
    for method, routes, body in asked:
        for route in routes:
            for spelled in spellings(name):
                path = route.format(spelled)
                if len(path) > 8000:  # longer than any server takes a first line
                    continue
                reply = guarded.send(method, path, body, headers)
                assert reply.status < 500, (method, path, reply.body)
                assert SECRET.encode() not in reply.body and b"root:" not in reply.body, (method, path)
                if reply.status >= 400:
                    assert reply.json["error"]["message"], (method, path)
    assert (tmp_path / "secret.txt").read_text() == SECRET
    assert {path.name for path in tmp_path.iterdir()} <= {"input", "output", "user", "cache", "secret.txt"}
    assert guarded.get("/users").status == 200
