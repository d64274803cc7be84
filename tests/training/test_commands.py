"""The commands' errors: one line, exit code 1, no traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from glidewire.errors import GlidewireError
from glidewire.training import evaluate
from glidewire.training.commands import device_named, run_command


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
