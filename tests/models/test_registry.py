"""The registry: every room tells its family, and no family claims what is not its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from glidewire.models.header import read_header
from glidewire.models.registry import ROOMS, families
from safetensors.torch import save_file


def test_every_room_has_a_family_under_its_name() -> None:
    assert tuple(families()) == ROOMS


@pytest.mark.parametrize("room", ROOMS)
def test_a_family_leaves_other_tensors_alone(room: str, tmp_path: Path) -> None:
    save_file({"input_blocks.0.0.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "m")
    assert families()[room].recognise(read_header(tmp_path / "m"), {}) is None
