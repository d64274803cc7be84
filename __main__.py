"""`python -m glidewire`, and `python path/to/clone` without any installation."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path


def _register_clone() -> None:
    """Make the folder of this file importable as `glidewire`, and keep its rooms from shadowing other packages."""
    root = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != root]
    spec = importlib.util.spec_from_file_location(
        "glidewire", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["glidewire"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    if not __package__:
        _register_clone()
    importlib.import_module("glidewire.interfaces.cli").main()
