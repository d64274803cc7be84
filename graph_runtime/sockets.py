"""Socket types: what may flow along a wire, and the annotation `Socket[Image, "batch height width 3"]`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin


@dataclass(frozen=True)
class Dims:
    """The shape that a socket carries, as text in the jaxtyping grammar (parsed by `dims.parse`)."""

    text: str


if TYPE_CHECKING:
    # A type checker sees the plain Python type; the dims are for us (the way jaxtyping does it).
    from typing import Annotated as Socket
else:

    class Socket:
        """`Socket[Image, "batch height width 3"]`: a wire of that type, with dims to be unified over the graph."""

        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            python_type, dims = item
            return Annotated[python_type, Dims(dims)]


@dataclass(frozen=True)
class SocketType:
    """One type of wire.

    Args:
        id: The name that workflow files and hosts use, in capitals: "IMAGE".
        python: The Python type (a class or a NewType) that annotations use.
        description: One sentence for the help pages.
        handle: True for a value that lives in memory only (a network, a denoiser): cheap to make again from
            its inputs, so it is never written to disk.
    """

    id: str
    python: Any
    description: str
    handle: bool = False


_BY_PYTHON: dict[Any, SocketType] = {}
_BY_ID: dict[str, SocketType] = {}


def socket_type(id: str, python: Any, description: str, *, handle: bool = False) -> SocketType:  # noqa: A002
    """Register a Python type as the socket type `id`; a second registration must say the same."""
    made = SocketType(id, python, description, handle)
    if _BY_ID.setdefault(id, made) != made or _BY_PYTHON.setdefault(python, made) != made:
        raise ValueError(f"socket type {id} for {python!r} is already registered as {_BY_ID.get(id)}")
    return made


ANY = socket_type("*", Any, "Anything: the wire's own type passes through.")
INT = socket_type("INT", int, "A whole number.")
FLOAT = socket_type("FLOAT", float, "A real number.")
STRING = socket_type("STRING", str, "A text.")
BOOLEAN = socket_type("BOOLEAN", bool, "True or false.")
COMBO = socket_type("COMBO", "COMBO", "One of a list of texts.")


def by_id(id: str) -> SocketType | None:  # noqa: A002
    """The socket type called `id`, or None."""
    return _BY_ID.get(id)


def all_types() -> Iterable[SocketType]:
    """Every registered socket type, in order of registration."""
    return _BY_ID.values()


def types_of(annotation: Any) -> tuple[SocketType, ...]:
    """The socket types that an annotation (without its Annotated shell) admits; a union admits several.

    Raises:
        TypeError: the annotation names a Python type that is no registered socket type.
    """
    if isinstance(annotation, TypeVar):
        return (ANY,)
    if annotation in _BY_PYTHON:
        return (_BY_PYTHON[annotation],)
    if get_origin(annotation) in (Union, type(int | str)):
        return tuple(found for arm in get_args(annotation) for found in types_of(arm))
    raise TypeError(f"{annotation!r} is no registered socket type; register it with socket_type(...)")


def fits(source: Iterable[str], target: Iterable[str]) -> bool:
    """Whether a wire from a socket with ids `source` may enter a socket with ids `target`.

    A wildcard fits anything; an INT may enter a FLOAT; COMBO and STRING are the same texts on a wire.
    """
    widened = set(source)
    if "INT" in widened:
        widened.add("FLOAT")
    if widened & {"COMBO", "STRING"}:
        widened |= {"COMBO", "STRING"}
    wanted = set(target)
    return "*" in widened or "*" in wanted or bool(widened & wanted)
