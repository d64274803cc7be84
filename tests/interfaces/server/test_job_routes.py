"""Jobs and history over the one store: pages, filters, one job whole, forgetting."""

from __future__ import annotations

import pytest


@pytest.fixture
def done(running, workflow):
    """Three jobs that ended, the second one with a failure."""
    broken = workflow()
    broken["2"] = {"class_type": "GlidewireTinyFail", "inputs": {"grain": ["1", 0]}}
    ids = [running.queue(prompt, client_id="me") for prompt in (workflow(), broken, workflow())]
    for id_ in ids:
        running.wait(id_)
    return ids


def test_pages_carry_all_four_numbers(running, done):
    page = running.get("/jobs?limit=2&offset=1").json
    assert [job["id"] for job in page["jobs"]] == [done[1], done[0]]
    assert page["pagination"] == {"offset": 1, "limit": 2, "total": 3, "has_more": False}
    assert running.get("/jobs?limit=2").json["pagination"]["has_more"] is True
    assert [job["id"] for job in running.get("/jobs?sort_order=asc").json["jobs"]] == done
    assert [job["id"] for job in running.get("/jobs?status=failed").json["jobs"]] == [done[1]]
    assert running.get("/jobs?workflow_id=none").json["jobs"] == []


def test_an_entry_says_when_and_what_came_of_it(running, done):
    first, failed = (running.get(f"/api/jobs/{id_}").json for id_ in done[:2])
    assert first["create_time"] <= first["execution_start_time"] <= first["execution_end_time"]
    assert first["workflow"]["prompt"]["1"]["class_type"] == "GlidewireTinyNoise"
    assert first["workflow"]["extra_data"]["client_id"] == "me"
    assert set(first["glidewire"]["nodes"]) == {"1", "2", "3"} and list(first["glidewire"]["digests"]) == ["3"]
    assert failed["execution_error"]["node_id"] == "2" and failed["execution_status"]["status_str"] == "error"
    kinds = [kind for kind, _ in failed["execution_status"]["messages"]]
    assert kinds[0] == "execution_start" and kinds[-1] == "execution_error"


@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=x", "offset=1e3", "offset=%C2%B2", "limit=99999999999999", "status=happy"]
)
def test_queries_that_make_no_sense_are_refused(running, query):
    reply = running.get(f"/jobs?{query}")
    assert reply.status == 400 and reply.json["error"]["details"]
    assert running.get(f"/history?max_items={query.split('=')[1]}").status == 400 or query.startswith(
        ("status", "offset")
    )


def test_history_forgets_what_it_is_told_to(running, done):
    assert list(running.get("/history").json) == done
    assert list(running.get("/history?max_items=1").json) == [done[2]]
    running.post("/history", {"delete": [done[0]]})
    assert list(running.get("/history").json) == done[1:] and running.get(f"/history/{done[0]}").json == {}
    running.post("/history", {"clear": True})
    assert running.get("/history").json == {} and running.get("/jobs").json["jobs"] == []
