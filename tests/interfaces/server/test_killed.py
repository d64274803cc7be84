"""The server killed in the middle of its work (kill -9): after a restart nothing that it had promised is lost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from running_server import Running

TINY = Path(__file__).parents[1] / "tiny_nodes.py"
PROGRAM = """
import asyncio, importlib.util, sys
from pathlib import Path
from glidewire.graph_runtime.declaration import NodeFunction
from glidewire.graph_runtime.registry import Registry
from glidewire.interfaces.server.application import make_application, open_server, serve
from glidewire.interfaces.session import Session

nodes, folder = sys.argv[1], Path(sys.argv[2])
spec = importlib.util.spec_from_file_location("tiny_interface_nodes", nodes)
tiny = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)
registry = Registry(value.declaration for value in vars(tiny).values() if isinstance(value, NodeFunction))
session = Session.open(
    registry=registry, inputs=[folder / "input"], output=folder / "output", device="cpu", cache=folder / "store"
)
application = make_application(open_server(session, user=folder / "user"))
asyncio.run(serve(application, "127.0.0.1", 0, lambda port: print(port, flush=True)))
"""


@contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Running]]:
    """A server in a process of its own; killed at the end, if not before."""
    command = [sys.executable, "-c", PROGRAM, str(TINY), str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        found: Any = None  # the server itself lives in the other process
        yield process, Running(found, int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


def until_running(server: Running, id_: str) -> None:
    until = time.monotonic() + 60
    while id_ not in [entry[1] for entry in server.get("/queue").json["queue_running"]]:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_after_a_kill_finished_running_and_waiting_jobs_are_all_there(tmp_path, workflow, endless):
    (tmp_path / "input").mkdir()
    (tmp_path / "output").mkdir()
    with started(tmp_path) as (process, server):
        done = server.queue(workflow(name="done"))
        first = server.wait(done)
        server.post("/userdata/workflows%2Fmine.json?overwrite=true", {"nodes": []})
        server.post("/settings/Comfy.Mine", 7)
        running = server.queue(endless)
        waiting = [server.queue(workflow(name=f"waiting {index}", count=index + 1)) for index in range(20)]
        until_running(server, running)
        process.kill()
        process.wait()
    with started(tmp_path) as (_, server):
        again = server.get(f"/jobs/{done}").json
        assert (again["status"], again["outputs"]) == ("completed", first["outputs"])
        assert server.get("/userdata/workflows%2Fmine.json").json == {"nodes": []}
        assert server.get("/settings/Comfy.Mine").json == 7
        until_running(server, running)
        queued = [entry[1] for entry in server.get("/queue").json["queue_pending"]]
        assert sorted(queued) == sorted(waiting)
        assert server.post("/interrupt", {"prompt_id": running}).json == {"cancelled": True}
        for index, id_ in enumerate(waiting):
            assert server.wait(id_)["outputs"] == {"3": {"text": [f"waiting {index}"]}}
        assert server.get("/jobs?limit=100").json["pagination"]["total"] == 22
    assert len(list((tmp_path / "output").glob("waiting*.txt"))) == 20
