"""Fixtures that every room's tests share: golden data, and one thread per process so that workers do not fight."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import _every_wait_ends, chromium, pytest_runtest_makereport  # noqa: F401 - fixtures and a hook
from safetensors import safe_open

torch.set_num_threads(1)

_CHECKOUT = Path(__file__).resolve().parent.parent


def parity_folder() -> Path | None:
    """The folder of golden data: $GLIDEWIRE_PARITY, else shared/parity beside the checkout, else None."""
    named = os.environ.get("GLIDEWIRE_PARITY")
    folder = Path(named) if named else _CHECKOUT.parent / "shared" / "parity"
    return folder if folder.is_dir() else None


@dataclass(frozen=True)
class ParityCase:
    """One case of golden data: tensors under weights/, input/ and output/, and the recipe that made them."""

    path: Path

    @cached_property
    def metadata(self) -> dict[str, str]:
        with safe_open(self.path, "pt") as file:
            return dict(file.metadata())

    @cached_property
    def config(self) -> Any:
        return json.loads(self.metadata["config"])

    @cached_property
    def recipe(self) -> str:
        return self.metadata["recipe"]

    def tensors(self, prefix: str) -> dict[str, torch.Tensor]:
        """Every tensor under `prefix/`, by its name without the prefix; float16 weights become float32."""
        with safe_open(self.path, "pt") as file:
            found = {
                key.removeprefix(f"{prefix}/"): file.get_tensor(key)
                for key in file.keys()  # noqa: SIM118 - a safetensors handle cannot be iterated
                if key.startswith(f"{prefix}/")
            }
        return {key: value.float() if value.dtype == torch.float16 else value for key, value in found.items()}

    @cached_property
    def weights(self) -> dict[str, torch.Tensor]:
        return self.tensors("weights")

    @cached_property
    def inputs(self) -> dict[str, torch.Tensor]:
        return self.tensors("input")

    @cached_property
    def outputs(self) -> dict[str, torch.Tensor]:
        return self.tensors("output")

    def assert_close(self, name: str, actual: torch.Tensor) -> float:
        """Compare with output `name` at its own stated tolerance; returns the largest absolute difference."""
        expected = self.outputs[name]
        limits = json.loads(self.metadata["tolerance"])["per_output"][f"output/{name}"]
        assert tuple(actual.shape) == tuple(expected.shape), (
            f"{self.path.stem}/{name}: {tuple(actual.shape)} != {tuple(expected.shape)}"
        )
        if limits.get("exact"):
            assert torch.equal(actual.to(expected.dtype), expected), f"{self.path.stem}/{name}: must be exact"
            _record(self.path.stem, name, 0.0, 0.0)
            return 0.0
        error = (actual.double() - expected.double()).abs().max().item() if expected.numel() else 0.0
        assert error <= limits["max_abs"], f"{self.path.stem}/{name}: error {error:.3g} > {limits['max_abs']:.3g}"
        _record(self.path.stem, name, error, limits["max_abs"])
        return error


_REPORT: list[dict[str, object]] = []


def _record(case: str, output: str, error: float, tolerance: float) -> None:
    _REPORT.append({"case": case, "output": output, "error": error, "tolerance": tolerance})


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave the parity errors of this process in $GLIDEWIRE_PARITY_REPORT, from which docs/checkpoints.md is made."""
    folder = os.environ.get("GLIDEWIRE_PARITY_REPORT")
    if folder and _REPORT:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{os.getpid()}.json").write_text(json.dumps(_REPORT, indent=1))


@pytest.fixture(scope="session")
def parity() -> Callable[[str], ParityCase]:
    """Open one case of golden data by name; skips where the golden data is absent."""

    def open_case(name: str) -> ParityCase:
        # A small subset lies in the checkout itself, for where the full set is absent.
        folders = [folder for folder in (parity_folder(), _CHECKOUT / "tests" / "data") if folder]
        for folder in folders:
            path = folder / f"{name}.safetensors"
            if path.is_file():
                return ParityCase(path)
        pytest.skip(f"golden data has no case {name}: set GLIDEWIRE_PARITY to its folder")

    return open_case
