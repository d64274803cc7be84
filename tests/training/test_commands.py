"""The commands' options and errors: one line, exit code 1, no traceback."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path

import pytest
import typer
from glidewire.errors import GlidewireError
from glidewire.training import autoencoder, evaluate
from glidewire.training.commands import device_named, recipe_command, run_command
from glidewire.training.pool import Pool
from glidewire.training.run import Course
from safetensors import safe_open
from typer.testing import CliRunner


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.safetensors"], "none.safetensors"),
        (
            ["none.safetensors", "--device", "abacus"],
            "expected cpu, or cuda where there is a GPU; got 'abacus'",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate", *arguments])
    with pytest.raises(SystemExit) as stopped:
        run_command(evaluate.main)
    told = capsys.readouterr().err
    assert stopped.value.code == 1
    assert message in told and "Traceback" not in told
    assert list(tmp_path.iterdir()) == []


def test_unknown_solvers_and_scales_are_refused() -> None:
    with pytest.raises(GlidewireError, match=r"solver.*ancestral or ddim.*euler"):
        evaluate.Sampling(solver="euler")
    with pytest.raises(GlidewireError, match=r"--scales.*numbers with commas.*1;2"):
        evaluate.main(Path("none.safetensors"), scales="1;2")


def test_devices_that_are_here_are_found() -> None:
    assert device_named("cpu").type == "cpu"
    with pytest.raises(GlidewireError, match="got 'cuda:99'"):
        device_named("cuda:99")


def test_a_recipe_is_told_shared_options_and_its_own(tmp_path: Path, small_pool: Pool, scenes: Path) -> None:
    shared = ["--out", str(tmp_path), "--steps", "1", "--pool", "12", "--scenes", str(scenes), "--threads", "1"]
    command = recipe_command(autoencoder.lesson, autoencoder.AutoencoderCourse)
    told = list(inspect.signature(command).parameters)
    assert told[:4] == ["out", "kind", "start", "edge_weight"] and told.count("start") == 1
    app = typer.Typer()
    app.command()(command)
    found = CliRunner().invoke(app, [*shared, "--kind", "kl", "--edge-weight", "0.25", "--seed", "3"])
    assert found.exit_code == 0, found.output
    with safe_open(tmp_path / "mini-kl-f4.safetensors", "pt") as file:
        recipe = json.loads(file.metadata()["glidewire.recipe"])
    assert (recipe["steps"], recipe["pool_size"], recipe["edge_weight"], recipe["seed"]) == (1, 12, 0.25, 3)


@pytest.mark.parametrize(
    "name",
    [
        "autoregressive_prior",
        "clip",
        "inpainting",
        "latent",
        "latent_editing",
        "noised_clip",
        "paella",
        "prior",
        "unclip",
        "upsampling",
    ],
)
def test_every_recipe_explains_its_options(name: str) -> None:
    recipe = importlib.import_module(f"glidewire.training.{name}")
    own = (kind for kind in vars(recipe).values() if isinstance(kind, type) and kind.__module__ == recipe.__name__)
    (course,) = (kind for kind in own if issubclass(kind, Course))
    app = typer.Typer()
    app.command()(recipe_command(recipe.lesson, course))
    found = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"})
    assert found.exit_code == 0 and "--scenes" in found.output and "go on with the run in OUT" in found.output
    assert f"[default: {course.minutes}]" in found.output and f"[default: {course.pool_size}]" in found.output
