"""An adapter's hyper-parameters: the published ones, and their inference from a state dict's shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from ...errors import GlidewireError
from ..hyper_parameters import combined, matching, require

Kind = Literal["base", "plus", "full", "face", "face_plus"]
Shapes = Mapping[str, tuple[int, ...]]

# Every resampler that was published has heads of this width.
HEAD_WIDTH = 64
PROJECTION, ATTENTION = "image_proj.", "ip_adapter."
# Of a layer of attention, in the names of files and of ours.
PARTS = ("q", "k", "v", "out")
# Which projection a file has, by a key that no earlier row has.
_KINDS: Mapping[str, Kind] = {
    "perceiver_resampler.proj_in.weight": "face_plus",
    "latents": "plus",
    "proj.3.weight": "full",
    "proj.0.weight": "face",
    "proj.weight": "base",
}
_STABLE_DIFFUSION_1 = (*(320,) * 2, *(640,) * 2, *(1280,) * 5, *(640,) * 3, *(320,) * 3, 1280)


@dataclass(frozen=True)
class IpAdapterSpec:
    """Hyper-parameters of one adapter (Ye et al. 2023); the defaults are ip-adapter_sd15's.

    Attributes:
        kind: Which projection makes image tokens: of a picture's embedding ("base"), of a picture encoder's last
            but one states by a resampler ("plus") or one by one ("full"), of a face's embedding ("face"), or of a
            face's embedding and those states ("face_plus").
        tokens: Image tokens; 0 where there are as many as states ("full").
        image_width: Width of the picture encoder's embedding or states; 0 where only a face is taken.
        face_width: Width of the face's embedding; 0 where none is taken.
        context_width: Width of tokens, as of the text's.
        channels: Width of each attention to a context, in the order down, up, middle.
        hidden_width: Width inside of a resampler; 0 without one.
        depth: Layers of a resampler; 0 without one.
        inner_width: Channels of all heads of a resampler's attention; 0 without one.
        lora_rank: Rank of what is added to every projection of every attention layer; 0 for nothing.
        shortcut: Whether the face's own tokens are added to what the resampler made of them (version 2 of
            "face_plus").
    """

    kind: Kind = "base"
    tokens: int = 4
    image_width: int = 1024
    face_width: int = 0
    context_width: int = 768
    channels: tuple[int, ...] = _STABLE_DIFFUSION_1
    hidden_width: int = 0
    depth: int = 0
    inner_width: int = 0
    lora_rank: int = 0
    shortcut: bool = False

    def __post_init__(self) -> None:
        require(self.kind in get_args(Kind), self, "kind", get_args(Kind))
        require((self.tokens > 0) != (self.kind == "full"), self, "tokens", "a positive number, or 0 for full")
        require(
            (self.image_width > 0) != (self.kind == "face"), self, "image_width", "a positive number, or 0 for face"
        )
        require((self.face_width > 0) == self.of_faces, self, "face_width", "a positive number for faces, or else 0")
        require(self.context_width > 0, self, "context_width", "a positive number")
        right = bool(self.channels) and min(self.channels) > 0
        require(right, self, "channels", "positive numbers")
        for name in ("hidden_width", "depth", "inner_width"):
            require((getattr(self, name) > 0) == self.resamples, self, name, "a positive number with a resampler, or 0")
        require(self.inner_width % HEAD_WIDTH == 0, self, "inner_width", f"a multiple of {HEAD_WIDTH}")
        same = self.kind != "face_plus" or self.hidden_width == self.context_width
        require(same, self, "hidden_width", f"{self.context_width}, the width of tokens")
        require(self.lora_rank >= 0, self, "lora_rank", "0 or more")
        require(self.kind == "face_plus" or not self.shortcut, self, "shortcut", "False for other kinds than face_plus")

    @property
    def of_faces(self) -> bool:
        """Whether it takes a face's embedding."""
        return self.kind in ("face", "face_plus")

    @property
    def resamples(self) -> bool:
        """Whether it has a resampler."""
        return self.kind in ("plus", "face_plus")


_BASE = IpAdapterSpec()
_PLUS = replace(_BASE, kind="plus", tokens=16, image_width=1280, hidden_width=768, depth=4, inner_width=768)
_FACE = replace(_BASE, kind="face", image_width=0, face_width=512, lora_rank=128)
_FACE_PLUS = replace(_FACE, kind="face_plus", image_width=1280, hidden_width=768, depth=4, inner_width=768)

# Where two have the same shapes, what they differ in is assumed to be the first one's.
PUBLISHED: Mapping[str, IpAdapterSpec] = {
    "ip-adapter": _BASE,
    "ip-adapter-plus": _PLUS,
    "ip-adapter-full-face": replace(_BASE, kind="full", tokens=0, image_width=1280),
    "ip-adapter-faceid": _FACE,
    "ip-adapter-faceid-portrait": replace(_FACE, tokens=16, lora_rank=0),
    "ip-adapter-faceid-plus": _FACE_PLUS,
    "ip-adapter-faceid-plusv2": replace(_FACE_PLUS, shortcut=True),
}


def infer_spec(shapes: Shapes, *, stated: Mapping[str, Any], where: str) -> tuple[str, IpAdapterSpec, tuple[str, ...]]:
    """The variant, the spec, and the names of hyper-parameters that were assumed.

    Args:
        shapes: Shape of each tensor by its published key.
        stated: Hyper-parameters by the spec's names.
        where: Named in errors.

    Raises:
        GlidewireError: The shapes are no adapter's, or contradict what is stated.
    """
    try:
        told = _told(shapes)
    except KeyError as error:
        raise GlidewireError(f"{where} is not a whole IP-Adapter: key {error} is missing") from error
    except (ValueError, IndexError) as error:
        raise GlidewireError(f"{where} is not an IP-Adapter: its tensors have other dimensions") from error
    found = matching(PUBLISHED, told)
    spec = combined(_BASE, told, stated, where=where)
    agreeing = [name for name, row in found.items() if row.shortcut == spec.shortcut]
    assumed = ("shortcut",) if spec.kind == "face_plus" and "shortcut" not in stated else ()
    return (agreeing or [f"IP-Adapter, {spec.kind}"])[0], spec, assumed


def _told(shapes: Shapes) -> dict[str, Any]:
    projection = {key.removeprefix(PROJECTION): shape for key, shape in shapes.items() if key.startswith(PROJECTION)}
    kind = next((kind for key, kind in _KINDS.items() if key in projection), None)
    if kind is None:
        raise KeyError(f"{PROJECTION}proj.weight")
    numbers = _numbers(r"ip_adapter\.(\d+)\.to_k_ip\.weight", shapes)
    # One key at least, or the first that is missing.
    keys = [shapes[f"{ATTENTION}{number}.to_k_ip.weight"] for number in numbers or [1]]
    told: dict[str, Any] = {
        "kind": kind,
        "context_width": keys[0][1],
        "channels": tuple(shape[0] for shape in keys),
        "lora_rank": shapes.get(f"{ATTENTION}0.to_q_lora.down.weight", (0,))[0],
    }
    return told | _PROJECTIONS[kind](projection, told["context_width"])


def _base(projection: Shapes, width: int) -> dict[str, int]:
    rows, image_width = projection["proj.weight"]
    return {"tokens": rows // width, "image_width": image_width}


def _plus(projection: Shapes, width: int) -> dict[str, int]:
    return {"tokens": projection["latents"][1], **_resampler(projection, "")}


def _full(projection: Shapes, width: int) -> dict[str, int]:
    return {"tokens": 0, "image_width": projection["proj.0.weight"][1]}


def _face(projection: Shapes, width: int) -> dict[str, int]:
    rows = projection["proj.2.weight"][0]
    return {"tokens": rows // width, "face_width": projection["proj.0.weight"][1], "image_width": 0}


def _face_plus(projection: Shapes, width: int) -> dict[str, int]:
    return {**_face(projection, width), **_resampler(projection, "perceiver_resampler.")}


_PROJECTIONS = {"base": _base, "plus": _plus, "full": _full, "face": _face, "face_plus": _face_plus}


def _resampler(projection: Shapes, prefix: str) -> dict[str, int]:
    hidden_width, image_width = projection[f"{prefix}proj_in.weight"]
    pattern = rf"{re.escape(prefix)}layers\.(\d+)\.0\.to_q\.weight"
    return {
        "image_width": image_width,
        "hidden_width": hidden_width,
        "depth": len(_numbers(pattern, projection)),
        "inner_width": projection[f"{prefix}layers.0.0.to_q.weight"][0],
    }


def _numbers(pattern: str, keys: Iterable[str]) -> list[int]:
    matches = (re.fullmatch(pattern, key) for key in keys)
    return sorted(int(match[1]) for match in matches if match)
