"""Which of Paella's networks a state dict is: its hyper-parameters from keys and shapes, and from what is stated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ...errors import GlidewireError
from ..hyper_parameters import combined, matching, typed
from .spec import PUBLISHED, PaellaV1Spec, PaellaV3Spec, PriorSpec, Spec, VqganSpec

Shapes = Mapping[str, tuple[int, ...]]

# The published code's names.
ALIASES: Mapping[type, Mapping[str, str]] = {
    PaellaV1Spec: {
        "num_labels": "codes", "c_hidden": "width", "c_clip": "clip_width", "c_r": "time_channels",
        "down_levels": "down_blocks", "up_levels": "up_blocks",
    },
    PaellaV3Spec: {
        "c_in": "in_channels", "c_out": "out_channels", "num_labels": "codes", "c_r": "time_channels",
        "c_cond": "context_width", "c_hidden": "widths", "nhead": "heads", "level_config": "programs",
        "clip_embd": "clip_width", "byt5_embd": "byt5_width", "clip_seq_len": "clip_tokens",
    },
    VqganSpec: {"c_hidden": "width", "c_latent": "latent_channels", "codebook_size": "codes"},
    PriorSpec: {"clip_r": "clip_width", "c_hidden": "width", "c_r": "time_channels", "num_blocks": "blocks"},
}  # fmt: skip
# What shapes cannot tell.
UNTOLD: Mapping[type, tuple[str, ...]] = {
    PaellaV1Spec: ("time_channels",), PaellaV3Spec: ("heads",), VqganSpec: ("scale_factor",), PriorSpec: (),
}  # fmt: skip


def infer_spec(
    kind: type[Spec], shapes: Shapes, *, stated: Mapping[str, Any] | None = None, where: str = "checkpoint"
) -> tuple[str, Spec, tuple[str, ...]]:
    """The variant and spec of a state dict, from its keys and shapes and from what is stated beside them.

    Args:
        kind: Which of Paella's networks it is.
        shapes: Shape of each tensor by its published key.
        stated: Hyper-parameters by the spec's names or the published code's.
        where: Named in errors.

    Returns:
        The published name, empty if the shapes are no published model's; the spec; and the names of
        hyper-parameters that were assumed.

    Raises:
        GlidewireError: The shapes are no such network's, or contradict what is stated.
    """
    given = {ALIASES[kind].get(name, name): value for name, value in (stated or {}).items()}
    given = typed(kind, given, where=f"{where}: stated hyper-parameters")
    if "heads" in given:
        # The published code writes -1 where a level does not attend.
        given["heads"] = tuple(0 if heads == -1 else heads for heads in given["heads"])
    try:
        told = _TOLD[kind](shapes, given)
    except (KeyError, ValueError, IndexError, StopIteration, ZeroDivisionError) as error:
        raise GlidewireError(
            f"{where} is not a whole {kind.__name__.removesuffix('Spec')}", got=f"a problem at {error}"
        ) from error
    of_kind = {name: spec for name, spec in PUBLISHED.items() if isinstance(spec, kind)}
    name, published = next(iter(matching(of_kind, told).items()), ("", None))
    base = published or replace(next(iter(of_kind.values())), **told, **_guessed(kind, told))
    spec = combined(base, told, given, where=where)
    assumed = () if published else tuple(field for field in UNTOLD[kind] if field not in given)
    return name, spec, assumed


def _guessed(kind: type, told: Mapping[str, Any]) -> dict[str, Any]:
    """What the untold hyper-parameters of a model that is not published could be."""
    if kind is not PaellaV3Spec:
        return {}
    attends = ["A" in program for program in told["programs"]]
    widths = zip(told["widths"], attends, strict=True)
    return {"heads": tuple((16 if width % 16 == 0 else 1) if yes else 0 for width, yes in widths)}


def _count(shapes: Shapes, pattern: str) -> int:
    """How many keys match; the pattern's first group is the whole of what is counted."""
    return len({found[1] for key in shapes if (found := re.fullmatch(pattern, key))})


def _told_v1(shapes: Shapes, given: Mapping[str, Any]) -> dict[str, Any]:
    levels = _count(shapes, r"down_blocks\.(\d+)\..*")
    ways = {
        way: tuple(_count(shapes, rf"{way}_blocks\.{level}\.(\d+)\.cond_mapper\.weight") for level in range(levels))
        for way in ("down", "up")
    }
    both = shapes["down_blocks.0.0.cond_mapper.weight"][1]
    clip_width = given.get("clip_width", both - given.get("time_channels", PaellaV1Spec.time_channels))
    return {
        "codes": shapes["embedding.weight"][0],
        "width": shapes["embedding.weight"][1] * 2 ** (levels - 1),
        "clip_width": clip_width,
        "time_channels": both - clip_width,
        "down_blocks": ways["down"],
        "up_blocks": ways["up"],
    }


_TIME_MAPPER = r"down_blocks\.\d+\.\d+\.mapper\.weight"


def _told_v3(shapes: Shapes, given: Mapping[str, Any]) -> dict[str, Any]:
    levels = _count(shapes, r"down_blocks\.(\d+)\..*")
    marks = {"depthwise.weight": "C", "mapper.weight": "T", "kv_mapper.1.weight": "A"}
    blocks, programs, widths = [], [], []
    for level in range(levels):
        found = {
            int(match[1]): marks[match[2]]
            for key in shapes
            if (match := re.fullmatch(rf"down_blocks\.{level}\.(\d+)\.(.+)", key)) and match[2] in marks
        }
        whole = "".join(found[index] for index in sorted(found))
        # The shortest program that makes the level: the published ones have one convolution each.
        count = next(n for n in range(len(whole), 0, -1) if whole[: len(whole) // n] * n == whole)
        blocks.append(count)
        programs.append(whole[: len(whole) // count])
        widths.append(shapes[f"down_blocks.{level}.{min(found)}.depthwise.weight"][0])
    context_width = shapes["byt5_mapper.weight"][0]
    return {
        "codes": shapes["in_mapper.0.weight"][0],
        "in_channels": shapes["in_mapper.0.weight"][1],
        "out_channels": shapes["out_mapper.1.weight"][1],
        "time_channels": next(shape[1] for key, shape in shapes.items() if re.fullmatch(_TIME_MAPPER, key)),
        "context_width": context_width,
        "widths": tuple(widths),
        "blocks": tuple(blocks),
        "programs": tuple(programs),
        "clip_width": shapes["clip_mapper.weight"][1],
        "byt5_width": shapes["byt5_mapper.weight"][1],
        "clip_tokens": shapes["clip_mapper.weight"][0] // context_width,
    }


def _told_vqgan(shapes: Shapes, given: Mapping[str, Any]) -> dict[str, Any]:
    levels = _count(shapes, r"down_blocks\.(\d+)\.gammas")
    codes, latent_channels = shapes["vquantizer.codebook.weight"]
    return {
        "levels": levels,
        "bottleneck_blocks": _count(shapes, r"up_blocks\.(\d+)\.gammas") - (levels - 1),
        "width": shapes["up_blocks.0.0.weight"][0],
        "latent_channels": latent_channels,
        "codes": codes,
    }


def _told_prior(shapes: Shapes, given: Mapping[str, Any]) -> dict[str, Any]:
    width, clip_width = shapes["blocks.0.weight"]
    return {
        "clip_width": clip_width,
        "width": width,
        "time_channels": shapes["blocks.1.0.weight"][1] - width - clip_width,
        "blocks": _count(shapes, r"blocks\.(\d+)\.0\.weight"),
    }


_TOLD: Mapping[type, Callable[[Shapes, Mapping[str, Any]], dict[str, Any]]] = {
    PaellaV1Spec: _told_v1, PaellaV3Spec: _told_v3, VqganSpec: _told_vqgan, PriorSpec: _told_prior,
}  # fmt: skip
