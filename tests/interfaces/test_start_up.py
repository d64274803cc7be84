"""Starting up: what only looks at files and workflows does not wait for the libraries that compute."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from glidewire.models.registry import ROOMS

MODEL = Path(__file__).resolve().parents[2] / "weights" / "mini-glide-base.safetensors"
# One process for all commands: what any of them imports is seen at the end.
PROGRAM = """
import json, sys
from glidewire.interfaces.cli import app

for command in json.loads(sys.argv[1]):
    app(command, standalone_mode=False)
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The modules that looking at files and workflows has imported, in a fresh process."""
    folder = tmp_path_factory.mktemp("start_up")
    commands = [
        ["check", "text-to-image"],
        ["plan", "text-to-image", "--cache", str(folder / "cache")],
        ["nodes"],
        ["models", "inspect", str(MODEL)],
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "glide text_to_image" in done.stdout
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("library", ["diffusers", "open_clip", "transformers", "torchvision", "scipy"])
def test_looking_at_files_and_workflows_does_not_import(imported: set[str], library: str) -> None:
    assert library not in imported


def test_every_family_was_asked(imported: set[str]) -> None:
    assert {f"glidewire.models.{room}.checkpoint" for room in ROOMS} <= imported
