"""The pages that are written from the workflows and the nodes are current, and name nothing that does not exist."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from glidewire.interfaces.session import pack_registry
from glidewire.models.published import PUBLISHED
from glidewire.workflows import gallery, systems
from glidewire.workflows.make import runnable
from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_of_systems_is_current() -> None:
    assert (DOCS / "systems.md").read_text() == systems.page(), "run: python -m glidewire.workflows.systems"


def test_every_node_of_the_systems_stands_in_it() -> None:
    named = {node for rows in systems.SYSTEMS.values() for row in rows for node in row.nodes.split()}
    registry = {declaration.name: declaration for declaration in pack_registry()}
    assert named <= set(registry)
    wanted = {name for name, declaration in registry.items() if declaration.category in systems.CATEGORIES}
    assert wanted - named == set(), "add them to a component in workflows/systems.py"


def test_its_checkpoints_and_golden_cases_exist() -> None:
    spec = importlib.util.spec_from_file_location("make_checkpoints", DOCS / "make_checkpoints.py")
    assert spec is not None and spec.loader is not None
    checkpoints = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checkpoints)
    cases = checkpoints.CASES
    for rows in systems.SYSTEMS.values():
        for row in rows:
            assert set(row.published.split()) <= set(PUBLISHED) and set(row.parity.split()) <= set(cases)


def test_the_page_of_workflows_is_current() -> None:
    assert (DOCS / "workflows.md").read_text() == gallery.page(), "run: python -m glidewire.workflows.gallery"


def test_every_task_has_a_picture_of_a_size_for_a_page() -> None:
    for name in runnable():
        if "/" not in name:
            path = gallery.PICTURES / f"{name}.webp"
            assert path.stat().st_size <= gallery.MOST_BYTES
            with Image.open(path) as picture:
                assert picture.format == "WEBP" and min(picture.size) >= 128


def test_a_picture_that_is_too_large_is_saved_with_less_quality(tmp_path: Path) -> None:
    noise = Image.effect_noise((900, 900), 90).convert("RGB")
    gallery.save(noise, tmp_path / "a" / "noise.webp")
    assert (tmp_path / "a" / "noise.webp").stat().st_size <= gallery.MOST_BYTES
