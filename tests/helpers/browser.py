"""A real browser for tests: one Chromium per worker, and the official editor on a page where every wait ends.

Playwright ends most waits by itself, but not all: evaluating code, the keyboard and the mouse wait for the page for
ever. So code that is evaluated gets a time limit within the page, and whoever is stuck for a whole test loses the
browser, which ends every wait in an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

STARTING = 300_000
"""Milliseconds to open the editor, or to load and run a model: minutes on one slow core with much else to do."""
ACTING = 120_000
"""Milliseconds for one thing to come about on the page."""
WHOLE = 600
"""Seconds for one test with its fixtures; then the browser is taken away."""

_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--mute-audio",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-component-update",
    "--disable-background-networking",
    # A page behind another one is not slowed down.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-ipc-flooding-protection",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
)


class Chromium:
    """A Chromium process without a window, which can be ended whatever its pages do.

    Attributes:
        address: Where it is driven from.
    """

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        self._told = (folder / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            [CHROMIUM, *_ARGUMENTS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=self._told,
            stderr=self._told,
        )
        self.address = self._address(folder / "chromium.log")

    def _address(self, log: Path) -> str:
        until = time.monotonic() + STARTING / 1000
        while time.monotonic() < until and self._process.poll() is None:
            if found := re.search(r"DevTools listening on ws://(\S+?)/", log.read_text(errors="replace")):
                return f"http://{found[1]}"
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"{CHROMIUM} does not start:\n{log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.wait(30)
        self._told.close()

    @property
    def lives(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """The browser of this worker; skips where none is installed."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with tempfile.TemporaryDirectory(prefix="glidewire-chromium-", ignore_cleanup_errors=True) as folder:
        found = Chromium(Path(folder))
        yield found
        found.kill()


@contextmanager
def ending(chromium: Chromium, seconds: float = WHOLE) -> Iterator[None]:
    """Take the browser away if what happens within takes longer, so that no wait is for ever."""
    timer = threading.Timer(seconds, chromium.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    assert chromium.lives, f"the page gave no answer for {seconds:g} seconds, and the browser was ended"


@contextmanager
def open_editor(chromium: Chromium, url: str, *, width: int = 1500, height: int = 950) -> Iterator[Editor]:
    """The editor of a server on a page of its own, with an empty profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        browser = running.chromium.connect_over_cdp(chromium.address, timeout=STARTING)
        context = browser.new_context(viewport={"width": width, "height": height})
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
        editor = Editor(context.new_page(), url)
        with ending(chromium):
            editor.open()
        yield editor
        if chromium.lives:
            with ending(chromium, 60):
                context.close()


class Editor:
    """The editor, and what a user does on it.

    Attributes:
        page: Playwright's page.
        outside: Addresses it asked that are not the server's.
        complaints: Replies of 400 and more, errors on the console, errors that nobody caught.
    """

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.outside: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(ACTING)
        page.set_default_navigation_timeout(STARTING)
        page.on("dialog", lambda dialog: dialog.accept())  # leaving a page with changes
        page.on("request", lambda request: self._asked(request.url))
        page.on("response", lambda reply: reply.status >= 400 and self.complaints.append(f"{reply.status} {reply.url}"))
        page.on("console", lambda message: message.type == "error" and self._complained(message.text))
        page.on("pageerror", lambda error: self._complained(str(error)))

    def _asked(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.outside.append(url)

    def _complained(self, text: str) -> None:
        # The first is told with its address by the reply; the second is a test's own looking, too early, at `app`.
        if not text.startswith(("Failed to load resource", "ComfyApp graph accessed before initialization")):
            self.complaints.append(text)

    def open(self, path: str = "") -> None:
        """Open the editor, and wait until it shows a workflow."""
        self.page.goto(self.url + path)
        self.wait(
            "window.app?.graph?.nodes?.length > 0 && document.querySelector('[data-testid=queue-button]')",
            milliseconds=STARTING,
        )

    def wait(self, condition: str, argument: Any = None, milliseconds: int = ACTING) -> None:
        """Wait until an expression, or a function of the argument, is true."""
        self.page.wait_for_function(condition, arg=argument, timeout=milliseconds, polling=100)

    def js(self, code: str, argument: Any = None) -> Any:
        """What an expression, or a function of the argument, comes to, within a time limit."""
        return self.page.evaluate(
            """async ([code, argument, limit]) => {
              const made = (0, eval)(`(${code})`)
              const late = new Promise((_, fail) => setTimeout(() => fail(new Error(`no answer to ${code}`)), limit))
              return Promise.race([typeof made === 'function' ? made(argument) : made, late])
            }""",
            [code, argument, ACTING],
        )

    def load(self, document: dict[str, Any]) -> None:
        """Load a saved workflow, and look at all of it at a scale at which everything is drawn."""
        self.js("document => app.loadGraphData(document)", document)
        self.wait(f"app.graph.nodes.length === {len(document['nodes'])}")
        self.js(
            """() => {
              app.graph.nodes.forEach((node, index) => {
                node.pos = [410 * (index % 4) + 90, 330 * Math.floor(index / 4) + 150]
              })
              app.canvas.ds.scale = 0.85; app.canvas.ds.offset = [0, 0]; app.canvas.setDirty(true, true)
            }"""
        )

    def run(self) -> None:
        """Click on Run."""
        self.page.get_by_test_id("queue-button").click()

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

    def mark(self, title: str) -> str:
        """What stands on a node's mark."""
        return self.js("title => app.graph.nodes.find(node => node.title === title).glidewireMark.text", title)

    def marked(self, title: str, *starts: str, milliseconds: int = ACTING) -> None:
        """Wait until a node's mark begins with one of the texts."""
        self.wait(
            """([title, starts]) => {
              const text = app.graph.nodes.find(node => node.title === title)?.glidewireMark?.text
              return text && starts.some(start => text.startsWith(start))
            }""",
            [title, starts],
            milliseconds,
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
        """Drag a wire as a hand does: the server has said where it does not fit before it is let go of."""
        mouse = self.page.mouse
        mouse.move(*start)
        with self.page.expect_response("**/glidewire/misfits"):
            mouse.down()
            mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
        mouse.move(*end, steps=4)
        self.shot("editor-dragging")
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

    def shot(self, name: str) -> Path | None:
        """Keep a screenshot, where $GLIDEWIRE_SCREENSHOTS names a folder."""
        folder = os.environ.get("GLIDEWIRE_SCREENSHOTS")
        return self._keep(Path(folder) / f"{name}.png") if folder else None

    def _keep(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path, timeout=20_000)
        return path

    def report(self, name: str) -> str:
        """What to know of the page when a test has failed: a screenshot, and what it complained of."""
        folder = os.environ.get("GLIDEWIRE_SCREENSHOTS") or tempfile.mkdtemp(prefix="glidewire-failed-")
        try:
            said = f"screenshot: {self._keep(Path(folder) / f'failed-{name}.png')}"
        except Exception as problem:
            said = f"no screenshot: {str(problem).splitlines()[0]}"
        return "\n".join([f"the page at {self.page.url}", said, *self.complaints[-10:]])


@pytest.fixture(autouse=True)
def _every_wait_ends(request: pytest.FixtureRequest) -> Iterator[None]:
    """In tests of a page: whoever is stuck for the whole time loses the browser."""
    if "chromium" not in request.fixturenames:
        yield
        return
    with ending(request.getfixturevalue("chromium")):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A test that fails on a page leaves a screenshot of it."""
    report = (yield).get_result()
    editor = next((one for one in getattr(item, "funcargs", {}).values() if isinstance(one, Editor)), None)
    if report.failed and editor is not None:
        name = re.sub(r"\W+", "-", item.name)[:80]
        report.sections.append(("page", editor.report(name)))
