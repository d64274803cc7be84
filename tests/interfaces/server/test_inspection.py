"""The routes of the editor extension, over a server that runs."""

from __future__ import annotations

from typing import Any

import pytest

NOWHERE = "/glidewire/values/" + "0" * 64


@pytest.fixture
def ran(running: Any, workflow: Any) -> dict[str, Any]:
    """The state of a small workflow after a run."""
    prompt = workflow()
    assert running.wait(running.queue(prompt))["status"] == "completed"
    return running.post("/api/glidewire/state", {"prompt": prompt}).json


def test_marks_dims_and_types_are_told_with_and_without_the_prefix(running: Any, workflow: Any) -> None:
    told = running.post("/glidewire/state", {"prompt": workflow(), "workflow": {"id": "one"}}).json
    assert told["marks"]["1"]["status"] == "run"
    assert told["dims"]["1"] == {"0": "4"}
    assert told["types"]["1"] == {"0": ["GRAIN"]}
    assert running.post("/api/glidewire/state", {"prompt": {}}).json["marks"] == {}


def test_a_value_is_read_under_the_key_that_the_state_told(running: Any, ran: dict[str, Any]) -> None:
    mark = ran["marks"]["1"]
    assert mark["status"] == "memory"
    value = running.get(f"/api/glidewire/values/{mark['key']}/0?types=GRAIN").json
    assert value["tensors"][0]["shape"] == [4]
    assert running.get(f"/glidewire/steps/{mark['key']}").json == {"walks": []}


def test_a_wire_that_cannot_fit_is_told_before_it_is_drawn(running: Any, workflow: Any) -> None:
    prompt = workflow()
    prompt["4"] = {"class_type": "GlidewireTinyNoise", "inputs": {"count": 9, "seed": 1}}
    prompt["5"] = {"class_type": "GlidewireTinyJoin", "inputs": {"left": ["4", 0]}}
    found = running.post("/glidewire/misfits", {"prompt": prompt, "node": "1", "output": 0}).json
    assert list(found) == ["5 right"]


def test_the_graph_is_written_as_python(running: Any, workflow: Any) -> None:
    text = running.post("/glidewire/python", {"prompt": workflow(), "name": "mine"}).json["text"]
    compile(text, "mine", "exec")
    assert 'Workflow("mine")' in text


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/glidewire/state", {}, "no workflow in it"),
        ("/glidewire/state", {"prompt": [1]}, "no workflow in it"),
        ("/glidewire/state", {"prompt": {"nodes": 3}}, "is no workflow"),
        ("/glidewire/misfits", {"prompt": {}, "node": 3, "output": 0}, "misfits of which output?"),
        ("/glidewire/misfits", {"prompt": {}, "node": "3", "output": True}, "misfits of which output?"),
        ("/glidewire/python", {"prompt": {}, "name": "x" * 500}, "no short text"),
        ("/glidewire/command", {"prompt": {}, "name": "never-saved"}, "in no file"),
    ],
)
def test_bad_questions_are_refused_in_words(running: Any, path: str, body: Any, words: str) -> None:
    reply = running.post(path, body)
    assert reply.status == 400
    assert words in reply.json["error"]["message"]


def test_a_command_looks_for_files_in_the_users_folder_alone(running: Any, workflow: Any, tmp_path: Any) -> None:
    (tmp_path / "secret.json").write_text("{}")
    for name in ("../../../secret", "../../secret", "/etc/hostname", "a\0b"):
        reply = running.post("/glidewire/command", {"prompt": workflow(), "name": name})
        assert reply.status == 400
        assert "in no file" in reply.json["error"]["message"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{NOWHERE}/0", 404),
        (f"{NOWHERE}/0/views/0?types=IMAGE", 404),
        (f"{NOWHERE}/-1", 400),
        (f"{NOWHERE}/99999999999", 400),
        ("/glidewire/values/..%2F..%2Fetc/0", 400),
        (f"/glidewire/values/{'A' * 64}/0", 400),
        (f"/glidewire/steps/{'0' * 64}/0/0/x_t", 404),
        (f"/glidewire/steps/{'0' * 64}/0/x/x_t", 400),
        ("/glidewire/steps/short", 400),
    ],
)
def test_what_is_not_there_is_a_4xx_in_json(running: Any, path: str, status: int) -> None:
    reply = running.get(path)
    assert (reply.status, isinstance(reply.json, dict)) == (status, True)
    assert running.get("/glidewire/steps/" + "0" * 64).json == {"walks": []}
