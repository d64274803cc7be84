"""Hyper-parameters of Paella's networks: as published, and as told by a state dict's shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...errors import GlidewireError
from ..hyper_parameters import combined, matching, require, typed

Shapes = Mapping[str, tuple[int, ...]]


def _require_time(spec: object, channels: int) -> None:
    require(channels >= 4 and channels % 2 == 0, spec, "time_channels", "an even number from 4 up")


@dataclass(frozen=True)
class PaellaV1Spec:
    """The first generation's predictor, convolutions only (Rampas et al. 2022, sec. 3); defaults as published.

    Attributes:
        codes: Number of tokens of the first stage.
        width: Channels of the deepest level; each level above has half of those below.
        clip_width: Width of the CLIP vector.
        time_channels: Width of the embedding of the time.
        down_blocks: Blocks of each level on the way down, highest resolution first.
        up_blocks: Blocks of each level on the way up, lowest resolution first.
    """

    codes: int = 8192
    width: int = 1280
    clip_width: int = 1024
    time_channels: int = 64
    down_blocks: tuple[int, ...] = (4, 8, 16)
    up_blocks: tuple[int, ...] = (16, 8, 4)

    def __post_init__(self) -> None:
        for name in ("codes", "width", "clip_width"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        _require_time(self, self.time_channels)
        require(bool(self.down_blocks) and min(self.down_blocks) > 0, self, "down_blocks", "positive numbers")
        same = len(self.up_blocks) == len(self.down_blocks)
        require(same and min(self.up_blocks) > 0, self, "up_blocks", "as many positive numbers as down_blocks")
        require(self.width % self.size_multiple == 0, self, "width", f"a multiple of {self.size_multiple}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, highest resolution first."""
        levels = len(self.down_blocks)
        return tuple(self.width >> (levels - 1 - level) for level in range(levels))

    @property
    def size_multiple(self) -> int:
        """Sides of a token grid are multiples of this."""
        return 2 ** (len(self.down_blocks) - 1)


@dataclass(frozen=True)
class PaellaV3Spec:
    """The third generation's predictor, with attention (Rampas et al. 2023, sec. 3); defaults as published.

    Attributes:
        codes: Number of tokens of the first stage.
        in_channels: Width of a token's embedding.
        out_channels: Width of a token before its scores.
        time_channels: Width of the embedding of the time.
        context_width: Width of the conditions' common sequence.
        widths: Channels of each level, highest resolution first.
        heads: Attention heads of each level; 0 where it does not attend.
        blocks: Repetitions of each level's program.
        programs: What is repeated at each level: C is a convolutional block, T modulates by the time, A attends.
        clip_width: Width of CLIP's vectors.
        byt5_width: Width of ByT5's states.
        clip_tokens: Places in the sequence that each CLIP vector takes.
    """

    codes: int = 8192
    in_channels: int = 256
    out_channels: int = 256
    time_channels: int = 64
    context_width: int = 1024
    widths: tuple[int, ...] = (640, 1280, 1280)
    heads: tuple[int, ...] = (0, 16, 16)
    blocks: tuple[int, ...] = (6, 16, 6)
    programs: tuple[str, ...] = ("CT", "CTA", "CTA")
    clip_width: int = 1024
    byt5_width: int = 2560
    clip_tokens: int = 4

    def __post_init__(self) -> None:
        numbers = ("codes", "in_channels", "out_channels", "context_width", "clip_width", "byt5_width", "clip_tokens")
        for name in numbers:
            require(getattr(self, name) > 0, self, name, "a positive number")
        _require_time(self, self.time_channels)
        levels = len(self.widths)
        require(levels > 0, self, "widths", "one level or more")
        for name in ("heads", "blocks", "programs"):
            require(len(getattr(self, name)) == levels, self, name, f"one for each of {levels} levels")
        require(min(self.blocks) > 0, self, "blocks", "positive numbers")
        # The first block of a level on the way up takes the skip connection.
        right = all(program[:1] == "C" and set(program) <= set("CTA") for program in self.programs)
        require(right, self, "programs", "C first, then any of C, T and A")
        for width, heads, program in zip(self.widths, self.heads, self.programs, strict=True):
            fits = heads > 0 and width % heads == 0 if "A" in program else True
            require(fits, self, "heads", f"divisors of {list(self.widths)} where a level attends")

    @property
    def size_multiple(self) -> int:
        """Sides of a token grid are multiples of this; the first halving is part of the embedding."""
        return 2 ** len(self.widths)


@dataclass(frozen=True)
class VqganSpec:
    """The third generation's first stage (Rampas et al. 2023, sec. 3.1); defaults as published (f4).

    Attributes:
        levels: Halvings of the picture.
        bottleneck_blocks: Blocks of the decoder at the lowest resolution.
        width: Channels at the lowest resolution; each level above has half of those below.
        latent_channels: Channels of a latent, and of a code.
        codes: Number of codes.
        scale_factor: Published latents are the autoencoder's divided by it.
    """

    levels: int = 2
    bottleneck_blocks: int = 12
    width: int = 384
    latent_channels: int = 4
    codes: int = 8192
    scale_factor: float = 0.3764

    def __post_init__(self) -> None:
        for name in ("levels", "bottleneck_blocks", "width", "latent_channels", "codes", "scale_factor"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        halves = 2 ** (self.levels - 1)
        require(self.width % halves == 0, self, "width", f"a multiple of {halves}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, highest resolution first."""
        return tuple(self.width >> (self.levels - 1 - level) for level in range(self.levels))

    @property
    def factor(self) -> int:
        """Pixels of the picture's side per token."""
        return 2**self.levels


@dataclass(frozen=True)
class PriorSpec:
    """The prior from a CLIP text vector to a CLIP image vector, an MLP; defaults as published.

    Attributes:
        clip_width: Width of both vectors.
        width: Channels between blocks.
        time_channels: Width of the embedding of the time.
        blocks: Residual blocks.
    """

    clip_width: int = 1024
    width: int = 1280
    time_channels: int = 64
    blocks: int = 48

    def __post_init__(self) -> None:
        for name in ("clip_width", "width", "blocks"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        _require_time(self, self.time_channels)


Spec = PaellaV1Spec | PaellaV3Spec | VqganSpec | PriorSpec

PUBLISHED: Mapping[str, Spec] = {
    "v1": PaellaV1Spec(),
    "1B, of CLIP image vectors": PaellaV1Spec(down_blocks=(1, 2, 8, 32), up_blocks=(32, 8, 2, 1)),
    "v3": PaellaV3Spec(),
    "f4": VqganSpec(),
    "prior": PriorSpec(),
}
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
        given["heads"] = tuple(max(0, heads) for heads in given["heads"])
    try:
        told = _TOLD[kind](shapes, given)
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
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
        "time_channels": shapes["down_blocks.0.1.mapper.weight"][1],
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
