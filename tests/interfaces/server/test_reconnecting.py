"""The server goes away under an open page and comes back: the page finds it, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from glidewire.graph_runtime import formats
from glidewire.graph_runtime.registry import Registry
from glidewire.interfaces.session import pack_registry

pytest.importorskip("comfyui_frontend_package", reason="the editor is the extra serve")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser import STARTING, Chromium, open_editor
from glidewire.interfaces.server.state import Server

pytestmark = pytest.mark.slow
SHOWN = "app.nodeOutputs?.[3]?.text?.[0]"


@pytest.fixture
def start(
    make_server: Callable[..., Server], registry: Registry, run_server: Any, tmp_path: Path
) -> Callable[..., Any]:
    """Starts a server over the same folders, jobs and results, on the port of the one before."""
    everything = Registry([*pack_registry(), *registry])

    def begin(port: int = 0) -> Any:
        server = make_server(registry=everything, cache=tmp_path / "cache", jobs=tmp_path / "jobs.sqlite")
        return run_server(server, port)

    return begin


def test_a_page_whose_server_was_started_again_goes_on_where_it_stood(chromium: Chromium, start, workflow, registry):
    prompt = workflow(steps=100_000, pause=0.3, name="first")
    document = formats.to_saved(formats.read(prompt, registry), registry)
    first = ExitStack()
    running = first.enter_context(start())
    with first, open_editor(chromium, running.url, width=1400, height=900) as editor:
        editor.load(document)
        editor.run()
        editor.wait("app.graph.getNodeById(2).imgs?.length > 0", milliseconds=STARTING)
        (job,) = running.get("/jobs").json["jobs"]
        # What nobody has saved has to be there afterwards.
        editor.js("app.graph.getNodeById(3).widgets[0].value = 'changed by hand'")
        first.close()
        editor.page.get_by_text("Reconnecting").first.wait_for()
        editor.shot("reconnecting")
        with start(running.port) as again:
            editor.page.get_by_text("Reconnected").first.wait_for()
            assert editor.js("app.graph.getNodeById(3).widgets[0].value") == "changed by hand"
            # The job that ran is taken up again, and shows its progress on the page.
            editor.wait("app.graph.getNodeById(2).progress > 0", milliseconds=STARTING)
            assert again.get(f"/jobs/{job['id']}").json["status"] == "in_progress"
            editor.shot("reconnected")
            again.post("/interrupt", {})
            assert again.wait(job["id"])["status"] == "cancelled"
            editor.page.get_by_text("0 active").wait_for()
            # And the page works as before.
            editor.js("app.graph.getNodeById(2).widgets.find(one => one.name === 'steps').value = 2")
            editor.run()
            editor.wait(f"{SHOWN} === 'changed by hand'", milliseconds=STARTING)
            assert editor.outside == []
