"""The official editor in a real browser over our server: first start, run, problems, errors, cancel, save, reload."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from glidewire.graph_runtime import formats
from glidewire.graph_runtime.registry import Registry

pytest.importorskip("comfyui_frontend_package", reason="the editor is the extra serve")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


CHROMIUM = next((path for path in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if path.exists()), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
_PATIENCE = 240_000


class Editor:
    """A page with the editor, what it asked for and what it complained of."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.outside: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(_PATIENCE)
        page.on("request", self._asked)
        page.on("response", lambda reply: reply.status >= 400 and self.complaints.append(f"{reply.status} {reply.url}"))
        page.on("console", lambda message: message.type == "error" and self._complained(message.text))
        page.on("pageerror", lambda error: self._complained(str(error)))

    def _complained(self, text: str) -> None:
        # The first is told with its address by the reply; the second is this test's own looking, too early, at `app`.
        if not text.startswith(("Failed to load resource", "ComfyApp graph accessed before initialization")):
            self.complaints.append(text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.outside.append(request.url)

    def open(self) -> None:
        self.page.goto(self.url)
        self.wait("window.app?.graph?.nodes?.length > 0 && document.querySelector('[data-testid=queue-button]')")

    def wait(self, condition: str) -> None:
        self.page.wait_for_function(condition, timeout=_PATIENCE)

    def load(self, document: dict[str, Any]) -> None:
        self.page.evaluate("document => app.loadGraphData(document)", document)
        count = len(document["nodes"])
        self.wait(f"app.graph.nodes.length === {count}")

    def run(self) -> None:
        self.page.get_by_test_id("queue-button").click()

    def shot(self, name: str) -> None:
        """Keep a screenshot, where $GLIDEWIRE_SCREENSHOTS names a folder."""
        if folder := os.environ.get("GLIDEWIRE_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"server-{name}.png")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def editor(browser: Any, editor_server: Any) -> Iterator[Editor]:
    """One page for all tests of this module: the editor takes seconds to start. Each test loads its own workflow."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    found = Editor(context.new_page(), editor_server.url)
    found.open()
    yield found
    context.close()


@pytest.fixture
def saved(registry: Registry) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Makes the saved form of an API form."""
    return lambda prompt: formats.to_saved(formats.read(prompt, registry), registry)


def test_the_first_start_shows_our_first_workflow_which_runs_and_nothing_leaves_the_machine(editor, editor_server):
    titles = editor.page.evaluate("app.graph.nodes.map(node => node.title)")
    assert "Sampler" in titles and "Save" in titles
    editor.shot("first-start")
    for name, value in (("steps", "2"), ("batch", 1)):  # a shorter run of the same workflow
        editor.page.evaluate(
            "([name, value]) => app.graph.nodes.flatMap(node => node.widgets ?? [])"
            ".filter(widget => widget.name === name).forEach(widget => { widget.value = value })",
            [name, value],
        )
    editor.run()
    editor.wait("Object.values(app.nodeOutputs ?? {}).some(shown => shown.images?.length)")
    editor.wait("app.graph.nodes.some(node => node.type === 'GlidewireSaveImage' && node.imgs?.[0]?.naturalWidth > 0)")
    editor.shot("picture")
    (job,) = editor_server.get("/jobs").json["jobs"]
    assert job["status"] == "completed" and job["outputs_count"] == 1
    assert editor.outside == []
    assert not [text for text in editor.complaints if "Content Security Policy" not in text], editor.complaints
    tabs = editor.page.locator(".side-tool-bar-container").inner_text()
    assert "Model" not in tabs
    assert not editor.page.get_by_test_id("login-button").is_visible()


def test_problems_turn_their_node_red_with_a_sentence_that_helps(editor, saved, workflow):
    prompt = workflow()
    del prompt["2"]["inputs"]["grain"]
    editor.load(saved(prompt))
    editor.run()
    editor.page.get_by_text("the input is required; expected a wire").first.wait_for()
    editor.shot("problem")
    assert editor.page.evaluate("app.graph.nodes.filter(node => node.has_errors).map(node => String(node.id))") == ["2"]


def test_a_failing_node_is_shown_with_our_words(editor, saved, workflow):
    prompt = workflow()
    prompt["2"] = {"class_type": "GlidewireTinyFail", "inputs": {"grain": ["1", 0]}}
    editor.load(saved(prompt))
    editor.run()
    editor.page.get_by_text("the tiny node fails; expected success; got failure. It always does.").first.wait_for()
    editor.shot("failure")


def test_progress_and_preview_are_seen_and_cancel_stops_the_run(editor, saved, endless, editor_server):
    editor.load(saved(endless))
    editor.run()
    editor.wait("app.graph.getNodeById(2).imgs?.length > 0")
    editor.page.get_by_text("1 active").wait_for()
    editor.shot("progress")
    editor.page.get_by_label("Cancel current run").click()
    job = editor_server.get("/jobs?limit=1").json["jobs"][0]
    assert editor_server.wait(job["id"])["status"] == "cancelled"


def test_a_workflow_is_saved_and_found_again_after_a_reload(editor, saved, workflow, editor_server):
    editor.load(saved(workflow()))
    kept = editor_server.server.user / "files" / "workflows" / "mine.json"
    editor.page.keyboard.press("Control+s")
    name = editor.page.get_by_role("dialog").get_by_role("textbox")
    name.fill("mine")
    name.press("Enter")
    for _ in range(600):
        if kept.is_file():
            break
        editor.page.wait_for_timeout(100)
    assert {node["type"] for node in json.loads(kept.read_text())["nodes"]} == {
        "GlidewireTinyNoise",
        "GlidewireTinySteps",
        "GlidewireTinyKeep",
    }
    editor.page.reload()
    editor.wait("window.app?.graph?.nodes?.length === 3")
    editor.shot("reload")
