"""The mean of two minis: half-way between them, under the first one's name, and refused where they do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.header import read_header
from glidewire.training.average import command
from safetensors.torch import load_file, save_file


def test_the_mean_lies_half_way_and_keeps_what_is_no_number(tmp_path: Path) -> None:
    first, second, out = (tmp_path / f"{name}.safetensors" for name in ("a", "b", "out"))
    count = torch.tensor([3])
    save_file({"model.w": torch.full((2, 2), 1.0).half(), "model.n": count}, first, metadata={"who": "a"})
    save_file({"model.w": torch.full((2, 2), 4.0), "model.n": count + 1}, second)
    command(first, second, out)
    found = load_file(out)
    assert torch.equal(found["model.w"], torch.full((2, 2), 2.5).half()) and torch.equal(found["model.n"], count)
    assert read_header(out).metadata == {"who": "a"}


def test_another_network_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    first, second, out = (tmp_path / f"{name}.safetensors" for name in ("a", "b", "out"))
    save_file({"w": torch.zeros(2, 2)}, first)
    save_file({"w": torch.zeros(2, 3)}, second)
    with pytest.raises(GlidewireError, match=r"a\.safetensors and b\.safetensors are not one network's"):
        command(first, second, out)
    assert not out.exists()
