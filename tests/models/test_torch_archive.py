"""Programs and pickled modules: their tensors are read bit for bit, nothing in them runs, and traps are named."""

from __future__ import annotations

import collections
import contextlib
import io
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import identify, load
from glidewire.models.header import open_tensors, read_header
from glidewire.models.inert_pickle import InertPickleError, Record, Reference, read_pickle
from glidewire.models.torch_archive import read_archive
from glidewire.models.torch_pickle import ArchiveError, NeedsCodeError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import nn

# --- pickles -------------------------------------------------------------------------------------------------


def read(content: bytes) -> Any:
    return read_pickle(io.BytesIO(content), call=Record, stored=lambda key: key)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text() | st.integers(), inside) | st.lists(inside).map(tuple),
    max_leaves=20,
)


@given(plain, st.integers(3, 5))
def test_plain_pickles_are_read_as_python_reads_them(value: object, protocol: int) -> None:
    assert read(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(6))
def test_calls_and_classes_are_written_down_by_name(protocol: int) -> None:
    tree = read(pickle.dumps({"path": Path("/"), "counts": collections.Counter("ab"), "type": Path}, protocol))
    assert isinstance(tree["type"], Reference) and tree["type"].name.startswith("pathlib")
    assert isinstance(tree["path"], Record) and "Path" in f"{tree['path'].name}{tree['path'].arguments}"
    assert tree["counts"].name == "collections.Counter"


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_no_bytes_raise_anything_but_our_error(content: bytes) -> None:
    with contextlib.suppress(InertPickleError):
        read(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02]q\x00.", None),
        (b"\x80\x02]q\x00", "damaged|without an end"),
        (b"(.", "a mark in the place of a value"),
        (b".", "IndexError"),
        (b"N)R.", "a call of what is no function"),
        (b"}(lNs.", "a list for a key"),
        (b"})Ns.", "a tuple for a key"),
        (b"\x82\x01.", "instruction EXT1"),
        (b"cos\nsystem\n\x8c\x02idq\x01.", None),
        (b"r\xff\xff\xff\xff.", "damaged"),
        (b"\x8e" + (2**60).to_bytes(8, "little") + b"x.", "damaged"),
    ],
)
def test_strange_pickles(content: bytes, message: str | None) -> None:
    if message is None:
        read(content)
        return
    with pytest.raises(InertPickleError, match=message):
        read(content)


def test_what_is_nested_without_end_needs_no_deep_stack() -> None:
    tree = read(b"(" + b"]" * 100_000 + b"a" * 99_999 + b"l.")
    assert len(tree) == 1


# --- archives ------------------------------------------------------------------------------------------------


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 2).half())
        self.register_buffer("count", torch.tensor(7))
        self.register_buffer("passing", torch.zeros(2), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.tail = Inner(), nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        self.turned = nn.Parameter(torch.randn(2, 5).t())
        self.part = nn.Parameter(torch.randn(10)[3:7].bfloat16())
        self.empty = nn.Parameter(torch.zeros(0, 4))
        self.sizes = [1, 2]
        self.device = torch.device("cpu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tail(self.inner(x))


def program(module: nn.Module) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(module)


@pytest.fixture
def scripted(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    module = program(Outer())
    module.save(str(tmp_path / "program.pt"))
    return tmp_path / "program.pt", module.state_dict()


def test_a_program_is_read_bit_for_bit(scripted: tuple[Path, dict[str, torch.Tensor]]) -> None:
    path, expected = scripted
    header = read_header(path)
    assert header.shapes == {key: tuple(value.shape) for key, value in expected.items()}
    assert header.dtypes == {key: value.dtype for key, value in expected.items()}
    with open_tensors(header) as read_tensor:
        for key, value in expected.items():
            assert torch.equal(read_tensor(key), value), key


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_module_is_read_bit_for_bit(zipped: bool, tmp_path: Path) -> None:
    module = Outer()
    torch.save(module, tmp_path / "module.pkl", _use_new_zipfile_serialization=zipped)
    found = read_archive(tmp_path / "module.pkl").mapped()
    expected = module.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) and found[key].dtype == value.dtype for key, value in expected.items())
    found["tail.0.bias"].zero_()
    again = read_archive(tmp_path / "module.pkl").mapped()
    assert torch.equal(again["tail.0.bias"], expected["tail.0.bias"])


class Published(nn.Module):
    """open_clip's model with the counters that OpenAI's programs carry."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        for name, part in clip.named_children():
            self.add_module(name, part)
        for name, value in clip.named_parameters(recurse=False):
            self.register_parameter(name, value)
        for name, value in {"input_resolution": 8, "context_length": 7, "vocab_size": 30}.items():
            self.register_buffer(name, torch.tensor(value))

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return self.visual(picture)


def test_openai_clip_loads_from_its_program(tmp_path: Path) -> None:
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(layers=2, width=64, head_width=64, patch_size=4, image_size=8)
    text = CLIPTextCfg(context_length=7, vocab_size=30, width=64, heads=1, layers=2)
    clip = CLIP(12, vision, text, quick_gelu=True).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(Published(clip).half().float(), torch.zeros(1, 3, 8, 8), check_trace=False)
    traced.save(str(tmp_path / "ViT.pt"))
    identity = identify(tmp_path / "ViT.pt")
    assert (identity.family, identity.component, identity.spec.image.quick_gelu) == ("clip", "clip", True)
    assert "quick_gelu" not in identity.assumed
    picture = torch.rand(2, 3, 8, 8) * 2 - 1
    model: Any = load(tmp_path / "ViT.pt")
    with torch.no_grad():
        torch.testing.assert_close(model.encode_image(picture), clip.visual(model.image._pixels(picture)))


# --- traps ---------------------------------------------------------------------------------------------------


class Runs:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def repacked(path: Path, change: Callable[[dict[str, bytes]], None], *, packed: bool = False) -> Path:
    """An archive with its entries changed."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_a_program_that_calls_something_is_refused_and_it_is_not_called(scripted, tmp_path: Path) -> None:
    path, mark = scripted[0], tmp_path / "mark"

    def change(entries: dict[str, bytes]) -> None:
        name = next(name for name in entries if name.endswith("/data.pkl"))
        entries[name] = pickle.dumps({"weight": Runs(mark)}, 2)

    repacked(path, change)
    with pytest.raises(GlidewireError, match=r"program\.pt needs code to be run.*an object of "):
        read_header(path)
    with pytest.raises(NeedsCodeError, match="it calls"):
        read_archive(path)
    assert not mark.exists()


def test_compressed_archives_are_refused_before_anything_is_unpacked(scripted, tmp_path: Path) -> None:
    bomb = repacked(scripted[0], lambda entries: entries.update({"program/data/9": bytes(10**6)}), packed=True)
    with pytest.raises(GlidewireError, match=r"damaged.*is compressed, which torch never does"):
        read_header(bomb)
    torch.save({"a.weight": torch.zeros(1000, 100)}, tmp_path / "plain.pt")
    repacked(tmp_path / "plain.pt", lambda entries: None, packed=True)
    with pytest.raises(GlidewireError, match=r"plain\.pt is damaged.*is compressed"):
        read_header(tmp_path / "plain.pt")


def pickled(shape: tuple[int, ...], strides: tuple[int, ...], values: int, offset: int = 0) -> Any:
    """A pickle that rebuilds a tensor of the storage "0"."""

    class Rebuilt:
        def __reduce__(self) -> tuple[Any, ...]:
            return torch._utils._rebuild_tensor_v2, (Storage(), offset, shape, strides, False, {})

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return ("storage", torch.FloatStorage, "0", "cpu", values) if isinstance(value, Storage) else None

    file = io.BytesIO()
    Pickler(file, 2).dump({f"{n}.weight": Rebuilt() for n in range(20)})
    return file.getvalue()


@pytest.mark.parametrize(
    ("shape", "strides", "values", "offset", "message"),
    [
        ((2, 3), (3, 1), 6, 0, None),
        ((10**12, 10**12), (0, 0), 6, 0, "a tensor larger than its storage"),
        ((2, 3), (3, 1), 6, 1, "a tensor larger than its storage"),
        ((6,), (2,), 6, 0, "a tensor larger than its storage"),
        ((2**62, 4), (1, 1), 6, 0, "a tensor larger than its storage"),
        ((-1,), (1,), 6, 0, "a tensor of no shape"),
        ((6,), (-1,), 6, 5, "a tensor of no shape"),
        ((6,), (1, 1), 6, 0, "a tensor of no shape"),
        ((600,), (1,), 600, 0, "0.weight lies outside of it"),
        ((300,), (1,), 300, 0, "many times larger than itself"),
    ],
)
def test_absurd_tensors(
    shape: tuple[int, ...], strides: tuple[int, ...], values: int, offset: int, message: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/constants.pkl", b"")
        archive.writestr("m/data.pkl", pickled(shape, strides, values, offset))
        archive.writestr("m/data/0", bytes(1200 if values == 300 else 24))
    if message is None:
        assert read_archive(path).mapped()["3.weight"].shape == shape
        return
    with pytest.raises(ArchiveError, match=message):
        read_archive(path)
    with pytest.raises(GlidewireError, match=r"m\.pt is damaged or truncated"):
        read_header(path)


def test_modules_in_modules_without_end_are_refused(tmp_path: Path) -> None:
    names = {f"{letter}": None for letter in "abcdefgh"}
    tree: dict[str, Any] = names
    for _ in range(30):
        tree = dict.fromkeys(names, tree)
    endless: dict[str, Any] = {}
    endless["again"] = endless
    for hostile in (tree, endless):
        with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
            archive.writestr("m/data.pkl", pickle.dumps(hostile, 2))
        with pytest.raises(ArchiveError, match="more modules than any network"):
            read_archive(tmp_path / "m.pt")


def test_other_byte_orders_and_missing_parts(scripted, tmp_path: Path) -> None:
    path = scripted[0]
    content = path.read_bytes()
    repacked(path, lambda entries: entries.update({"program/byteorder": b"big"}))
    with pytest.raises(GlidewireError, match="another byte order"):
        read_header(path)
    path.write_bytes(content)
    repacked(path, lambda entries: entries.pop("program/data.pkl"))
    with pytest.raises(GlidewireError, match=r"there is no data\.pkl in it"):
        read_header(path)


@given(kept=st.floats(0, 1, exclude_max=True))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("form", ["zipped", "old"])
def test_truncated_modules_are_told(form: str, kept: float, tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    torch.save(nn.Linear(3, 4), path, _use_new_zipfile_serialization=form == "zipped")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(ArchiveError):
        read_archive(path)


def test_a_directory_that_points_to_before_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"")
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x05\x06") + 16  # where the directory is said to begin
    content[place : place + 4] = (int.from_bytes(content[place : place + 4], "little") + 9).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="its directory points to before its beginning"):
        read_archive(path)


@given(position=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
@example(position=0.98046875, byte=1)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("form", ["zipped", "old"])
def test_a_changed_byte_raises_nothing_but_our_error(form: str, position: float, byte: int, tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    torch.save(nn.Linear(3, 4), path, _use_new_zipfile_serialization=form == "zipped")
    content = bytearray(path.read_bytes())
    content[int(len(content) * position)] = byte
    path.write_bytes(content)
    try:
        read_archive(path).mapped()
    except ArchiveError as error:
        assert str(error)
