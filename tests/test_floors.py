"""The house rule: a room imports only from the floors below its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {
    "errors": 0,
    "digests": 0,
    "diffusion": 1,
    "scenes": 1,
    "metrics": 1,
    "models": 2,
    "graph_runtime": 3,
    "nodes": 4,
    "training": 4,
    "interfaces": 5,
}
STRANGERS = [
    {"diffusion", "graph_runtime"},
    {"models", "graph_runtime"},
    {"scenes", "graph_runtime"},
    {"metrics", "graph_runtime"},
]


def _imported_rooms(path: Path) -> set[str]:
    """The rooms of this package that a module imports, whether at its top or inside a function."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            rooms |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("glidewire.")}
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".") if node.module else []
            if node.level:
                base = list(parts[: len(parts) - node.level])
                targets = [base + module] if module else [[*base, alias.name] for alias in node.names]
            else:
                targets = [module[1:]] if module[:1] == ["glidewire"] else []
            rooms |= {target[0] for target in targets if target}
    return rooms & set(FLOORS)


def _modules() -> list[Path]:
    return sorted(
        path
        for room in FLOORS
        for path in ([ROOT / f"{room}.py"] if (ROOT / f"{room}.py").is_file() else (ROOT / room).rglob("*.py"))
    )


@pytest.mark.parametrize("path", _modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_downward(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for imported in _imported_rooms(path) - {room}:
        ground = FLOORS[imported] == FLOORS[room] == 0
        assert ground or FLOORS[imported] < FLOORS[room], f"{path.name} on floor {FLOORS[room]} imports {imported}"
        assert {room, imported} not in STRANGERS, f"{room} and {imported} must not know each other"


def test_the_walk_sees_upward_imports(tmp_path: Path) -> None:
    module = ROOT / "diffusion" / "__init__.py"
    assert _imported_rooms(ROOT / "nodes" / "guidance.py") >= {"diffusion", "graph_runtime"}
    assert _imported_rooms(module) == set()


def test_every_import_inside_the_package_is_relative() -> None:
    for path in [*_modules(), ROOT / "__init__.py"]:
        assert "import glidewire" not in path.read_text().replace("`import glidewire`", ""), path
