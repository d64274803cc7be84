"""Strict loading: nothing missing, nothing left over, or the complete list of what is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from glidewire.models.header import read_header
from glidewire.models.key_map import renamed
from glidewire.models.strict import StrictLoadError, load_strict
from safetensors.torch import save_file
from torch import nn

MAP = (*renamed("blocks.0", "first"), *renamed("blocks.1", "second"))


def build(device: str = "meta") -> nn.Module:
    with torch.device(device):
        return nn.ModuleDict({"first": nn.Linear(2, 3), "second": nn.Linear(3, 1)})


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    shapes = {"blocks.0.weight": (3, 2), "blocks.0.bias": (3,), "blocks.1.weight": (1, 3), "blocks.1.bias": (1,)}
    return {key: torch.randn(shape) for key, shape in shapes.items()}


def load(tensors: dict[str, torch.Tensor], folder: Path, **options: object) -> nn.Module:
    save_file(tensors, folder / "m.safetensors")
    module = build()
    load_strict(module, read_header(folder / "m.safetensors"), MAP, **options)
    return module


def test_fills_a_module_that_held_no_memory(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    with torch.inference_mode():  # as the runtime may call it
        module = load(tensors, tmp_path)
    for (name, value), expected in zip(module.named_parameters(), tensors.values(), strict=True):
        assert torch.equal(value, expected), name
        assert not value.requires_grad and not value.is_inference()
    # Weights outlive the file that they came from.
    (tmp_path / "m.safetensors").write_bytes(b"gone")
    assert torch.equal(module["first"].weight, tensors["blocks.0.weight"])


def test_converts_floats_on_the_way(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    module = load(tensors, tmp_path, dtype=torch.bfloat16)
    assert {value.dtype for value in module.parameters()} == {torch.bfloat16}
    assert torch.equal(module["second"].bias, tensors["blocks.1.bias"].bfloat16())


def test_tables_that_no_file_carries_go_where_the_weights_go(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "m.safetensors")
    module = build()
    module.register_buffer("causal", torch.ones(2), persistent=False)
    load_strict(module, read_header(tmp_path / "m.safetensors"), MAP, device="meta")
    assert {value.device.type for value in (*module.parameters(), *module.buffers())} == {"meta"}


def test_lists_everything_that_does_not_fit(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    tensors["blocks.O.weight"] = tensors.pop("blocks.0.weight")
    tensors["extra.scale"] = torch.zeros(2)
    tensors["blocks.1.bias"] = torch.zeros(4)
    with pytest.raises(StrictLoadError) as error:
        load(tensors, tmp_path)
    assert error.value.missing == ("blocks.0.weight",)
    assert set(error.value.unexpected) == {"blocks.O.weight", "extra.scale"}
    assert error.value.misshaped == {"blocks.1.bias": ((1,), (4,))}
    text = str(error.value)
    assert "checkpoint m.safetensors does not fit its network: 1 missing, 2 unexpected, 1 of another shape" in text
    assert "blocks.0.weight: did the file mean blocks.O.weight?" in text
    assert "extra: scale" in text
    assert "blocks.1.bias: expected [1], got [4]" in text


def test_a_refused_file_changes_nothing(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    del tensors["blocks.1.bias"]
    save_file(tensors, tmp_path / "m.safetensors")
    module = build("cpu")
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(StrictLoadError):
        load_strict(module, read_header(tmp_path / "m.safetensors"), MAP)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_declared_leftovers_are_ignored(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    tensors["loss.logvar"] = torch.zeros(1)
    load(tensors, tmp_path, ignored=("loss.",))
    with pytest.raises(StrictLoadError, match=r"loss: logvar"):
        load(tensors, tmp_path)


def test_a_wrong_file_of_many_keys_is_told_quickly(tmp_path: Path) -> None:
    many = {f"layers.{index}.weight": torch.zeros(1) for index in range(3000)}
    with pytest.raises(StrictLoadError) as error:
        load(many, tmp_path)
    assert len(error.value.unexpected) == 3000
    assert len(error.value.missing) == 4
