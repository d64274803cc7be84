"""The bridges inside of a real ComfyUI, where $GLIDEWIRE_COMFYUI names its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
COMFYUI = os.environ.get("GLIDEWIRE_COMFYUI", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not COMFYUI, reason="GLIDEWIRE_COMFYUI does not name the folder of a ComfyUI"),
]


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """What the program inside of the host measured; $GLIDEWIRE_COMFYUI_PYTHON runs it, if set."""
    folder = tmp_path_factory.mktemp("host")
    python = os.environ.get("GLIDEWIRE_COMFYUI_PYTHON", sys.executable)
    done = subprocess.run(
        [python, str(Path(__file__).with_name("real_host.py")), COMFYUI, str(ROOT)],
        env={**os.environ, "GLIDEWIRE_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", ["EPS", "V_PREDICTION", "EDM", "FLOW"])
def test_our_sampler_walks_any_of_its_models_as_its_own_does(figures, kind):
    assert figures[kind] < 1e-5


@pytest.mark.parametrize("sampler", ["euler", "our solver"])
def test_its_samplers_walk_our_expressions_as_ours_do(figures, sampler):
    assert figures[sampler] < 1e-5


def test_gradients_pass_through_its_networks(figures):
    assert figures["gradients"] < 1e-2


def test_areas_of_its_conditions_act(figures):
    assert figures["area"] > 1e-3


@pytest.mark.parametrize("way", ["encoded", "decoded", "VAE again", "latent"])
def test_latents_and_pictures_cross_with_the_right_scale(figures, way):
    assert figures[way] < 1e-5 and figures["spaces"] == 1


@pytest.mark.parametrize("fact", ["known", "counted", "unloaded", "loaded again", "differentiable"])
def test_our_networks_are_in_its_memory_management(figures, fact):
    assert figures[fact]
