"""torch's files read without torch: TorchScript programs and pickled modules, as the tensors that they hold."""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .inert_pickle import LONGEST, InertPickleError, Record, Reference, read_pickle

# Published networks have some thousand tensors and modules, and few tensors that share their bytes.
_MOST_MEMBERS, _LONGEST_NAME, _MOST_SHARING = 200_000, 1000, 4
_LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip's entry: the lengths of its name and of what is beside it
# The beginning of files older than the zipped form: a number as a pickle of its own.
_OLD_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES: Mapping[str, torch.dtype] = {
    "torch.DoubleStorage": torch.float64, "torch.FloatStorage": torch.float32, "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16, "torch.LongStorage": torch.int64, "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16, "torch.CharStorage": torch.int8, "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}  # fmt: skip
# What the pickles of modules call beside these has no part in their tensors: it is written down and left.
_HARMLESS = ("torch.device", "torch.Size", "functools.partial", "_codecs.encode")
_CONTAINERS = ("collections.OrderedDict", "builtins.dict", "__builtin__.dict")
_SETS = ("builtins.set", "__builtin__.set", "builtins.frozenset", "__builtin__.frozenset")
_LISTS = "torch.jit._pickle.build_"


class ArchiveError(Exception):
    """A file of torch's is damaged, or not of the expected form."""


class NeedsCodeError(ArchiveError):
    """A pickle calls something; carries its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"it calls {name[:100]}")


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies in a file: in which storage, from which value on, in which shape and strides."""

    storage: str
    dtype: torch.dtype
    values: int
    offset: int = 0
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()


@dataclass(frozen=True)
class Archive:
    """The tensors of a TorchScript program or of a pickled module, by the names that its state dict would have.

    Attributes:
        path: The file.
        tensors: Where each lies.
        storages: First byte and number of bytes of each storage.
    """

    path: Path
    tensors: Mapping[str, Stored]
    storages: Mapping[str, tuple[int, int]]

    def meta(self) -> dict[str, Tensor]:
        """Every tensor's shape and dtype."""
        return {
            name: torch.empty(place.shape, dtype=place.dtype, device="meta") for name, place in self.tensors.items()
        }

    def mapped(self) -> dict[str, Tensor]:
        """Every tensor, as long as any of them lives a view of the mapped file: a copy is to be made of it."""
        with self.path.open("rb") as file:
            # A private mapping: whoever writes into a view changes no file.
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return {name: self._view(content, place) for name, place in self.tensors.items()}

    def _view(self, content: mmap.mmap, place: Stored) -> Tensor:
        if not place.values:
            return torch.empty(place.shape, dtype=place.dtype)
        start, _ = self.storages[place.storage]
        flat = torch.frombuffer(content, dtype=place.dtype, count=place.values, offset=start)
        return flat.as_strided(place.shape, place.strides, place.offset)


def zip_entries(path: Path) -> Mapping[str, zipfile.ZipInfo]:
    """What a zipped torch file stores, by names inside its folder: "data.pkl", "data/0".

    Raises:
        ArchiveError: It is no zip, or not one as torch writes them: compressed, or larger inside than outside.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error) as error:
        raise ArchiveError(f"it is no zip file ({error})") from error
    # A program's text is compressed, and never read here.
    named = {entry.filename.partition("/")[2]: entry for entry in entries}
    named = {name: entry for name, entry in named.items() if not name.startswith(("code/", "extra/"))}
    if packed := [name for name, entry in named.items() if entry.compress_type != zipfile.ZIP_STORED]:
        raise ArchiveError(f"{packed[0][:80]} in it is compressed, which torch never does")
    if sum(entry.file_size for entry in named.values()) > path.stat().st_size:
        raise ArchiveError("it holds more bytes inside than outside")
    return named


def is_torchscript(entries: Mapping[str, zipfile.ZipInfo]) -> bool:
    """Whether a zipped torch file is a TorchScript program."""
    return "constants.pkl" in entries


def read_archive(path: Path) -> Archive:
    """Read where the tensors of a TorchScript program or a pickled module lie; nothing of either is run.

    Raises:
        ArchiveError: The file is damaged or of another form; as NeedsCodeError, its pickle calls something.
    """
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    try:
        tree, storages = _zipped(path) if zipped else _old(path)
    except InertPickleError as error:
        raise ArchiveError(str(error)) from error
    archive = Archive(path, _state_dict(tree), storages)
    _check(archive)
    return archive


def _zipped(path: Path) -> tuple[Any, dict[str, tuple[int, int]]]:
    entries = zip_entries(path)
    _require("data.pkl" in entries, "there is no data.pkl in it")
    content = b""
    storages: dict[str, tuple[int, int]] = {}
    with path.open("rb") as file:
        for name, entry in entries.items():
            file.seek(entry.header_offset)
            start = entry.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(_exactly(file, 30)))
            if name.startswith("data/"):
                storages[name.removeprefix("data/")] = (start, entry.file_size)
            elif name == "byteorder":
                file.seek(start)
                _require(file.read(entry.file_size) == b"little", "it was written on a machine of another byte order")
            elif name == "data.pkl":
                _require(entry.file_size <= LONGEST, "its data.pkl is longer than that of any network")
                file.seek(start)
                content = _exactly(file, entry.file_size)
    return read_pickle(io.BytesIO(content), call=_call, stored=_stored), storages


def _old(path: Path) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The form before torch 1.6: a number, a version, a description, the value, the storages' names, then these."""
    whole = path.stat().st_size
    with path.open("rb") as file:
        pickles = io.BytesIO(file.read(2 * LONGEST))

        def following() -> Any:
            return read_pickle(pickles, call=_call, stored=_stored)

        _require(following() == _OLD_MAGIC, "it is no file of torch's")
        following()
        described = following()
        little = described.get("little_endian", True) if isinstance(described, dict) else True
        _require(little, "it was written on a machine of another byte order")
        sizes: dict[str, int] = {}
        tree = read_pickle(pickles, call=_call, stored=lambda key: _stored(key, sizes))
        storages: dict[str, tuple[int, int]] = {}
        names = following()
        file.seek(pickles.tell())
        for name in names if isinstance(names, list) else ():
            (count,) = struct.unpack("<q", _exactly(file, 8))
            _require(isinstance(name, str) and name in sizes and count >= 0, "a storage that no tensor names")
            size = count * sizes[name]
            storages[name] = (file.tell(), size)
            _require(file.tell() + size <= whole, "its storages end before their tensors do")
            file.seek(size, io.SEEK_CUR)
    return tree, storages


def _exactly(file: Any, count: int) -> bytes:
    content = file.read(count)
    _require(len(content) == count, "it ends early")
    return content


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ArchiveError(otherwise)


def _stored(key: Any, sizes: dict[str, int] | None = None) -> Stored | Reference:
    """A storage, from ("storage", type, name, device, number of values[, view]); a class, from ("module", class, ...).

    The old form writes the source of a module's class beside it.
    """
    if isinstance(key, tuple) and key[:1] == ("module",) and isinstance(key[1], Reference):
        return key[1]
    _require(isinstance(key, tuple) and len(key) in (5, 6) and isinstance(key[1], Reference), "a strange storage")
    dtype = _DTYPES.get(key[1].name)
    if dtype is None or not isinstance(key[2], str) or not isinstance(key[4], int) or key[4] < 0:
        raise ArchiveError(f"a storage of {key[1].name[:80]}")
    _require(len(key) == 5 or key[5] is None, "a storage that is a part of another")
    if sizes is not None:
        sizes[key[2]] = dtype.itemsize
    return Stored(key[2], dtype, key[4])


def _call(name: str, arguments: tuple[Any, ...]) -> Any:
    """What stands for a call in a pickle of torch's; raises NeedsCodeError for anything else."""
    name = name.replace("copy_reg.", "copyreg.")
    if name in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
        return _tensor(*arguments[:4])
    if name in ("torch._utils._rebuild_parameter", "torch.jit._pickle.restore_type_tag") and arguments:
        return arguments[0]
    if name == "copyreg._reconstructor" and arguments and isinstance(arguments[0], Reference):
        return Record(arguments[0].name, arguments[1:])
    if name in _CONTAINERS:
        pairs = arguments[0] if arguments else []
        return {key: value for key, value in pairs if isinstance(key, str)} if isinstance(pairs, list) else {}
    if name in _SETS or name.startswith(_LISTS):
        return arguments[0] if arguments and isinstance(arguments[0], list) else []
    if name in _HARMLESS:
        return Record(name, arguments)
    raise NeedsCodeError(name)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Stored:
    _require(isinstance(storage, Stored), "a tensor without a storage")
    numbers = (offset, *shape, *strides)
    _require(len(shape) == len(strides) and all(type(n) is int and n >= 0 for n in numbers), "a tensor of no shape")
    count = torch.Size(shape).numel() if len(shape) <= 64 and all(size < 2**48 for size in shape) else -1
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    fits = count == 0 or (0 < count <= storage.values and last < storage.values)
    _require(fits, "a tensor larger than its storage")
    return replace(storage, offset=offset, shape=tuple(shape), strides=tuple(strides))


def _state_dict(tree: Any) -> dict[str, Stored]:
    """The tensors of a module and of the modules inside it, under the names of its state dict."""
    found: dict[str, Stored] = {}
    left, seen = deque([("", tree)]), 0
    while left:
        prefix, part = left.popleft()
        for key, value in _members(part):
            name, seen = f"{prefix}{key}", seen + 1
            # Modules may share a module, or contain themselves.
            _require(seen <= _MOST_MEMBERS and len(name) <= _LONGEST_NAME, "it has more modules than any network")
            if isinstance(value, Stored):
                found[name] = value
            elif isinstance(value, Record | dict):
                left.append((f"{name}.", value))
    return found


def _members(part: Any) -> Iterable[tuple[Any, Any]]:
    """Tensors and modules in a dict, a TorchScript module or one of torch.nn's."""
    inside = part.state if isinstance(part, Record) else part
    if not isinstance(inside, dict):
        return ()
    kinds = [kind for name in ("_parameters", "_buffers", "_modules") if isinstance(kind := inside.get(name), dict)]
    if len(kinds) < 3:
        return inside.items() if isinstance(part, dict) else _without_dicts(inside)
    passing = inside.get("_non_persistent_buffers_set")
    passing = passing if isinstance(passing, list) else []
    return ((key, value) for kind in kinds for key, value in kind.items() if key not in passing)


def _without_dicts(attributes: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
    """What a TorchScript program's state dict takes of a module's attributes."""
    return ((key, value) for key, value in attributes.items() if isinstance(value, Record | Stored))


def _check(archive: Archive) -> None:
    """Raise ArchiveError unless every tensor lies in the file, and not too many in the same bytes."""
    whole, total = archive.path.stat().st_size, 0
    for name, place in archive.tensors.items():
        start, size = archive.storages.get(place.storage, (0, -1))
        total += torch.Size(place.shape).numel() * place.dtype.itemsize
        fits = place.values * place.dtype.itemsize <= size and start + size <= whole
        _require(fits or not place.values, f"{name[:80]} lies outside of it")
    _require(total <= _MOST_SHARING * whole, "its tensors are many times larger than itself")
