"""A file of the pack that is half saved, or a package that is missing: the host's log says which, and what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BROKEN = {
    "half-saved": "def broken(:\n    pass\n",
    "attribute": "import math\n\nprint(math.no_such_thing)\n",
    "package": "import a_package_that_nobody_has\n",
}
# What a host does with every pack: import it by path, ask whether it has nodes, show the exception's text.
PROGRAM = """
import importlib.util, json, sys

told = {}
for name, pack in json.loads(sys.argv[1]).items():
    try:
        spec = importlib.util.spec_from_file_location(name, pack + "/__init__.py", submodule_search_locations=[pack])
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        told[name] = "nodes" if hasattr(module, "NODE_CLASS_MAPPINGS") else "no nodes"
    except Exception as problem:
        told[name] = f"{type(problem).__name__}: {problem}"
print(json.dumps(told))
"""


def pack_with(folder: Path, source: str) -> Path:
    """The pack as links, but for one file of nodes."""
    (folder / "nodes").mkdir(parents=True)
    for path in (*ROOT.iterdir(), *(ROOT / "nodes").glob("*.py")):
        if path.suffix == ".py" or (path / "__init__.py").is_file():
            target = folder / path.relative_to(ROOT)
            target.exists() or target.symlink_to(path)
    (folder / "nodes" / "values.py").unlink()
    (folder / "nodes" / "values.py").write_text(source)
    return folder


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a host would log of each broken pack."""
    folder = tmp_path_factory.mktemp("packs")
    packs = {name: str(pack_with(folder / name, source)) for name, source in BROKEN.items()}
    command = [sys.executable, "-c", PROGRAM, json.dumps(packs)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_half_saved_file_is_named_with_its_line(told: dict[str, str]) -> None:
    assert told["half-saved"].startswith("ImportError: glidewire: nodes/values.py line 1 cannot be loaded (")
    assert "git status in" in told["half-saved"]


def test_a_file_that_fails_is_not_taken_for_a_pack_without_nodes(told: dict[str, str]) -> None:
    assert told["attribute"].startswith("ImportError: glidewire: nodes/values.py line 3 cannot be loaded (Attribute")


def test_a_missing_package_is_named_with_how_to_get_it(told: dict[str, str]) -> None:
    assert "the package a_package_that_nobody_has is not installed" in told["package"]
    assert "-m pip install -r" in told["package"] and "requirements.txt and restart" in told["package"]
