"""Every kind of checkpoint, well and badly: each is read whatever it is wrapped in, or refused by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import Identity, StrictLoadError, identify, identify_all, load
from glidewire.models.conversion import component_to_safetensors
from glidewire.models.registry import families
from safetensors.torch import load_file, save_file
from tiny_checkpoints import TINY, tensors_of
from torch import Tensor

every_kind = pytest.mark.parametrize("kind", TINY)


def saved(kind: str, folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict) -> Path:
    """A safetensors file that carries its hyper-parameters, as minis do."""
    path = folder / "m.safetensors"
    save_file(change(tensors_of(kind)), path, metadata=TINY[kind].metadata)
    return path


def told(kind: str, path: Path, **stated: Any) -> Identity:
    return identify(path, component=TINY[kind].component, **stated)


def loaded(kind: str, path: Path, **options: Any) -> dict[str, Tensor]:
    return load(path, component=TINY[kind].component, **options).state_dict()


def refusal(kind: str, path: Path, **options: Any) -> str:
    """What loading a file is told; it must name the file, and be no crash of a library."""
    with pytest.raises(GlidewireError) as caught:
        loaded(kind, path, **options)
    assert path.name in str(caught.value)
    return str(caught.value)


@every_kind
def test_a_file_that_carries_its_hyper_parameters_tells_all_of_itself(kind: str, tmp_path: Path) -> None:
    tiny, path = TINY[kind], saved(kind, tmp_path)
    (identity,) = identify_all(path)
    assert (identity.family, identity.component, identity.layout) == (tiny.family, tiny.component, tiny.layout)
    assert identity.spec == tiny.spec and identity.dims
    assert loaded(kind, path)


@every_kind
@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: tensors,
        lambda tensors: {"state_dict": tensors, "global_step": 7},
        lambda tensors: {"ema": tensors, "model": {key: value + 1 for key, value in tensors.items()}},
        lambda tensors: {f"module.{key}": value for key, value in tensors.items()},
        lambda tensors: {"model": {f"_orig_mod.module.{key}": value for key, value in tensors.items()}, "epoch": 3},
    ],
    ids=["bare", "state_dict", "averaged", "module", "compiled and wrapped"],
)
def test_wrappers_of_torch_files_come_off(kind: str, wrap: Callable[[Any], Any], tmp_path: Path) -> None:
    tiny, stated = TINY[kind], TINY[kind].stated
    torch.save(wrap(tensors_of(kind)), tmp_path / "m.bin")
    assert told(kind, tmp_path / "m.bin", stated=stated).spec == tiny.spec
    expected, found = loaded(kind, saved(kind, tmp_path)), loaded(kind, tmp_path / "m.bin", stated=stated)
    assert expected.keys() == found.keys() and all(torch.equal(expected[key], found[key]) for key in expected)


@every_kind
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn], ids=str)
def test_stored_precisions_are_read(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    def shortened(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {key: value.to(dtype) if value.is_floating_point() else value for key, value in tensors.items()}

    found = loaded(kind, saved(kind, tmp_path, shortened))
    kept = families()[TINY[kind].family].exact
    assert all(value.dtype != dtype or name.startswith(kept) for name, value in found.items())
    expected = loaded(kind, saved(kind, tmp_path))
    for name, value in expected.items():
        if value.is_floating_point():
            assert torch.allclose(found[name].to(value.dtype), value, rtol=0.07, atol=0.01), name


@every_kind
def test_stated_hyper_parameters_are_written_into_a_copy(kind: str, tmp_path: Path) -> None:
    tiny = TINY[kind]
    torch.save(tensors_of(kind), tmp_path / "bare.pt")
    copy = tmp_path / "copy.safetensors"
    identity = told(kind, tmp_path / "bare.pt", stated=tiny.stated)
    if identity.header.part and identity.component == "class_embedder":
        # Its one tensor could be anybody's: only its place in a whole file tells what it is.
        with pytest.raises(GlidewireError, match="class_embedder cannot stand alone"):
            component_to_safetensors(identity, copy)
        assert not copy.exists()
        return
    assert component_to_safetensors(identity, copy) == len(load_file(copy))
    assert told(kind, copy).spec == tiny.spec and not told(kind, copy).assumed
    expected, found = loaded(kind, saved(kind, tmp_path)), loaded(kind, copy)
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def first(tensors: dict[str, Tensor], dimensions: int = 1) -> str:
    return next(key for key, value in tensors.items() if value.is_floating_point() and value.ndim >= dimensions)


@every_kind
def test_what_is_missing_or_too_much_is_listed(kind: str, tmp_path: Path) -> None:
    last = list(tensors_of(kind))[-1]
    path = saved(kind, tmp_path, lambda tensors: {key: value for key, value in tensors.items() if key != last})
    assert refusal(kind, path)
    extra = TINY[kind].prefix + "surplus.weight"
    path = saved(kind, tmp_path, lambda tensors: {**tensors, extra: torch.zeros(3)})
    with pytest.raises(GlidewireError) as caught:
        loaded(kind, path)
    if isinstance(caught.value, StrictLoadError):
        assert caught.value.unexpected == (extra.removeprefix(TINY[kind].prefix),)


@every_kind
def test_weights_that_are_no_numbers_are_named(kind: str, tmp_path: Path) -> None:
    def spoilt(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        key = first(tensors)
        return {**tensors, key: torch.full_like(tensors[key], float("nan"))}

    if kind == "karlo statistics":
        pytest.skip("a table and no weight")
    assert "NaN or infinite" in refusal(kind, saved(kind, tmp_path, spoilt))


@every_kind
def test_a_tensor_of_another_shape(kind: str, tmp_path: Path) -> None:
    def reshaped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        key = first(tensors)
        return {**tensors, key: torch.cat([tensors[key], tensors[key]])}

    refusal(kind, saved(kind, tmp_path, reshaped))


@every_kind
def test_cut_off_files(kind: str, tmp_path: Path) -> None:
    path = saved(kind, tmp_path)
    whole = path.read_bytes()
    torch.save(tensors_of(kind), tmp_path / "m.bin")
    zipped = (tmp_path / "m.bin").read_bytes()
    for part in (0.01, 0.4, 0.999):
        path.write_bytes(whole[: int(part * len(whole))])
        (tmp_path / "m.bin").write_bytes(zipped[: int(part * len(zipped))])
        for file in (path, tmp_path / "m.bin"):
            assert "damaged" in (text := refusal(kind, file)) or "not a checkpoint" in text


@every_kind
def test_offsets_that_lie(kind: str, tmp_path: Path) -> None:
    path = saved(kind, tmp_path)
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    key = next(key for key in header if key != "__metadata__")
    header[key]["data_offsets"][1] += 64
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + length :])
    assert "damaged or truncated" in refusal(kind, path)


@every_kind
def test_another_component_is_asked_for(kind: str, tmp_path: Path) -> None:
    tiny = TINY[kind]
    with pytest.raises(GlidewireError) as caught:
        identify(saved(kind, tmp_path), component="another")
    assert f"m.safetensors holds {tiny.family} {tiny.component}; expected a component 'another'" in str(caught.value)


def test_no_kind_is_left_out() -> None:
    assert {tiny.family for tiny in TINY.values()} == set(families())
