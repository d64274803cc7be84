"""torch's files read without torch: TorchScript programs and pickled modules, as the tensors that they hold."""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .inert_pickle import LONGEST, InertPickleError, read_pickle
from .torch_pickle import ArchiveError, Stored, called, require, state_dict, stored

_MOST_SHARING = 4  # few tensors of published networks share their bytes
_LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip's entry: the lengths of its name and of what is beside it
# The beginning of files older than the zipped form: a number as a pickle of its own.
_OLD_MAGIC = 0x1950A86A20F9469CFC6C


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


def is_zipped(path: Path) -> bool:
    """Whether a file is of the form since torch 1.6, whose tensors can be mapped instead of read."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def zip_entries(path: Path) -> Mapping[str, zipfile.ZipInfo]:
    """What a zipped torch file stores, by names inside its folder: "data.pkl", "data/0".

    Raises:
        ArchiveError: It is no zip, or not one as torch writes them: compressed, larger inside than outside, or with
            a directory that points elsewhere.
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
    if any(entry.header_offset < 0 for entry in named.values()):
        raise ArchiveError("its directory points to before its beginning")
    return named


def is_torchscript(entries: Mapping[str, zipfile.ZipInfo]) -> bool:
    """Whether a zipped torch file is a TorchScript program."""
    return "constants.pkl" in entries


def read_archive(path: Path) -> Archive:
    """Read where the tensors of a TorchScript program or a pickled module lie; nothing of either is run.

    Raises:
        ArchiveError: The file is damaged or of another form; as NeedsCodeError, its pickle calls something.
    """
    try:
        tree, storages = _zipped(path) if is_zipped(path) else _old(path)
    except InertPickleError as error:
        raise ArchiveError(str(error)) from error
    archive = Archive(path, state_dict(tree), storages)
    _check(archive)
    return archive


def _zipped(path: Path) -> tuple[Any, dict[str, tuple[int, int]]]:
    entries = zip_entries(path)
    require("data.pkl" in entries, "there is no data.pkl in it")
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
                require(file.read(entry.file_size) == b"little", "it was written on a machine of another byte order")
            elif name == "data.pkl":
                require(entry.file_size <= LONGEST, "its data.pkl is longer than that of any network")
                file.seek(start)
                content = _exactly(file, entry.file_size)
    return read_pickle(io.BytesIO(content), call=called, stored=stored), storages


def _old(path: Path) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The form before torch 1.6: a number, a version, a description, the value, the storages' names, then these."""
    whole = path.stat().st_size
    with path.open("rb") as file:
        pickles = io.BytesIO(file.read(2 * LONGEST))

        def following() -> Any:
            return read_pickle(pickles, call=called, stored=stored)

        require(following() == _OLD_MAGIC, "it is no file of torch's")
        following()
        described = following()
        little = described.get("little_endian", True) if isinstance(described, dict) else True
        require(little, "it was written on a machine of another byte order")
        sizes: dict[str, int] = {}
        tree = read_pickle(pickles, call=called, stored=lambda key: stored(key, sizes))
        storages: dict[str, tuple[int, int]] = {}
        names = following()
        file.seek(pickles.tell())
        for name in names if isinstance(names, list) else ():
            (count,) = struct.unpack("<q", _exactly(file, 8))
            require(isinstance(name, str) and name in sizes and count >= 0, "a storage that no tensor names")
            size = count * sizes[name]
            storages[name] = (file.tell(), size)
            require(file.tell() + size <= whole, "its storages end before their tensors do")
            file.seek(size, io.SEEK_CUR)
    return tree, storages


def _exactly(file: Any, count: int) -> bytes:
    content = file.read(count)
    require(len(content) == count, "it ends early")
    return content


def _check(archive: Archive) -> None:
    """Raise ArchiveError unless every tensor lies in the file, and not too many in the same bytes."""
    whole, total = archive.path.stat().st_size, 0
    for name, place in archive.tensors.items():
        start, size = archive.storages.get(place.storage, (0, -1))
        total += torch.Size(place.shape).numel() * place.dtype.itemsize
        fits = place.values * place.dtype.itemsize <= size and start + size <= whole
        require(fits or not place.values, f"{name[:80]} lies outside of it")
    require(total <= _MOST_SHARING * whole, "its tensors are many times larger than itself")
