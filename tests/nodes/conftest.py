"""The materials of `examples.py`, shared by the tests of the nodes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def examples() -> ModuleType:
    name = "node_examples"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("examples.py"))
        assert spec is not None and spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def materials(examples: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Tiny real models and inputs."""
    return examples.Materials(tmp_path_factory.mktemp("examples"))
