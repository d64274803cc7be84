"""What the pickles of torch's files describe: where tensors are stored, and the names that a state dict gives them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from .inert_pickle import Record, Reference

# Published networks have some thousand tensors and modules.
_MOST_MEMBERS, _LONGEST_NAME = 200_000, 1000
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


def require(holds: bool, otherwise: str) -> None:
    """Raise ArchiveError unless something holds."""
    if not holds:
        raise ArchiveError(otherwise)


def stored(key: Any, sizes: dict[str, int] | None = None) -> Stored | Reference:
    """A storage, from ("storage", type, name, device, number of values[, view]); a class, from ("module", class, ...).

    The old form writes the source of a module's class beside it.
    """
    if isinstance(key, tuple) and key[:1] == ("module",) and isinstance(key[1], Reference):
        return key[1]
    require(isinstance(key, tuple) and len(key) in (5, 6) and isinstance(key[1], Reference), "a strange storage")
    dtype = _DTYPES.get(key[1].name)
    if dtype is None or not isinstance(key[2], str) or not isinstance(key[4], int) or key[4] < 0:
        raise ArchiveError(f"a storage of {key[1].name[:80]}")
    require(len(key) == 5 or key[5] is None, "a storage that is a part of another")
    if sizes is not None:
        sizes[key[2]] = dtype.itemsize
    return Stored(key[2], dtype, key[4])


def called(name: str, arguments: tuple[Any, ...]) -> Any:
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
    require(isinstance(storage, Stored), "a tensor without a storage")
    numbers = (offset, *shape, *strides)
    require(len(shape) == len(strides) and all(type(n) is int and n >= 0 for n in numbers), "a tensor of no shape")
    count = torch.Size(shape).numel() if len(shape) <= 64 and all(size < 2**48 for size in shape) else -1
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    fits = count == 0 or (0 < count <= storage.values and last < storage.values)
    require(fits, "a tensor larger than its storage")
    return replace(storage, offset=offset, shape=tuple(shape), strides=tuple(strides))


def state_dict(tree: Any) -> dict[str, Stored]:
    """The tensors of a module and of the modules inside it, under the names of its state dict."""
    found: dict[str, Stored] = {}
    left, seen = deque([("", tree)]), 0
    while left:
        prefix, part = left.popleft()
        for key, value in _members(part):
            name, seen = f"{prefix}{key}", seen + 1
            # Modules may share a module, or contain themselves.
            require(seen <= _MOST_MEMBERS and len(name) <= _LONGEST_NAME, "it has more modules than any network")
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
