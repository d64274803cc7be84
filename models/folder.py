"""Folders of `config.json` beside weights in one file or in shards, as diffusers and transformers write them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import GlidewireError
from .header import Header, read_header

CONFIG, PIPELINE = "config.json", "model_index.json"
# The first that is there is taken: safetensors before pickles, full precision before half.
WEIGHTS = tuple(
    f"{stem}{variant}.{ending}"
    for ending in ("safetensors", "bin")
    for variant in ("", ".fp16")
    for stem in ("diffusion_pytorch_model", "model" if ending == "safetensors" else "pytorch_model")
)
_JSON_LIMIT = 64 * 2**20  # the index of a large sharded model takes a few hundred kilobytes


def is_pipeline(folder: Path) -> bool:
    """Whether a folder holds the folders of several models."""
    return (folder / PIPELINE).is_file()


def components(folder: Path) -> tuple[Path, ...]:
    """The folders inside a pipeline's that hold weights."""
    return tuple(sorted(inside for inside in folder.iterdir() if inside.is_dir() and _weights(inside)))


def read_folder(folder: Path) -> Header:
    """Read the headers of a folder's weights as one, with its configuration.

    Raises:
        GlidewireError: There is no config or no weights in it, the JSON is damaged, a shard is missing, or as
            `read_header`.
    """
    if not (folder / CONFIG).is_file():
        raise GlidewireError(
            f"checkpoint {folder.name} is a folder without {CONFIG}",
            expected=f"{CONFIG} and one of {', '.join(WEIGHTS[:2])}",
            got=", ".join(sorted(inside.name for inside in folder.iterdir())[:8]) or "nothing",
            hint="Name a file inside it, or a folder that diffusers wrote.",
        )
    config = read_json(folder / CONFIG)
    weights = _weights(folder)
    if weights is None:
        raise GlidewireError(
            f"checkpoint {folder.name} is a folder without weights", expected=f"one of {', '.join(WEIGHTS)}"
        )
    if weights.suffix == ".json":
        return _sharded(folder, weights, config)
    header = read_header(weights)
    return replace(header, path=folder, files=dict.fromkeys(header.shapes, weights), config=config)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises GlidewireError on anything else."""
    try:
        text = path.read_bytes()[: _JSON_LIMIT + 1]
        value = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise GlidewireError(f"{path.parent.name}/{path.name} is not readable JSON", got=str(error)[:200]) from error
    if not isinstance(value, dict):
        raise GlidewireError(f"{path.parent.name}/{path.name} is not a JSON object", got=type(value).__name__)
    return value


def _weights(folder: Path) -> Path | None:
    """The weights to take: one file, or the index of several."""
    for name in WEIGHTS:
        stem, *variant, ending = name.split(".")
        index = ".".join([stem, ending, "index", *variant, "json"])
        for path in (folder / name, folder / index):
            if path.is_file():
                return path
    return None


def _sharded(folder: Path, index: Path, config: dict[str, Any]) -> Header:
    places = read_json(index).get("weight_map")
    where = f"{folder.name}/{index.name}"
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise GlidewireError(f"{where} names no shards", expected='"weight_map" of keys and file names')
    names = sorted(set(places.values()))
    # A shard is a file of this folder and nothing else.
    if strange := [name for name in names if Path(name).name != name]:
        raise GlidewireError(f"{where} names a shard outside of its folder", got=strange[0])
    if absent := [name for name in names if not (folder / name).is_file()]:
        raise GlidewireError(
            f"{where}: shards are missing", expected=f"{len(names)} files", got=f"without {', '.join(absent)}"
        )
    shards = [read_header(folder / name) for name in names]
    return Header(
        path=folder,
        format=shards[0].format,
        shapes={key: shape for shard in shards for key, shape in shard.shapes.items()},
        dtypes={key: dtype for shard in shards for key, dtype in shard.dtypes.items()},
        locations={key: place for shard in shards for key, place in shard.locations.items()},
        files={key: shard.path for shard in shards for key in shard.shapes},
        config=config,
        states={path: state for shard in shards for path, state in shard.states.items()},
    )
