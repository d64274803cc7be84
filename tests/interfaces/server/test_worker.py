"""The worker: restart without loss, a disk that fills up, and workflows that went bad while they waited."""

from __future__ import annotations

import sqlite3
import time

import pytest


def wait_for_start(running):
    until = time.monotonic() + 30
    while not running.get("/queue").json["queue_running"]:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_queued_and_finished_jobs_survive_the_end_of_the_server(make_server, run_server, workflow, endless, tmp_path):
    place = tmp_path / "jobs" / "server.sqlite"
    with run_server(make_server(jobs=place)) as first:
        done = first.queue(workflow(name="done"))
        first.wait(done)
        halfway = first.queue(endless)
        waiting = [first.queue(workflow(name=f"waiting {index}")) for index in range(3)]
        wait_for_start(first)
    with run_server(make_server(jobs=place)) as second:
        assert second.get(f"/jobs/{done}").json["outputs"] == {"3": {"text": ["done"]}}
        assert second.get(f"/jobs/{halfway}").json["status"] in ("pending", "in_progress")
        wait_for_start(second)
        assert second.post("/interrupt", {"prompt_id": halfway}).json == {"cancelled": True}
        for index, id_ in enumerate(waiting):
            assert second.wait(id_)["outputs"] == {"3": {"text": [f"waiting {index}"]}}
    assert len(list((tmp_path / "output").glob("waiting*.txt"))) == 3


def test_jobs_lie_beside_the_cache(make_server, tmp_path):
    server = make_server(cache=tmp_path / "cache")
    assert server.store.path == tmp_path / "cache" / "server.sqlite" and server.store.path.is_file()
    server.store.close()


def test_a_workflow_that_went_bad_while_it_waited_fails_in_words(running, endless, tmp_path):
    file = tmp_path / "input" / "note.txt"
    file.write_text("x")
    prompt = {
        "1": {"class_type": "GlidewireTinyRead", "inputs": {"file": "note.txt"}},
        "2": {"class_type": "GlidewireTinyNoise", "inputs": {}},
        "3": {"class_type": "GlidewireTinyKeep", "inputs": {"grain": ["2", 0], "name": ["1", 0]}},
    }
    slow = running.queue(endless)
    wait_for_start(running)
    id_ = running.queue(prompt)
    file.unlink()
    running.post("/interrupt", {"prompt_id": slow})
    job = running.wait(id_)
    assert job["status"] == "failed" and "note.txt" in job["execution_error"]["exception_message"]


def test_a_full_disk_loses_no_result_and_refuses_new_jobs(running, workflow, monkeypatch):
    store = running.server.store
    finish, calls = store.finish, []

    def full_at_first(*arguments):
        calls.append(arguments)
        if len(calls) < 3:
            raise sqlite3.OperationalError("database or disk is full")
        return finish(*arguments)

    monkeypatch.setattr(store, "finish", full_at_first)
    monkeypatch.setattr("glidewire.interfaces.server.worker._RETRY_SECONDS", 0.01)
    assert running.wait(running.queue(workflow()))["outputs"] == {"3": {"text": ["grain"]}}
    assert len(calls) == 3

    def full(*arguments):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("glidewire.interfaces.server.job_store._pack", full)
    reply = running.post("/prompt", {"prompt": workflow()})
    assert 400 <= reply.status < 600 and "disk" in reply.json["error"]["message"]


@pytest.mark.parametrize("previews", [True, False])
def test_pictures_of_steps_are_only_made_where_somebody_looks(running, workflow, monkeypatch, previews):
    made = []
    monkeypatch.setattr("PIL.Image.new", lambda *arguments: made.append(arguments))
    monkeypatch.setattr("glidewire.interfaces.server.narration.jpeg", lambda image: b"")
    running.wait(running.queue(workflow(steps=3), **({"client_id": "me"} if previews else {})))
    assert bool(made) is previews
