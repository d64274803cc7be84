"""Settings: ours until the user says otherwise, his kept whole."""

from __future__ import annotations

import json

import pytest


def test_a_new_user_finds_our_defaults(running):
    found = running.get("/settings").json
    assert found["Comfy.TutorialCompleted"] is True
    assert found["Comfy.Notification.ShowVersionUpdates"] is False


@pytest.mark.parametrize("value", [True, None, 0.5, "dark", ["a"], {"a": {"b": 1}}])
def test_what_the_user_chose_stays(running, value, tmp_path):
    assert running.post("/api/settings/Comfy.Some.Thing", value).status == 200
    assert running.get("/settings").json["Comfy.Some.Thing"] == value
    assert running.get("/settings/Comfy.Some.Thing").json == value
    running.post("/settings", {"other": 1, "Comfy.TutorialCompleted": False})
    found = running.get("/settings").json
    assert found["Comfy.Some.Thing"] == value and found["other"] == 1 and found["Comfy.TutorialCompleted"] is False
    kept = json.loads((tmp_path / "user" / "settings.json").read_text())
    assert kept == {"Comfy.Some.Thing": value, "other": 1, "Comfy.TutorialCompleted": False}


def test_an_unknown_setting_is_null(running):
    assert running.get("/settings/none").json is None


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b'"\\ud800"', b"[" * 200 + b"]" * 200])
def test_what_is_no_json_changes_nothing(running, body, tmp_path):
    reply = running.send("POST", "/settings/x", body)
    assert reply.status == 400 and reply.json["error"]["type"] == "invalid_json"
    assert not (tmp_path / "user" / "settings.json").exists()


def test_settings_have_a_size(running):
    assert running.post("/settings/x", "a" * 2**21).status == 413
    assert running.post("/settings", [1]).status == 400


def test_a_damaged_file_is_put_aside(running, tmp_path):
    path = tmp_path / "user" / "settings.json"
    path.write_text("{ damaged")
    assert running.get("/settings").json["Comfy.TutorialCompleted"] is True
    assert (tmp_path / "user" / "settings.damaged.json").read_text() == "{ damaged"
    running.post("/settings/x", 1)
    assert json.loads(path.read_text()) == {"x": 1}
