"""The server as a whole: everything that the editor asks for at its start, and one run from queue to history."""

from __future__ import annotations

import pytest

MUST = [
    "/users",
    "/settings",
    "/extensions",
    "/object_info",
    "/jobs?status=pending,in_progress&limit=64&offset=0",
    "/queue",
    "/history?max_items=64",
    "/prompt",
    "/system_stats",
    "/features",
    "/i18n",
    "/workflow_templates",
    "/templates/index.json",
    "/global_subgraphs",
    "/experiment/models",
    "/embeddings",
    "/userdata?dir=workflows&recurse=true&split=false&full_info=true",
    "/userdata/comfy.templates.json",
    "/internal/logs/raw",
    "/internal/folder_paths",
    "/internal/files/output",
]


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_the_editor_gets_json_from_everything_that_it_asks_for(running, prefix):
    for path in MUST:
        reply = running.get(prefix + path)
        assert reply.status == 200, (path, reply.body)
        assert reply.headers["Content-Type"].startswith("application/json"), path
        assert isinstance(reply.json, dict | list)


def test_a_workflow_runs_and_is_found_in_both_histories(running, workflow, tmp_path):
    id_ = running.queue(workflow(), client_id="me")
    job = running.wait(id_)
    assert job["status"] == "completed" and job["outputs"] == {"3": {"text": ["grain"]}}
    assert (tmp_path / "output" / "grain.txt").is_file()
    entry = running.get(f"/history/{id_}").json[id_]
    assert entry["status"]["status_str"] == "success" and entry["status"]["completed"] is True
    assert entry["outputs"] == job["outputs"] and entry["prompt"][1] == id_
    assert id_ in running.get("/history?max_items=10").json
    listed = running.get("/jobs?status=completed&limit=5&offset=0").json
    assert [one["id"] for one in listed["jobs"]] == [id_]
    assert listed["pagination"] == {"offset": 0, "limit": 5, "total": 1, "has_more": False}


def test_what_is_not_there_is_said_in_json(running):
    for path in ("/api/nothing", "/nothing.js", "/api/jobs/none", "/view?filename=none.png"):
        reply = running.get(path)
        assert reply.status == 404 and reply.json["error"]["message"]
