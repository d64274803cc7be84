"""An update under a running process is noticed, and said where something fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.registry import Registry
from glidewire.interfaces import sources
from glidewire.interfaces.comfyui import execution, prompts
from glidewire.interfaces.surroundings import ROOT


@pytest.fixture
def pack(tmp_path: Path) -> Iterator[Path]:
    """A package of two modules, with tests and hidden folders beside."""
    root = tmp_path / "pack"
    for name in ("__init__.py", "nodes/__init__.py", "nodes/values.py", "tests/test_values.py", ".git/hook.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("value = 1\n")
    sources.forget()
    sources.remember("ComfyUI", root)
    yield root
    sources.forget()


def look_again() -> str | None:
    sources._looked = (float("-inf"), None)
    return sources.restart_advice()


def test_nothing_is_said_of_what_stayed_the_same_and_of_a_process_that_never_asked(pack):
    (pack / "tests" / "test_values.py").write_text("other = 2\n")
    (pack / "README.md").write_text("new")
    (pack / ".git" / "hook.py").unlink()
    assert look_again() is None
    sources.forget()
    assert sources.restart_advice() is None


def test_files_that_changed_came_or_went_are_counted_and_one_is_named(pack):
    (pack / "nodes" / "values.py").write_text("value = 12\n")
    said = "Files of glidewire have changed since ComfyUI was started (nodes/values.py): restart ComfyUI."
    assert look_again() == said
    sources.remember("another", pack)  # the first start counts
    (pack / "nodes" / "new.py").touch()
    (pack / "nodes" / "__init__.py").unlink()  # the folder is no package any more
    assert "(nodes/__init__.py and 1 more)" in (look_again() or "")


def test_the_same_bytes_written_again_at_another_time_count(pack):
    os.utime(pack / "nodes" / "values.py", (1, 1))
    assert "nodes/values.py" in (look_again() or "")


def test_the_packs_own_modules_are_looked_at():
    found = sources._state(ROOT)
    assert {"__init__.py", "interfaces/sources.py", "models/glide/network.py"} <= set(found)
    assert not [name for name in found if name.startswith(("tests/", "."))]


@pytest.mark.parametrize(
    ("node", "says"), [("TinyCrash", "KeyError: 'nothing'. "), ("TinyFail", "the tiny node fails")]
)
def test_a_node_that_fails_in_a_host_after_an_update_says_to_restart_it(pack, registry: Registry, tiny, node, says):
    declaration = registry.get(f"Glidewire{node}")
    grain = tiny.tiny_noise.declaration.function(count=2)
    with pytest.raises((KeyError, GlidewireError)) as before:
        execution.execute(declaration, grain=grain)
    assert "restart" not in str(before.value)
    (pack / "nodes" / "values.py").write_text("value = 12\n")
    look_again()
    with pytest.raises(GlidewireError) as after:
        execution.execute(declaration, grain=grain)
    assert says in str(after.value) and str(after.value).endswith("(nodes/values.py): restart ComfyUI.")


def test_nothing_is_kept_of_what_old_and_new_modules_make_together(pack, monkeypatch, caplog):
    prompt = {"1": {"class_type": "GlidewireSeed", "inputs": {"value": 3}}}
    monkeypatch.setattr(prompts, "_running", lambda prompt_id: prompt)
    prompts.forget()
    assert prompts.keys_of("before") is not None
    (pack / "nodes" / "values.py").write_text("value = 12\n")
    look_again()
    assert prompts.keys_of("after") is None
    assert "restart ComfyUI. Until then no results are kept." in caplog.text
    prompts.forget()
