"""A real server over the tiny nodes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the server needs the extra serve")
from glidewire.graph_runtime.registry import Registry
from glidewire.interfaces.server.access import Access
from glidewire.interfaces.server.application import open_server
from glidewire.interfaces.server.state import Server
from glidewire.interfaces.session import Session, pack_registry
from running_server import Running, serving


def make(folder: Path, registry: Registry, **options: Any) -> Server:
    """A server over some nodes, in folders of its own."""
    for name in ("input", "output"):
        (folder / name).mkdir(exist_ok=True)
    session = Session.open(
        registry=registry,
        inputs=[folder / "input"],
        output=folder / "output",
        device="cpu",
        cache=options.pop("cache", None),
    )
    return open_server(session, user=folder / "user", access=options.pop("access", Access()), **options)


@pytest.fixture
def make_server(tmp_path: Path, registry: Registry) -> Callable[..., Server]:
    """Makes servers over the tiny nodes in folders of this test."""
    return lambda **options: make(tmp_path, options.pop("registry", registry), **options)


@pytest.fixture(scope="module")
def editor_server(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Iterator[Running]:
    """One server for the tests of a module that look at it in a browser: the pack's nodes and the tiny ones."""
    with serving(make(tmp_path_factory.mktemp("editor"), Registry([*pack_registry(), *registry]))) as found:
        yield found


@pytest.fixture
def running(make_server: Callable[..., Server]) -> Iterator[Running]:
    """A server that runs."""
    with serving(make_server()) as found:
        yield found


@pytest.fixture
def run_server() -> Callable[[Server], Any]:
    """Runs a server that a test made itself."""
    return serving


def chain(steps: int = 3, count: int = 4, name: str = "grain", pause: float = 0.0) -> dict[str, Any]:
    """The API form of a small workflow: noise, some steps with previews, and a node that keeps the sum."""
    return {
        "1": {"class_type": "GlidewireTinyNoise", "inputs": {"count": count, "seed": 1}},
        "2": {"class_type": "GlidewireTinySteps", "inputs": {"grain": ["1", 0], "steps": steps, "pause": pause}},
        "3": {"class_type": "GlidewireTinyKeep", "inputs": {"grain": ["2", 0], "name": name}},
    }


@pytest.fixture
def endless() -> dict[str, Any]:
    """The API form of a workflow that would run for an hour: for tests that stop it."""
    return chain(steps=100_000, pause=0.04)


@pytest.fixture
def workflow() -> Callable[..., dict[str, Any]]:
    """Makes the API form of a small workflow."""
    return chain


@pytest.fixture
def bomb() -> bytes:
    """A small PNG that says it has 60,000 by 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
