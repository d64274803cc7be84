"""A server over the pack's nodes with the official editor in a real browser; one page for all tests of a file."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("comfyui_frontend_package", reason="the editor is the extra serve")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from aiohttp import web
from glidewire.graph_runtime.formats import to_saved
from glidewire.graph_runtime.graph import Graph
from glidewire.interfaces.server.application import make_application, open_server
from glidewire.interfaces.session import Session, pack_registry
from playwright.sync_api import sync_playwright

CHROMIUM = next((path for path in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if path.exists()), None)
PATIENCE = 600_000  # milliseconds: many machines have one slow core for all of this


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)


class Editor:
    """The page, and what a user does on it."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.outside: list[str] = []
        self.broken: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("dialog", lambda dialog: dialog.accept())  # leaving a page with changes
        page.on("request", lambda request: self._asked(request.url))
        page.on("pageerror", lambda error: self.broken.append(str(error)))

    def _asked(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.outside.append(url)

    def open(self) -> None:
        self.page.goto(self.url)
        self.wait("window.app?.graph?.nodes?.length > 0 && document.querySelector('[data-testid=queue-button]')")
        self.wait("app.graph.nodes.some(node => node.glidewireMark?.text)")

    def wait(self, condition: str) -> None:
        self.page.wait_for_function(condition, timeout=PATIENCE)

    def js(self, code: str, argument: Any = None) -> Any:
        return self.page.evaluate(code, argument)

    def load(self, graph: Graph) -> None:
        """Load a workflow, and look at all of it at a scale at which everything is drawn."""
        self.js("document => app.loadGraphData(document)", to_saved(graph, pack_registry()))
        self.wait(f"app.graph.nodes.length === {len(graph.calls)}")
        self.js(
            """() => {
              app.graph.nodes.forEach((node, index) => {
                node.pos = [410 * (index % 4) + 90, 330 * Math.floor(index / 4) + 150]
              })
              app.canvas.ds.scale = 0.85; app.canvas.ds.offset = [0, 0]; app.canvas.setDirty(true, true)
            }"""
        )

    def mark(self, title: str) -> str:
        """What stands on a node's mark."""
        return self.js("title => app.graph.nodes.find(node => node.title === title).glidewireMark.text", title)

    def marked(self, title: str, start: str) -> None:
        """Wait until a node's mark begins with a text."""
        self.wait(f"app.graph.nodes.find(n => n.title === {title!r})?.glidewireMark?.text.startsWith({start!r})")

    def set(self, title: str, widget: str, value: Any) -> None:
        """Set a widget as an edit does."""
        self.js(
            """([title, name, value]) => {
              const node = app.graph.nodes.find(node => node.title === title)
              const widget = node.widgets.find(widget => widget.name === name)
              widget.value = value
              widget.callback?.(value)
              app.extensionManager.workflow.activeWorkflow.changeTracker.checkState?.()
              app.api.dispatchCustomEvent('graphChanged', {})
            }""",
            [title, widget, value],
        )

    def slot(self, title: str, name: str, *, is_input: bool) -> tuple[float, float]:
        """Where a slot is on the screen."""
        x, y = self.js(
            """([title, name, isInput]) => {
              const node = app.graph.nodes.find(node => node.title === title)
              const slots = isInput ? node.inputs : node.outputs
              const index = slots.findIndex(slot => slot.name === name)
              const place = isInput ? node.getInputPos(index) : node.getOutputPos(index)
              const box = app.canvas.canvas.getBoundingClientRect(), { scale, offset } = app.canvas.ds
              return [(place[0] + offset[0]) * scale + box.left, (place[1] + offset[1]) * scale + box.top]
            }""",
            [title, name, is_input],
        )
        return x, y

    def over_mark(self, title: str) -> tuple[float, float]:
        """Where a node's mark is on the screen."""
        x, y = self.js(
            """title => {
              const node = app.graph.nodes.find(node => node.title === title)
              const [left, top, width, height] = node.glidewireMark.boundingRect
              const box = app.canvas.canvas.getBoundingClientRect(), { scale, offset } = app.canvas.ds
              const [x, y] = [node.pos[0] + left + width / 2, node.pos[1] + top + height / 2]
              return [(x + offset[0]) * scale + box.left, (y + offset[1]) * scale + box.top]
            }""",
            title,
        )
        return x, y

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag the pointer as a hand does: not all at once, and with time to see what lights up."""
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
        self.page.wait_for_timeout(1500)
        mouse.move(*end, steps=4)
        self.shot("dragging")
        mouse.up()

    def links(self, title: str, name: str) -> bool:
        """Whether an input has a wire."""
        return self.js(
            """([title, name]) => {
              const node = app.graph.nodes.find(node => node.title === title)
              return Boolean(node.getInputLink(node.inputs.findIndex(input => input.name === name)))
            }""",
            [title, name],
        )

    def shot(self, name: str) -> None:
        """Keep a screenshot, where $GLIDEWIRE_SCREENSHOTS names a folder."""
        if folder := os.environ.get("GLIDEWIRE_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"editor-{name}.png")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server over the pack's nodes answers."""
    folder = tmp_path_factory.mktemp("serve")
    (folder / "input").mkdir()
    session = Session.open(inputs=[folder / "input"], output=folder / "output", device="cpu", cache=None)
    server = open_server(session, user=folder / "user")
    loop, ready, ports = asyncio.new_event_loop(), threading.Event(), list[int]()

    def work() -> None:
        asyncio.set_event_loop(loop)
        runner = web.AppRunner(make_application(server), access_log=None, shutdown_timeout=1)
        loop.run_until_complete(runner.setup())
        loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
        ports.append(runner.addresses[0][1])
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(60)
    yield f"http://127.0.0.1:{ports[0]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)


@pytest.fixture(scope="module")
def page(url: str) -> Iterator[Editor]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1500, "height": 950})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        editor = Editor(context.new_page(), url)
        editor.open()
        yield editor
        browser.close()
