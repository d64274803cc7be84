"""The card of shipped weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.training.card import card
from glidewire.training.evaluate import Row
from safetensors.torch import save_file

ROWS = [
    Row(1.0, 8, 0.5, {"objects": 1.0, "shape": 0.625}, {"unseen object": 0.5}),
    Row(3.0, 8, 0.875, {"objects": 1.0, "shape": 0.9}, {"unseen object": 0.875}),
]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    metadata = {
        "glidewire.spec": '{"family": "glide"}',
        "glidewire.recipe": json.dumps({"minutes": 3.0, "pool_size": 12_000}),
        "glidewire.steps": "77",
    }
    save_file({"a": torch.zeros(1000, 3)}, tmp_path / "toy.safetensors", metadata)
    return tmp_path / "toy.safetensors"


def test_a_card_states_digest_recipe_and_figures(weights: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    sampling = {"spacing": "50", "solver": "ancestral", "batch": 50}
    figures.write_text(
        json.dumps({"prompts": 4, "images": 2, "sampling": sampling, "rows": [asdict(row) for row in ROWS]})
    )
    text = card(weights, figures, "python -m make", notes="By night.")
    assert text.startswith("# toy\n")
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in text
    for part in ("0.00 M parameters", "`python -m make`", "77 updates", "- minutes: 3.0", "12,000", "By night."):
        assert part in text
    assert "| guidance | everything | unseen object | objects | shape |" in text
    assert "4 held-out prompts, 2 pictures each, 50 steps of ancestral sampling" in text
    assert "| unguided | 50.0 | 50.0 | 100.0 | 62.5 |\n| 3 | 87.5 | 87.5 | 100.0 | 90.0 |" in text


def test_a_card_of_measures_states_them(weights: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    figures.write_text(json.dumps({"scenes": 40, "measures": {"everything": 0.975, "signal to noise": 31.26}}))
    text = card(weights, figures, "make")
    assert "40 fresh scenes" in text and "| everything | 97.5 % |\n| signal to noise | 31.3 dB |" in text
    figures.write_text(json.dumps({"scenes": 20, "measures": {"edge": -0.003, "edges of a picture": 0.95}}))
    assert "| edge | -0.003 |\n| edges of a picture | 95.0 % |" in card(weights, figures, "make")
    figures.write_text(json.dumps({"scenes": 100, "measures": {"picture of a caption": 1.0}}))
    assert "nearest caption" in card(weights, figures, "make")


def test_a_card_without_figures_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(GlidewireError, match=r"card: recipe or figures are missing.*FileNotFoundError"):
        card(weights, tmp_path / "none.json", "make")
