"""Fixtures of the runtime's tests: tiny real nodes, and a bench to run graphs of them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("glidewire", deadline=None)  # a busy machine is no failure
settings.load_profile("glidewire")

_NODES = Path(__file__).parent / "runtime_nodes.py"


def _load() -> ModuleType:
    """The helper module, loaded once for all tests of a process (its socket types may be registered only once)."""
    if "runtime_nodes" not in sys.modules:
        spec = importlib.util.spec_from_file_location("runtime_nodes", _NODES)
        assert spec is not None and spec.loader is not None
        module = sys.modules["runtime_nodes"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["runtime_nodes"]


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module of tiny nodes: `tiny.graph(...)`, `tiny.chain(...)`, `tiny.RAN`."""
    return _load()


@pytest.fixture
def make_bench(tiny: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """Make a bench over this test's folder; the arguments are those of `Cache`."""
    return lambda **options: tiny.bench(tmp_path, **options)


@pytest.fixture
def bench(make_bench: Callable[..., Any]) -> Any:
    """A bench whose cache is in memory only."""
    return make_bench()
