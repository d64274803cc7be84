"""Minis in eight bits: half the room, weights that moved by a sixteenth at most, the same metadata and loader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.header import read_header
from glidewire.models.unclip.model import load_prior
from glidewire.training.eight_bits import command, eight_bits
from hypothesis import given
from hypothesis import strategies as st

MINI = Path(__file__).parents[2] / "weights" / "mini-prior.safetensors"


@given(st.floats(min_value=-448, max_value=448, width=32))
def test_a_weight_moves_by_a_sixteenth_of_itself_or_by_a_thousandth(value: float) -> None:
    weight = torch.full((32, 32), value)
    found = eight_bits({"w": weight})["w"]
    assert found.dtype == torch.float8_e4m3fn
    assert abs(float(found.float()[0, 0]) - float(weight[0, 0])) <= max(2**-4 * abs(value), 2**-10)


def test_only_large_matrices_and_kernels_are_rounded() -> None:
    tensors = {"norm": torch.randn(4096), "small": torch.randn(4, 4), "ids": torch.arange(4096).reshape(64, 64)}
    found = eight_bits({**tensors, "kernel": torch.randn(16, 16, 3, 3)})
    assert all(found[name] is tensors[name] for name in tensors)
    assert found["kernel"].dtype == torch.float8_e4m3fn


def test_a_mini_in_eight_bits_is_half_as_large_and_nearly_the_same(tmp_path: Path) -> None:
    whole, half = MINI, tmp_path / "half.safetensors"
    command(whole, half)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    assert read_header(half).metadata == read_header(whole).metadata
    before, after = load_prior(whole), load_prior(half)
    assert after.network.spec == before.network.spec
    pairs = zip(before.network.parameters(), after.network.parameters(), strict=True)
    assert all(b.dtype == torch.float32 and float((a - b).norm()) <= 0.1 * float(a.norm()) + 1e-6 for a, b in pairs)


def test_a_file_may_be_replaced_by_its_half(tmp_path: Path) -> None:
    path = tmp_path / "mini.safetensors"
    path.write_bytes(MINI.read_bytes())
    command(path, path)
    assert torch.float8_e4m3fn in read_header(path).dtypes.values()


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.safetensors").write_bytes(b"no")
    with pytest.raises(GlidewireError, match=r"no\.safetensors"):
        command(tmp_path / "no.safetensors", tmp_path / "out.safetensors")
    arguments = [sys.executable, "-m", "glidewire.training.eight_bits", "no.safetensors", "out.safetensors"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "no.safetensors" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out.safetensors").exists()


def test_a_torch_file_is_refused_for_its_names_are_nested(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(2), "b": torch.ones(2)}}, tmp_path / "other.pt")
    with pytest.raises(GlidewireError, match=r"checkpoint other\.pt is of another form; expected a safetensors file"):
        command(tmp_path / "other.pt", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
