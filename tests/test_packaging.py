"""What a wheel carries: every folder of modules, and every file beside them that the pack reads."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {"tests", "docs", "build", "dist", "output", "runs", "node_modules"}


@pytest.fixture(scope="module")
def setuptools() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def ours(pattern: str) -> list[Path]:
    paths = (path.relative_to(ROOT) for path in ROOT.rglob(pattern) if path.is_file())
    return [path for path in paths if path.parts[0] not in ELSEWHERE and not path.parts[0].startswith(".")]


def carried(setuptools: dict) -> set[Path]:
    """The files beside modules that the wheel takes along."""
    patterns = setuptools["package-data"]["glidewire"]
    return {path.relative_to(ROOT) for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}


def test_every_module_is_in_a_wheel(setuptools: dict) -> None:
    packages = {Path(*name.split(".")[1:]) for name in setuptools["packages"]}
    left_out = {path.parent for path in ours("*.py")} - packages - {path.parent for path in carried(setuptools)}
    assert left_out == set(), "add them to [tool.setuptools] packages"
    assert {folder for folder in packages if not (ROOT / folder / "__init__.py").is_file()} == set()


def test_every_file_beside_the_modules_is_in_a_wheel(setuptools: dict) -> None:
    beside = {path for path in ours("*") if len(path.parts) > 1 and path.suffix not in (".py", ".pyc")}
    beside = {path for path in beside if not path.parts[0].endswith(".egg-info")}
    assert beside - carried(setuptools) == set(), "add them to [tool.setuptools.package-data]"
    for name in ("py.typed", "weights/mini-glide-base.safetensors", "workflows/text-to-image.json"):
        assert Path(name) in carried(setuptools)
