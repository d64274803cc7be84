"""Values as tensors and plain JSON: what may be stored, and the digest by which a value is known."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch

from ..errors import GlidewireError

C = TypeVar("C", bound=type)

_STORABLE_NAMES = (
    *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "complex64", "bool"),
    *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
)
_STORABLE_DTYPES = frozenset(getattr(torch, name) for name in _STORABLE_NAMES if hasattr(torch, name))

_NAME_OF: dict[type, str] = {}
_CLASS_OF: dict[str, type] = {}


class NotStorable(Exception):
    """A value holds something that is neither a tensor, a plain value nor a registered class: a handle."""


def register(cls: C, name: str) -> C:
    """Let values of a frozen dataclass or NamedTuple be stored and digested, under a name that is for ever.

    Raises:
        TypeError: the class is neither, or the name is taken by another class.
    """
    frozen = is_dataclass(cls) and cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    if not frozen and not (issubclass(cls, tuple) and hasattr(cls, "_fields")):
        raise TypeError(f"{cls.__name__} is neither a frozen dataclass nor a NamedTuple")
    known = _CLASS_OF.get(name)
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise TypeError(f"the name {name} is already registered for {known.__qualname__}")
    _NAME_OF[cls], _CLASS_OF[name] = name, cls
    return cls


def encode(value: Any) -> tuple[dict[str, torch.Tensor], Any]:
    """Take a value apart: its tensors by name (on the CPU, contiguous, sharing no memory), and plain JSON.

    Floats are kept exactly; True, 1, 1.0 and "1" stay different; a tensor's device is remembered.

    Raises:
        NotStorable: the value holds a handle, or a tensor that safetensors cannot carry.
    """
    tensors: dict[str, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> list[Any]:
        name = str(len(tensors))
        tensors[name] = _plain(tensor)
        return ["t", name, tensor.device.type]

    return tensors, _shallow(lambda: _encode(value, keep))


def decode(tensors: Mapping[str, torch.Tensor], structure: Any) -> Any:
    """Put a value together again from what `encode` gave; tensors return to their device if it is there.

    Raises:
        NotStorable: the structure names a class that is not registered in this process, or is no structure.
    """
    try:
        return _decode(structure, tensors)
    except (KeyError, IndexError, TypeError, ValueError, GlidewireError) as problem:
        raise NotStorable(f"not a stored value: {problem!r}") from problem


def digest(value: Any) -> str:
    """SHA-256 of a value: of the dtype, shape and bytes of its tensors and of everything else in it.

    The device and the strides of a tensor do not count. A handle counts by its own `digest()`.

    Raises:
        NotStorable: the value holds a handle without a `digest()`.
    """

    def keep(tensor: torch.Tensor) -> list[Any]:
        plain = _plain(tensor, clone=False)
        data = plain.reshape(-1).view(torch.uint8) if plain.numel() else torch.empty(0, dtype=torch.uint8)
        content = hashlib.sha256(data.numpy().data).hexdigest()
        return ["t", str(plain.dtype), list(plain.shape), content]

    def handle(thing: Any) -> list[Any]:
        own = getattr(thing, "digest", None)
        if callable(own):
            return ["h", type(thing).__name__, str(own())]
        raise NotStorable(f"{type(thing).__name__} has no digest")

    return hashlib.sha256(canonical(_shallow(lambda: _encode(value, keep, handle))).encode()).hexdigest()


def canonical(structure: Any) -> str:
    """The one JSON text of a structure: ASCII, no spaces."""
    return json.dumps(structure, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def nbytes(value: Any) -> int:
    """Bytes that a value holds: whole storages of tensors, each once; a handle counts by its own `nbytes()`."""
    storages: dict[int, int] = {}
    other = 0
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, torch.Tensor):
            storage = current.untyped_storage()
            storages[storage.data_ptr() or id(storage)] = storage.nbytes()
        elif isinstance(current, (int, float, bool, str, bytes, type(None))):
            other += sys.getsizeof(current)
        else:
            parts = _parts(current)
            if parts is not None:
                other += 64
                waiting.extend(parts)
            else:
                other += _handle_nbytes(current)
    return sum(storages.values()) + other


def map_tensors(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same value with every tensor replaced by `change(tensor)`; handles are left as they are."""
    if isinstance(value, torch.Tensor):
        return change(value)
    kind = type(value)
    if kind is list or kind is tuple:
        return kind(map_tensors(item, change) for item in value)
    if kind is dict:
        return {key: map_tensors(item, change) for key, item in value.items()}
    if kind in _NAME_OF:
        return _made(kind, {name: map_tensors(item, change) for name, item in _fields(value)})
    return value


def named_tensors(value: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor in a value with the way to it: "tensor", "tensors/text", "0"; handles are passed over."""
    if isinstance(value, torch.Tensor):
        yield name, value
        return
    kind = type(value)
    if kind is list or kind is tuple:
        parts: Iterable[tuple[Any, Any]] = enumerate(value)
    elif kind is dict:
        parts = value.items()
    else:
        parts = _fields(value) if kind in _NAME_OF else ()
    for part, item in parts:
        yield from named_tensors(item, f"{name}/{part}" if name else str(part))


def describe(value: Any) -> str:
    """One line on a value: type, shape, dtype and range, for events and error texts."""
    if isinstance(value, torch.Tensor):
        shape = "x".join(str(size) for size in value.shape) or "scalar"
        text = f"{str(value.dtype).removeprefix('torch.')} {shape}"
        place = "" if value.device.type == "cpu" else f" on {value.device}"
        return f"{text}{_range(value)}{place}"
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        inside = f": {describe(value[0])}{', ...' if len(value) > 1 else ''}" if value else ""
        return f"{type(value).__name__} of {len(value)}{inside}"
    if type(value) in _NAME_OF:
        inside = ", ".join(f"{name}={describe(item)}" for name, item in _fields(value))
        return f"{type(value).__name__}({_short(inside, 160)})"
    if isinstance(value, dict):
        inside = ", ".join(f"{key}: {describe(item)}" for key, item in list(value.items())[:4])
        return f"dict of {len(value)} ({_short(inside, 160)})"
    if isinstance(value, (bool, int, float, str, type(None))):
        return _short(repr(value), 80)
    return type(value).__name__


def _shallow(work: Callable[[], list[Any]]) -> list[Any]:
    try:
        return work()
    except RecursionError:
        raise NotStorable("a value is nested too deeply, or holds itself") from None


def _encode(
    value: Any, keep: Callable[[torch.Tensor], list[Any]], handle: Callable[[Any], list[Any]] | None = None
) -> list[Any]:
    kind = type(value)
    if value is None:
        return ["n"]
    if kind is bool:
        return ["b", value]
    if kind is int:
        return ["i", str(value)]
    if kind is float:
        return ["f", value.hex()]
    if kind is str:
        return ["s", value]
    if kind is bytes:
        return ["y", value.hex()]
    if isinstance(value, torch.Tensor) and kind in (torch.Tensor, torch.nn.Parameter):
        return keep(value)
    if kind is list or kind is tuple:
        return ["l" if kind is list else "u", *(_encode(item, keep, handle) for item in value)]
    if kind is dict:
        return ["d", *([_encode(key, keep, handle), _encode(item, keep, handle)] for key, item in value.items())]
    if kind in _NAME_OF:
        return ["r", _NAME_OF[kind], *([name, _encode(item, keep, handle)] for name, item in _fields(value))]
    if handle is not None:
        return handle(value)
    raise NotStorable(f"{kind.__name__} is a handle: it lives in memory only")


def _decode(structure: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    tag, *rest = structure
    match tag:
        case "n":
            return None
        case "b" | "s":
            return rest[0]
        case "i":
            return int(rest[0])
        case "f":
            return float.fromhex(rest[0])
        case "y":
            return bytes.fromhex(rest[0])
        case "t":
            tensor = tensors[rest[0]]
            return tensor if rest[1] == "cpu" or not _present(rest[1]) else tensor.to(rest[1])
        case "l":
            return [_decode(item, tensors) for item in rest]
        case "u":
            return tuple(_decode(item, tensors) for item in rest)
        case "d":
            return {_decode(key, tensors): _decode(item, tensors) for key, item in rest}
        case "r":
            return _made(_CLASS_OF[rest[0]], {name: _decode(item, tensors) for name, item in rest[1:]})
    raise ValueError(f"unknown tag {tag!r}")


def _plain(tensor: torch.Tensor, clone: bool = True) -> torch.Tensor:
    """Dense, on the CPU, contiguous; with `clone`, alone in its storage."""
    if tensor.layout is not torch.strided or tensor.dtype not in _STORABLE_DTYPES or tensor.is_meta:
        raise NotStorable(f"a {tensor.layout} tensor of {tensor.dtype} cannot be stored")
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return plain.clone() if clone and plain.data_ptr() == tensor.data_ptr() else plain


def _fields(value: Any) -> list[tuple[str, Any]]:
    if is_dataclass(value):
        return [(entry.name, getattr(value, entry.name)) for entry in fields(value) if entry.init]
    return list(zip(value._fields, value, strict=True))


def _made(cls: type, parts: Mapping[str, Any]) -> Any:
    return cls(**parts)


def _parts(value: Any) -> list[Any] | None:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple)):
        return list(value)
    if type(value) in _NAME_OF:
        return [item for _, item in _fields(value)]
    return None


def _handle_nbytes(value: Any) -> int:
    own = getattr(value, "nbytes", None)
    return int(own()) if callable(own) else 256


def _present(device: str) -> bool:
    return (device == "cuda" and torch.cuda.is_available()) or (device == "mps" and torch.backends.mps.is_available())


def _range(value: torch.Tensor) -> str:
    if value.numel() == 0 or value.is_complex() or value.is_meta or value.numel() > 2**24:
        return ""
    exact = value.dtype in (torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8)
    low, high = torch.aminmax(value.detach() if exact else value.detach().float())
    return f" in [{low.item():.4g}, {high.item():.4g}]"


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."
