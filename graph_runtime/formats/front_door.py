"""Reading any workflow file, and writing one: saved workflow or API form, as JSON or inside a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ...errors import GlidewireError
from ..atomic import replacing
from ..graph import Graph
from ..problems import GraphProblems, Problem
from ..registry import Registry
from .api import Reading, from_api, is_api, with_missing_nodes
from .document import is_saved
from .json_text import Json, dump, parse
from .picture import MAX_BYTES, PROMPT, WORKFLOW, is_picture, read_texts
from .saved import from_saved

Source = Path | bytes | str | Mapping[str, Any]
Which = Literal["workflow", "prompt"]


def read(source: Source, registry: Registry, *, which: Which = "workflow") -> Graph:
    """Read a workflow in any of its forms.

    Args:
        source: A file's path, its bytes, JSON text (beginning with a brace; another text is a path), or the document.
        registry: The nodes that exist.
        which: Of a picture that carries both, the saved workflow (for opening) or the API form (for running: its
            seeds are those that made the picture, the workflow's may be the next ones).

    Raises:
        GraphProblems: the document is a workflow, but parts of it cannot be read; lists them all.
        GlidewireError: no file, not a workflow, damaged, or too large.
    """
    reading = examine(source, registry, which=which)
    if reading.problems:
        raise GraphProblems(with_missing_nodes(reading.problems, reading.graph))
    return reading.graph


def examine(source: Source, registry: Registry, *, which: Which = "workflow") -> Reading:
    """Read a workflow as far as it can be read, with the problems of the rest, so that a check can go on.

    Args, raises: as `read`, but without GraphProblems.
    """
    if isinstance(source, Mapping):
        return _document(parse(dump(dict(source))), registry)
    name = "the workflow" if isinstance(source, bytes) else str(source)
    if isinstance(source, str):
        if source.lstrip("\ufeff \t\r\n").startswith(("{", "[")) or not source.strip():
            return _document(parse(source.lstrip("\ufeff"), "the workflow"), registry)
        source = Path(source)
    data = source if isinstance(source, bytes) else _bytes(source)
    if is_picture(data):
        return _picture(read_texts(data, name), name, registry, which)
    if data.startswith((b"\xff\xd8\xff", b"GIF8", b"BM")):
        raise GlidewireError(
            f"{name} is a picture of a kind that carries no workflow",
            expected="PNG, WebP or JSON",
            got="JPEG, GIF or BMP",
        )
    return _document(parse(data, name), registry, name)


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document as JSON; the file appears whole or not at all.

    Raises:
        GlidewireError: it holds a value that JSON cannot carry, or the file cannot be written.
    """
    text = dump(document, indent=2)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _document(read_json: Json, registry: Registry, name: str = "the workflow") -> Reading:
    document = read_json.value
    if not isinstance(document, dict):
        raise _no_workflow(name, f"JSON of another kind ({json.dumps(document)[:60]})")
    if is_saved(document):
        reading = from_saved(document, registry)
        twice = [Problem("malformed", f"{key} stands twice in one object") for key in read_json.repeated]
        return reading._replace(problems=(*twice, *reading.problems))
    if is_api(document):
        return from_api(document, registry)
    raise _no_workflow(name, f"an object with the keys {', '.join(list(document)[:8]) or '(none)'}"[:120])


def _picture(texts: Mapping[str, str], name: str, registry: Registry, which: Which) -> Reading:
    order = (WORKFLOW, PROMPT) if which == "workflow" else (PROMPT, WORKFLOW)
    present = [key for key in order if texts.get(key)]
    if not present:
        others = ", ".join(sorted(texts)) or "no text"
        raise GlidewireError(
            f"{name} carries no workflow",
            expected='a text called "workflow" or "prompt"',
            got=others[:120],
            hint="Pictures lose it when they are edited, converted or sent by some chat programs.",
        )
    reading = _document(parse(texts[present[0]], f"{present[0]} in {name}"), registry, f"{present[0]} in {name}")
    if present == [PROMPT, WORKFLOW]:
        return reading._replace(graph=Graph(reading.graph.calls.values(), _companion(texts[WORKFLOW])))
    return reading


def _companion(text: str) -> Mapping[str, Any] | None:
    """The saved workflow beside an API form, if it can be read: it only travels on."""
    try:
        document = parse(text).value
    except GlidewireError:
        return None
    return document if isinstance(document, dict) and is_saved(document) else None


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "something that is no file" if path.exists() else "no such file"
            raise GlidewireError(f"{path} cannot be read", expected="a workflow file: JSON, PNG or WebP", got=found)
        if path.stat().st_size > MAX_BYTES:
            raise GlidewireError(f"{path} is too large", expected=f"at most {MAX_BYTES} bytes", got=path.stat().st_size)
        return path.read_bytes()
    except (OSError, ValueError) as problem:
        raise GlidewireError(f"{path!s} cannot be read", expected="a workflow file", got=str(problem)) from None


def _no_workflow(name: str, got: str) -> GlidewireError:
    return GlidewireError(
        f"{name} is no workflow",
        expected='a saved workflow ({"nodes": [...], "links": [...]}) or the API form ({id: {"class_type": ...}})',
        got=got,
    )
