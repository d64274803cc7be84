"""A server over the pack's nodes with the official editor in a real browser; one page for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("comfyui_frontend_package", reason="the editor is the extra serve")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser import Chromium, Editor, open_editor
from glidewire.interfaces.server.application import open_server
from glidewire.interfaces.session import Session
from running_server import serving


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, chromium: Chromium) -> Iterator[Editor]:
    """The editor over the pack's nodes."""
    folder = tmp_path_factory.mktemp("serve")
    (folder / "input").mkdir()
    session = Session.open(inputs=[folder / "input"], output=folder / "output", device="cpu", cache=None)
    with (
        serving(open_server(session, user=folder / "user")) as running,
        open_editor(chromium, running.url) as editor,
    ):
        editor.wait("app.graph.nodes.some(node => node.glidewireMark?.text)")
        yield editor
