"""The official editor in a real browser over our server: first start, run, problems, errors, cancel, save, reload."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from glidewire.graph_runtime import formats
from glidewire.graph_runtime.registry import Registry

pytest.importorskip("comfyui_frontend_package", reason="the editor is the extra serve")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser import STARTING, Chromium, Editor, open_editor
from running_server import Running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def editor(chromium: Chromium, editor_server: Running) -> Iterator[Editor]:
    """One page for all tests of this module: the editor takes seconds to start. Each test loads its own workflow."""
    with open_editor(chromium, editor_server.url, width=1400, height=900) as found:
        yield found


@pytest.fixture(autouse=True)
def _tests_leave_no_run_and_no_complaint(editor: Editor, editor_server: Running) -> Iterator[None]:
    yield
    editor.complaints.clear()
    editor_server.post("/queue", {"clear": True})
    editor_server.post("/interrupt", {})
    for job in editor_server.get("/jobs?limit=1").json["jobs"]:
        editor_server.wait(job["id"])


@pytest.fixture
def saved(registry: Registry) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Makes the saved form of an API form."""
    return lambda prompt: formats.to_saved(formats.read(prompt, registry), registry)


def test_the_first_start_shows_our_first_workflow_which_runs_and_nothing_leaves_the_machine(editor, editor_server):
    titles = editor.js("app.graph.nodes.map(node => node.title)")
    assert "Sampler" in titles and "Save" in titles
    editor.shot("server-first-start")
    for name, value in (("spacing", "2"), ("batch", 1)):  # a shorter run of the same workflow
        editor.js(
            "([name, value]) => app.graph.nodes.flatMap(node => node.widgets ?? [])"
            ".filter(widget => widget.name === name).forEach(widget => { widget.value = value })",
            [name, value],
        )
    editor.run()
    editor.wait("Object.values(app.nodeOutputs ?? {}).some(shown => shown.images?.length)", milliseconds=STARTING)
    editor.wait("app.graph.nodes.some(node => node.type === 'GlidewireSaveImage' && node.imgs?.[0]?.naturalWidth > 0)")
    editor.shot("server-picture")
    (job,) = editor_server.get("/jobs").json["jobs"]
    assert job["status"] == "completed" and job["outputs_count"] == 1
    assert editor.outside == []
    assert editor.complaints == []
    tabs = editor.page.locator(".side-tool-bar-container").inner_text()
    assert "Model" not in tabs
    assert not editor.page.get_by_test_id("login-button").is_visible()


def test_problems_turn_their_node_red_with_a_sentence_that_helps(editor, saved, workflow):
    prompt = workflow()
    del prompt["2"]["inputs"]["grain"]
    editor.load(saved(prompt))
    editor.run()
    editor.page.get_by_text("the input is required; expected a wire").first.wait_for()
    editor.shot("server-problem")
    assert editor.js("app.graph.nodes.filter(node => node.has_errors).map(node => String(node.id))") == ["2"]


def test_a_failing_node_is_shown_with_our_words(editor, saved, workflow):
    prompt = workflow()
    prompt["2"] = {"class_type": "GlidewireTinyFail", "inputs": {"grain": ["1", 0]}}
    editor.load(saved(prompt))
    editor.run()
    told = editor.page.get_by_text("the tiny node fails; expected success; got failure. It always does.")
    told.first.wait_for()
    editor.shot("server-failure")
    # The panel of issues would ask a registry on the internet for the pack of every node.
    editor.page.get_by_role("button", name="View details").click()
    editor.page.get_by_text("Execution failed").first.wait_for()
    editor.shot("server-issues")
    assert editor.outside == []
    assert editor.complaints == []


def test_progress_and_preview_are_seen_and_cancel_stops_the_run(editor, saved, endless, editor_server):
    editor.load(saved(endless))
    editor.run()
    editor.wait("app.graph.getNodeById(2).imgs?.length > 0")
    editor.page.get_by_text("1 active").wait_for()
    editor.shot("server-progress")
    editor.page.get_by_label("Cancel current run").click()
    job = editor_server.get("/jobs?limit=1").json["jobs"][0]
    assert editor_server.wait(job["id"])["status"] == "cancelled"


def test_two_tabs_show_one_queue_and_a_run_goes_on_when_its_tab_is_closed(editor, saved, endless, editor_server):
    other = Editor(editor.page.context.new_page(), editor.url)
    other.open()
    other.load(saved(endless))
    other.run()
    other.wait("app.graph.getNodeById(2).imgs?.length > 0")
    editor.page.get_by_text("1 active").wait_for()
    job = editor_server.get("/jobs?limit=1").json["jobs"][0]
    other.page.close()
    assert editor_server.get(f"/jobs/{job['id']}").json["status"] == "in_progress"
    editor_server.post("/interrupt", {})
    assert editor_server.wait(job["id"])["status"] == "cancelled"
    editor.page.get_by_text("0 active").wait_for()
    assert editor.complaints == other.complaints == []


def test_a_workflow_is_saved_and_found_again_after_a_reload(editor, saved, workflow, editor_server):
    editor.load(saved(workflow()))
    kept = editor_server.server.user / "files" / "workflows" / "mine.json"
    editor.page.keyboard.press("Control+s")
    name = editor.page.get_by_role("dialog").get_by_role("textbox")
    name.fill("mine")
    with editor.page.expect_response(lambda reply: reply.request.method == "POST" and "/userdata/" in reply.url):
        name.press("Enter")
    assert {node["type"] for node in json.loads(kept.read_text())["nodes"]} == {
        "GlidewireTinyNoise",
        "GlidewireTinySteps",
        "GlidewireTinyKeep",
    }
    editor.page.reload()
    editor.wait("window.app?.graph?.nodes?.length === 3", milliseconds=STARTING)
    editor.shot("server-reload")
