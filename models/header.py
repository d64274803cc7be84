"""What a checkpoint file holds, read from its header alone: no weight, no code and no file name is trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import GlidewireError
from .torch_archive import is_zipped
from .torch_files import damaged, read_tree

Read = Callable[[str], Tensor]

# Where training code puts the weights beside optimizers and counters; the first that is there is taken, so
# averaged weights (EMA) come before raw ones.
WRAPPERS = (
    "ema_state_dict", "ema_model", "model_ema", "params_ema", "ema",
    "state_dict", "model_state_dict", "model", "module", "params", "net", "generator",
)  # fmt: skip
# To map a file of many small tensors for each of them would take long: so many bytes are always read at once.
_WINDOW = 16 * 2**20
# Prefixes that wrapping modules leave on every key.
PREFIXES = ("_orig_mod.", "module.", "ema_model.", "model.")


@dataclass(frozen=True)
class Header:
    """Names, shapes and metadata of a checkpoint's tensors, with wrappers and common prefixes taken off.

    Attributes:
        path: The file.
        format: How it is stored.
        shapes: Shape of each tensor by its unwrapped key.
        dtypes: Its dtype.
        metadata: The strings of a safetensors file.
        locations: Where each tensor is found in the file: the keys to go through.
        unwrapped: Wrappers and prefixes that were taken off, outermost first.
        files: The file that each tensor lies in, where it is not `path` itself (a folder of several files).
        config: The JSON that a folder carries beside its weights.
        part: Which part of `path` this is, where that holds several models; empty for all of it.
        beside: The other parts of `path`.
        states: What each file was like when its header was read, by which `require_unchanged` knows it again.
    """

    path: Path
    format: Literal["safetensors", "torch"]
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, torch.dtype]
    metadata: Mapping[str, str] = field(default_factory=dict)
    locations: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)
    unwrapped: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""
    beside: tuple[str, ...] = ()
    states: Mapping[Path, FileState] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What errors call it: the file, and the part of it."""
        return f"checkpoint {self.path.name}" + (f" ({self.part})" if self.part else "")

    def view(self, names: Mapping[str, str], *, part: str | None = None) -> Header:
        """The tensors of this header under other names.

        Args:
            names: The key of each tensor in this header, by its new one; others are left out.
            part: What the view holds of the whole; None keeps what this header says.
        """
        return replace(
            self,
            shapes={new: self.shapes[old] for new, old in names.items()},
            dtypes={new: self.dtypes[old] for new, old in names.items()},
            locations={new: self.locations[old] for new, old in names.items()},
            files={new: self.files[old] for new, old in names.items() if old in self.files},
            part=self.part if part is None else part,
        )

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that the tensors lie in."""
        return tuple(sorted({self.files.get(key, self.path) for key in self.shapes}))

    def nbytes(self, key: str) -> int:
        """Bytes of a tensor as it is stored."""
        return torch.Size(self.shapes[key]).numel() * self.dtypes[key].itemsize

    @property
    def parameters(self) -> int:
        """Number of values in all tensors."""
        return sum(torch.Size(shape).numel() for shape in self.shapes.values())

    def require_unchanged(self) -> None:
        """Raise a GlidewireError if a file is no longer the one whose header this is."""
        for path, state in self.states.items():
            if file_state(path) != state:
                raise GlidewireError(
                    f"checkpoint {path.name} changed while it was being loaded",
                    expected="a file that stays as it is",
                    got="another size, time or place on the disk than a moment before",
                    hint="Wait until whatever writes it is done, and load it again.",
                )


FileState = tuple[int, int, int, int]
"""Size, times of modification and change in nanoseconds, and inode."""


def file_state(path: Path) -> FileState | None:
    """The state of a file; None if it cannot be told."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def read_header(path: str | Path) -> Header:
    """Read a checkpoint's header: safetensors, or a torch file of plain tensors.

    Raises:
        GlidewireError: The file is missing, a folder, empty, truncated, not a checkpoint, or needs code to be
            run to be read.
    """
    path = Path(path)
    state = file_state(path)
    if _format(path) == "safetensors":
        header = _safetensors_header(path)
    else:
        header = _header(path, "torch", *_unwrap(path, read_tree(path, device="meta")), metadata={})
    return replace(header, states={path: state} if state else {})


@contextmanager
def open_tensors(header: Header) -> Iterator[Read]:
    """A function that reads one tensor by its unwrapped key; each is to be copied before the next is read.

    Pages of a mapped file that were read count as memory until they are let go, so files are mapped anew before more
    was read than the largest tensor takes (or `_WINDOW`): whoever keeps copies needs memory for these and one tensor.
    Torch files of before version 1.6 cannot be mapped, and are read as a whole.

    Raises:
        GlidewireError: A file is not, or does not stay, the one whose header this is; or it is damaged.
    """
    with _unchanging(header), ExitStack() as mapping:
        opened: dict[Path, Any] = {}
        mapped, window = 0, max(_WINDOW, *(header.nbytes(key) for key in header.shapes), 0)
        lets_go = header.format == "safetensors" or all(is_zipped(path) for path in header.paths)

        def read(key: str) -> Tensor:
            nonlocal mapped
            if lets_go and mapped + header.nbytes(key) > window:
                mapping.close()
                opened.clear()
                mapped = 0
            path = header.files.get(key, header.path)
            if path not in opened:
                safe = header.format == "safetensors"
                opened[path] = mapping.enter_context(_safetensors(path)) if safe else read_tree(path, device="cpu")
            if header.format == "safetensors":
                value = opened[path].get_tensor(header.locations[key][0])
            else:
                value = reduce(getitem, header.locations[key], opened[path])
            mapped += header.nbytes(key)
            return value

        yield read


@contextmanager
def _unchanging(header: Header) -> Iterator[None]:
    """Whatever goes wrong inside with a file that changed is told as just that."""
    header.require_unchanged()
    try:
        yield
    finally:
        header.require_unchanged()


def _format(path: Path) -> Literal["safetensors", "torch"]:
    """How a file is stored, from its first bytes."""
    name = f"checkpoint {path.name}"
    if path.is_dir():
        raise GlidewireError(f"{name} is a folder", expected="a file", hint=f"Name a file inside {path}.")
    if path.exists() and not path.is_file():  # to open a pipe is to wait for whoever writes into it
        raise GlidewireError(f"{name} is no file", expected="a file", got="a pipe, a socket or a device")
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except FileNotFoundError as error:
        raise GlidewireError(f"{name} does not exist", got=str(path), hint="Check the path.") from error
    except OSError as error:
        raise GlidewireError(f"{name} cannot be read", got=f"{path}: {error.strerror}") from error
    if len(start) > 8 and start[8:9] == b"{":
        return "safetensors"
    if start.startswith((b"PK\x03\x04", b"\x80\x02")):
        return "torch"
    hint = None
    if not start:
        hint = "The file is empty: download it again."
    elif start.startswith(b"version https://git-lfs"):
        hint = "This is a Git LFS pointer: fetch the file itself with `git lfs pull`."
    elif start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        hint = "This is a web page: the download asked for a login or failed."
    raise GlidewireError(
        f"{name} is not a checkpoint", expected="a safetensors or torch file", got=f"bytes {start[:16]!r}", hint=hint
    )


@contextmanager
def _safetensors(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (SafetensorError, UnicodeDecodeError) as error:
        raise damaged(path, error) from error


def _safetensors_header(path: Path) -> Header:
    with _safetensors(path) as file:
        # A meta tensor per key gives both forms of file the same way through unwrapping.
        tree = {key: _described(file.get_slice(key)) for key in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata() or {})
    return _header(path, "safetensors", *_unwrap(path, tree), metadata=metadata)


def _described(part: Any) -> Tensor:
    return torch.empty(part.get_shape(), dtype=_DTYPES.get(part.get_dtype(), torch.uint8), device="meta")


_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip


Found = dict[str, tuple[Tensor, tuple[str | int, ...]]]


def _unwrap(path: Path, tree: Any) -> tuple[Found, tuple[str, ...]]:
    """The tensors of the innermost state dict by key, where each lies, and what was taken off.

    Tensors without names, such as the pair (mean, std), are called by their places.
    """
    if isinstance(tree, list | tuple) and len(tree) > 1 and all(isinstance(value, Tensor) for value in tree):
        return {str(place): (value, (place,)) for place, value in enumerate(tree)}, ()
    within: list[str] = []
    # A pickle may contain itself, hence the bound.
    while isinstance(tree, Mapping) and not _state_dict(tree) and len(within) < 4:
        inside = next((name for name in WRAPPERS if isinstance(tree.get(name), Mapping)), None)
        if inside is None:
            break
        tree = tree[inside]
        within.append(inside)
    found = _tensors(tree, tuple(within))
    if not found:
        raise GlidewireError(
            f"checkpoint {path.name} holds no state dict",
            expected=f"tensors by name, or one of {', '.join(WRAPPERS)}",
            hint="A whole pickled module cannot be used: `glidewire models convert` takes its tensors out.",
        )
    removed = list(within)
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in found)), None):
        found = {key.removeprefix(prefix): value for key, value in found.items()}
        removed.append(prefix)
    return found, tuple(removed)


def _tensors(tree: Any, within: tuple[str | int, ...]) -> Found:
    """The tensors of a state dict; or of several beside each other, each key after the name of its state dict."""
    if not isinstance(tree, Mapping):
        return {}
    # Files that hold a tensor for each timestep may call them by numbers.
    named = {name: value for name, value in tree.items() if isinstance(name, str | int)}
    if _state_dict(named):
        return {str(key): (value, (*within, key)) for key, value in named.items() if isinstance(value, Tensor)}
    return {
        f"{name}.{key}": place
        for name, part in named.items()
        if isinstance(part, Mapping) and _state_dict(part)
        for key, place in _tensors(part, (*within, name)).items()
    }


def _state_dict(tree: Mapping[Any, Any]) -> bool:
    """Whether a mapping holds tensors itself; counters beside a wrapped state dict are no more than scalars."""
    return any(isinstance(key, str | int) and isinstance(value, Tensor) and value.ndim for key, value in tree.items())


def _header(
    path: Path,
    form: Literal["safetensors", "torch"],
    found: Found,
    unwrapped: tuple[str, ...],
    *,
    metadata: Mapping[str, str],
) -> Header:
    return Header(
        path=path,
        format=form,
        shapes={key: tuple(value.shape) for key, (value, _) in found.items()},
        dtypes={key: value.dtype for key, (value, _) in found.items()},
        metadata=metadata,
        locations={key: location for key, (_, location) in found.items()},
        unwrapped=unwrapped,
    )
