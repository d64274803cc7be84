"""The job store: order, priorities, deletion, and what survives the end of the server."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from pathlib import Path

import pytest
from glidewire.errors import GlidewireError
from glidewire.interfaces.server import job_store
from glidewire.interfaces.server.job_store import JobStore
from glidewire.interfaces.server.jobs import FINISHED, Job, Outcome
from hypothesis import given
from hypothesis import strategies as st


def new(client: str | None = None, workflow: str = "") -> Job:
    return Job(str(uuid.uuid4()), client=client, workflow=workflow)


@pytest.fixture
def store():
    made = JobStore(None)
    yield made
    made.close()


def test_jobs_run_in_order_of_arrival_unless_one_is_put_in_front(store):
    first, second = (store.add(new(), {"prompt": index}) for index in range(2))
    third = store.add(new(), {"prompt": 2}, front=True)
    fourth = store.add(new(), {"prompt": 3}, number=1.5)
    taken = [store.take() for _ in range(5)]
    assert [job and job.id for job in taken] == [third.id, first.id, fourth.id, second.id, None]
    assert all(job.status == "in_progress" and job.started for job in taken if job)
    assert store.request(third.id) == {"prompt": 2}


@given(st.lists(st.tuples(st.booleans(), st.none() | st.floats(-100, 100)), max_size=12))
def test_the_list_is_the_order_in_which_they_are_taken(places):
    store = JobStore(None)
    for front, number in places:
        store.add(new(), {}, front=front, number=number)
    listed = [job.id for job in store.listed(("pending",))]
    taken = []
    while job := store.take():
        taken.append(job.id)
    assert taken == listed and len(taken) == len(places)
    store.close()


def test_what_came_of_a_job_is_kept(store):
    job = store.take() or store.add(new("me", "flow"), {"prompt": {}})
    job = store.take()
    files = {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}
    outcome = Outcome(
        {"3": files, "4": {"text": ["x"]}}, [["execution_start", {}]], None, {"3": {"seconds": 1}}, {"3": "d"}
    )
    ended = store.finish(job, "completed", outcome)
    found = store.get(job.id)
    assert found == ended and found.status == "completed" and found.ended >= found.started >= found.created
    assert found.summary["outputs_count"] == 1
    assert found.summary["preview_output"] == {**files["images"][0], "nodeId": "3", "mediaType": "images"}
    assert vars(store.outcome(job.id)) == vars(outcome)


def test_only_waiting_jobs_are_taken_out_and_they_stay_listed(store):
    ids = [store.add(new(), {}).id for _ in range(3)]
    running = store.take()
    assert store.cancel([running.id, ids[1], "none"]) == [ids[1]]
    assert store.get(ids[1]).status == "cancelled"
    assert store.cancel() == [ids[2]]
    assert [job.id for job in store.listed(("cancelled",))] == ids[1:]


def test_finished_jobs_are_forgotten_when_asked_and_others_stay(store):
    done, other, waiting = (store.add(new(), {}) for _ in range(3))
    for _ in range(2):
        store.finish(store.take(), "completed", Outcome())
    store.forget([done.id, waiting.id])
    assert store.get(done.id) is None and store.get(waiting.id).status == "pending"
    store.forget()
    assert store.get(other.id) is None and store.count(("pending",)) == 1


def test_lists_have_pages_and_know_workflows(store):
    ids = [store.add(new(workflow="a" if index % 2 else "b"), {}).id for index in range(6)]
    newest = store.listed(("pending",), newest_first=True, offset=1, limit=2)
    assert [job.id for job in newest] == [ids[4], ids[3]]
    assert store.count(("pending",), "a") == 3 and len(store.listed(("pending",), workflow="a")) == 3


def test_only_the_newest_finished_jobs_are_kept(store, monkeypatch):
    monkeypatch.setattr(job_store, "MOST_FINISHED", 3)
    ids = [store.add(new(), {}).id for _ in range(6)]
    for _ in range(5):
        store.finish(store.take(), "completed", Outcome())
    assert [job.id for job in store.listed(FINISHED)] == ids[2:5] and store.get(ids[5]).status == "pending"


def test_two_jobs_cannot_have_one_id(store):
    job = store.add(new(), {"prompt": 1})
    with pytest.raises(KeyError):
        store.add(job, {"prompt": 2})
    assert store.request(job.id) == {"prompt": 1} and store.count(("pending",)) == 1


def test_everything_is_there_after_a_restart_and_what_ran_runs_again(tmp_path):
    path = tmp_path / "deep" / "server.sqlite"
    store = JobStore(path)
    done, halfway, waiting = (store.add(new("me"), {"prompt": index}) for index in range(3))
    store.finish(store.take(), "completed", Outcome({"1": {"text": ["x"]}}))
    store.take()
    store.close()
    again = JobStore(path)
    assert again.outcome(done.id).outputs == {"1": {"text": ["x"]}}
    assert [job.id for job in again.listed(("pending",))] == [halfway.id, waiting.id]
    assert again.take().id == halfway.id and again.request(halfway.id) == {"prompt": 1}
    again.close()


def test_a_job_that_ends_the_server_twice_is_given_up(tmp_path):
    path = tmp_path / "server.sqlite"
    for _ in range(2):
        store = JobStore(path)
        job = store.take() or store.add(new(), {})
        store.take()
        store.close()
    store = JobStore(path)
    assert store.get(job.id).status == "failed"
    assert "stopped twice" in store.get(job.id).summary["error"]["exception_message"]
    store.close()


def test_a_job_put_back_at_the_end_of_the_server_does_not_count_as_tried(tmp_path):
    path = tmp_path / "server.sqlite"
    JobStore(path).close()
    for round_ in range(4):
        store = JobStore(path)
        job = store.add(new(), {}) if round_ == 0 else job
        store.put_back(store.take())
        store.close()
    store = JobStore(path)
    assert store.get(job.id).status == "pending" and store.get(job.id).attempts == 0
    store.close()


def test_a_second_server_on_the_same_store_is_told(tmp_path):
    store = JobStore(tmp_path / "server.sqlite")
    with pytest.raises(GlidewireError, match=r"another server uses it.*another --cache"):
        JobStore(tmp_path / "server.sqlite")
    store.close()
    JobStore(tmp_path / "server.sqlite").close()


def test_what_is_no_store_or_another_versions_is_told(tmp_path):
    (tmp_path / "text").write_text("no database, but long enough to be read as one " * 40)
    with pytest.raises(GlidewireError, match="cannot be opened"):
        JobStore(tmp_path / "text")
    with pytest.raises(GlidewireError, match="cannot be opened"):
        JobStore(tmp_path / "text" / "server.sqlite")
    base = sqlite3.connect(tmp_path / "newer")
    base.execute("PRAGMA user_version = 99")
    base.close()
    with pytest.raises(GlidewireError, match=r"another version.*schema 99"):
        JobStore(tmp_path / "newer")


def test_many_threads_lose_nothing(tmp_path):
    store = JobStore(tmp_path / "server.sqlite")
    taken: list[str] = []
    added: list[str] = []

    def add() -> None:
        for _ in range(20):
            added.append(store.add(new(), {}).id)

    def take() -> None:
        while len(taken) < 80:
            if job := store.take():
                taken.append(job.id)
                store.finish(job, "completed", Outcome())

    threads = [threading.Thread(target=work) for work in (add, add, add, add, take, take)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(taken) == sorted(added) and store.count(("completed",)) == 80
    assert Path(store.path).is_file()
    store.close()
