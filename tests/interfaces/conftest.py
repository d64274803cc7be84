"""The tiny nodes, and folders that keep every run of these tests out of the user's cache."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from glidewire.graph_runtime.declaration import NodeFunction
from glidewire.graph_runtime.registry import Registry


def _tiny_nodes() -> ModuleType:
    name = "tiny_interface_nodes"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("tiny_nodes.py"))
        assert spec and spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module of tiny nodes."""
    return _tiny_nodes()


@pytest.fixture(scope="session")
def registry(tiny: ModuleType) -> Registry:
    """The tiny nodes as a registry."""
    return Registry(value.declaration for value in vars(tiny).values() if isinstance(value, NodeFunction))


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLIDEWIRE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GLIDEWIRE_MODELS", raising=False)
