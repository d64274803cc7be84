"""Headers: every form of file that users have is unwrapped or refused with a reason, and no code is ever run."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models import header as header_module
from glidewire.models.header import open_tensors, read_header
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.arange(2, dtype=torch.float16)}
SHAPES = {"a.weight": (2, 3), "a.bias": (2,)}


def read_all(path: Path) -> dict[str, torch.Tensor]:
    header = read_header(path)
    with open_tensors(header) as read:
        return {key: read(key).clone() for key in header.shapes}


def assert_holds_tensors(path: Path) -> None:
    header = read_header(path)
    assert header.shapes == SHAPES
    assert header.dtypes == {"a.weight": torch.float32, "a.bias": torch.float16}
    assert header.parameters == 8
    for key, value in read_all(path).items():
        assert torch.equal(value, TENSORS[key])


def test_safetensors_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.ckpt"
    save_file(TENSORS, path, metadata={"card": "tiny"})
    assert_holds_tensors(path)
    assert read_header(path).metadata == {"card": "tiny"}
    assert read_header(path).format == "safetensors"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("wrap", "unwrapped"),
    [
        (lambda t: t, ()),
        (lambda t: {"state_dict": t, "epoch": 3, "optimizer_states": [{"lr": 0.1}]}, ("state_dict",)),
        (lambda t: {"model": {"state_dict": t}}, ("model", "state_dict")),
        (lambda t: {f"module.{k}": v for k, v in t.items()}, ("module.",)),
        (lambda t: {f"_orig_mod.module.{k}": v for k, v in t.items()}, ("_orig_mod.", "module.")),
        (lambda t: {"global_step": torch.tensor(7), "state_dict": t}, ("state_dict",)),
        (lambda t: {**t, "version": "1.0", 7: None}, ()),
    ],
    ids=["flat", "lightning", "nested", "parallel", "compiled", "scalar beside", "junk beside"],
)
def test_torch_files_are_unwrapped(tmp_path: Path, wrap, unwrapped: tuple[str, ...], zipped: bool) -> None:
    path = tmp_path / "model.safetensors"  # a wrong ending changes nothing
    torch.save(wrap(TENSORS), path, _use_new_zipfile_serialization=zipped)
    assert_holds_tensors(path)
    assert read_header(path).unwrapped == unwrapped


def test_averaged_weights_are_preferred(tmp_path: Path) -> None:
    averaged = {"a.weight": torch.full((2, 3), 9.0)}
    torch.save({"state_dict": {"a.weight": torch.zeros(2, 3)}, "ema": averaged}, tmp_path / "m.pt")
    assert torch.equal(read_all(tmp_path / "m.pt")["a.weight"], averaged["a.weight"])


@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_a_file_mapped_anew_between_tensors_reads_the_same(tmp_path: Path, form: str, monkeypatch) -> None:
    monkeypatch.setattr("glidewire.models.header._WINDOW", 0)
    save = save_file if form == "safetensors" else torch.save
    many = {f"{number}.weight": torch.full((4, 4), float(number)) for number in range(5)}
    save({**TENSORS, **many}, tmp_path / "m")
    header, opened = read_header(tmp_path / "m"), list[Path]()
    reader = "_safetensors" if form == "safetensors" else "read_tree"
    before = getattr(header_module, reader)
    monkeypatch.setattr(header_module, reader, lambda path, **given: opened.append(path) or before(path, **given))
    with open_tensors(header) as read:
        found = {key: read(key).clone() for key in header.shapes}
    assert all(torch.equal(found[key], value) for key, value in {**TENSORS, **many}.items())
    sizes = [header.nbytes(key) for key in header.shapes]
    assert sum(sizes) / max(sizes) <= len(opened) <= len(sizes)
    assert sum(value.nbytes for value in found.values()) == sum(sizes)


def test_an_old_torch_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_module, "_WINDOW", 0)
    torch.save(TENSORS, tmp_path / "m", _use_new_zipfile_serialization=False)
    header, before, opened = read_header(tmp_path / "m"), header_module.read_tree, list[Path]()
    monkeypatch.setattr(header_module, "read_tree", lambda path, **given: opened.append(path) or before(path, **given))
    with open_tensors(header) as read:
        assert all(torch.equal(read(key), value) for key, value in TENSORS.items())
    assert len(opened) == 1


class Runs:
    """A pickle that would leave a mark if it were run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_refused_and_never_run(tmp_path: Path, zipped: bool) -> None:
    path, mark = tmp_path / "evil.ckpt", tmp_path / "mark"
    torch.save({**TENSORS, "callback": Runs(mark)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(GlidewireError, match=r"evil\.ckpt needs code to be run.*glidewire models convert"):
        read_header(path)
    assert not mark.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "module.pkl"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(GlidewireError, match="needs code to be run"):
        read_header(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am a long enough text", "not a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer"),
        (b"<!DOCTYPE html><html><body>Please log in", "web page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "not a checkpoint"),
        (pickle.dumps([1, 2, 3], protocol=2), "damaged|holds no state dict"),
        (b"PK\x03\x04" + bytes(100), "damaged or truncated"),
        ((10**18).to_bytes(8, "little") + b"{" + bytes(100), "damaged or truncated"),
    ],
)
def test_other_files_are_refused_with_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "some.file"
    path.write_bytes(content)
    with pytest.raises(GlidewireError, match=reason) as error:
        read_header(path)
    assert "some.file" in str(error.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(GlidewireError, match=r"absent\.pt does not exist"):
        read_header(tmp_path / "absent.pt")
    with pytest.raises(GlidewireError, match="is a folder"):
        read_header(tmp_path)


def test_state_dicts_beside_each_other_are_told_apart(tmp_path: Path) -> None:
    one, two = torch.randn(2), torch.randn(3)
    tree = {"projection": {"weight": one}, "attention": {"1.weight": two}, "epoch": 3, "optimizer": {"state": {}}}
    torch.save(tree, tmp_path / "m.bin")
    header = read_header(tmp_path / "m.bin")
    assert header.shapes == {"projection.weight": (2,), "attention.1.weight": (3,)}
    with open_tensors(header) as read:
        assert torch.equal(read("projection.weight"), one)
        assert torch.equal(read("attention.1.weight"), two)


@pytest.mark.parametrize("tree", [{}, {"state_dict": {}}, {"epoch": 1}, [1, 2], torch.zeros(2)])
def test_files_without_a_state_dict(tmp_path: Path, tree: object) -> None:
    torch.save(tree, tmp_path / "m.pt")
    with pytest.raises(GlidewireError, match="holds no state dict"):
        read_header(tmp_path / "m.pt")


def test_tensors_without_names_are_called_by_their_places(tmp_path: Path) -> None:
    mean, std = torch.zeros(3), torch.ones(3)
    torch.save((mean, std), tmp_path / "stats.th")
    header = read_header(tmp_path / "stats.th")
    assert header.shapes == {"0": (3,), "1": (3,)}
    with open_tensors(header) as read:
        assert torch.equal(read("0"), mean) and torch.equal(read("1"), std)


def test_a_tree_that_contains_itself(tmp_path: Path) -> None:
    tree: dict[str, object] = {}
    tree["model"] = tree
    torch.save(tree, tmp_path / "m.pt")
    with pytest.raises(GlidewireError, match="holds no state dict"):
        read_header(tmp_path / "m.pt")


@pytest.fixture(scope="module", params=["safetensors", "zip", "legacy"])
def content(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "m"
    if request.param == "safetensors":
        save_file(TENSORS, path)
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=request.param == "zip")
    return path.read_bytes()


@given(kept=st.floats(0, 1, exclude_max=True))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_truncation_anywhere_is_told(content: bytes, kept: float, tmp_path: Path) -> None:
    path = tmp_path / "cut.pt"
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(GlidewireError, match=r"cut\.pt"):
        read_all(path)


@given(position=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_byte_never_raises_anything_but_our_error(
    content: bytes, position: float, byte: int, tmp_path: Path
) -> None:
    path = tmp_path / "bad.pt"
    index = int(len(content) * position)
    path.write_bytes(content[:index] + bytes([byte]) + content[index + 1 :])
    try:
        read_header(path)
    except GlidewireError as error:
        assert "bad.pt" in str(error)
