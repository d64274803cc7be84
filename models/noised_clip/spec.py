"""Hyper-parameters of noised CLIP's two towers, and what the shapes of a checkpoint tell of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ...errors import GlidewireError
from ..hyper_parameters import combined, require, typed

Shapes = Mapping[str, tuple[int, ...]]

# A constant of the published model's configuration, in no checkpoint: exp(logit_scale).
LOGIT_SCALE = 100.0


@dataclass(frozen=True)
class NoisedImageSpec:
    """Hyper-parameters of the image tower; the defaults are the published one's.

    Attributes:
        image_size: Side of the noised picture in pixels.
        patch_size: Side of a patch.
        width: Width of the transformer.
        layers: Its blocks.
        heads: Its heads.
        mlp_width: Width inside a block's MLP.
        embedding_width: Width of the space that texts share.
        timesteps: Rows of the table whose row t is the class token of a picture at timestep t.
    """

    image_size: int = 64
    patch_size: int = 4
    width: int = 768
    layers: int = 12
    heads: int = 12
    mlp_width: int = 3072
    embedding_width: int = 512
    timesteps: int = 1000

    def __post_init__(self) -> None:
        _require_transformer(self)
        require(self.image_size % self.patch_size == 0, self, "image_size", f"a multiple of {self.patch_size}")


@dataclass(frozen=True)
class NoisedTextSpec:
    """Hyper-parameters of the text tower; the defaults are the published one's.

    Attributes:
        context: Positions: the start token, the text, the end token, and zeros.
        vocabulary_size: Rows of the token embedding; published models use the first 49,408.
        width: Width of the transformer.
        layers: Its blocks.
        heads: Its heads.
        mlp_width: Width inside a block's MLP.
        embedding_width: Width of the space that pictures share.
    """

    context: int = 77
    vocabulary_size: int = 65536
    width: int = 512
    layers: int = 12
    heads: int = 8
    mlp_width: int = 2048
    embedding_width: int = 512

    def __post_init__(self) -> None:
        _require_transformer(self)


def _require_transformer(spec: NoisedImageSpec | NoisedTextSpec) -> None:
    for field in fields(spec):
        require(getattr(spec, field.name) > 0, spec, field.name, "a positive number")
    require(spec.width % spec.heads == 0, spec, "heads", f"a divisor of {spec.width}")


# The published code's option names, of which one list describes both towers.
_IMAGE_OPTIONS = {
    "image_size": "image_size", "patch_size": "patch_size", "n_head_image": "heads",
    "n_xf_blocks_image": "layers", "n_embd": "embedding_width", "n_timesteps": "timesteps",
}  # fmt: skip
_TEXT_OPTIONS = {
    "n_vocab": "vocabulary_size", "max_text_len": "context", "n_head_text": "heads",
    "n_xf_blocks_text": "layers", "n_embd": "embedding_width",
}  # fmt: skip
# Told by shapes, or of no concern to a tower.
_OTHER_OPTIONS = {"n_head_state_image", "n_head_state_text", "logit_scale", "beta_schedule"}
_CHANNELS_OF_A_HEAD = 64


def image_spec(shapes: Shapes, stated: Mapping[str, Any], *, where: str) -> tuple[NoisedImageSpec, tuple[str, ...]]:
    """The image tower of a published state dict and what was assumed of it.

    Only the number of heads is not told by shapes: unless stated, a head has 64 channels.

    Raises:
        GlidewireError: The shapes are no such tower's, or contradict what is stated.
    """
    try:
        width, _, patch_size, _ = shapes["blocks.input.patch_proj"]
        told = {
            "image_size": patch_size * math.isqrt(shapes["blocks.input.w_pos"][0] - 1),
            "patch_size": patch_size,
            "timesteps": shapes["blocks.input.w_t"][0],
            **_told(shapes, width),
        }
    except (KeyError, ValueError, IndexError) as error:
        raise _another(where) from error
    given = _given(NoisedImageSpec, stated, _IMAGE_OPTIONS, _TEXT_OPTIONS, where)
    return _spec(NoisedImageSpec(), told, given, where)


def text_spec(shapes: Shapes, stated: Mapping[str, Any], *, where: str) -> tuple[NoisedTextSpec, tuple[str, ...]]:
    """The text tower of a published state dict and what was assumed of it; as `image_spec`."""
    try:
        vocabulary_size, width = shapes["blocks.input.w_voc"]
        told = {
            "context": shapes["blocks.input.w_pos"][0],
            "vocabulary_size": vocabulary_size,
            **_told(shapes, width),
        }
    except (KeyError, ValueError, IndexError) as error:
        raise _another(where) from error
    given = _given(NoisedTextSpec, stated, _TEXT_OPTIONS, _IMAGE_OPTIONS, where)
    return _spec(NoisedTextSpec(), told, given, where)


def _told(shapes: Shapes, width: int) -> dict[str, int]:
    return {
        "width": width,
        "layers": len({key.split(".")[1] for key in shapes if key.startswith("blocks.block_")}),
        "mlp_width": shapes["blocks.block_0.f_mlp.f_1.w"][0],
        "embedding_width": shapes["blocks.output.f.w"][0],
    }


def _another(where: str) -> GlidewireError:
    return GlidewireError(f"{where} is not a tower of noised CLIP: its tensors have other names or dimensions")


def _given(
    kind: type, stated: Mapping[str, Any], options: Mapping[str, str], others: Mapping[str, str], where: str
) -> dict[str, Any]:
    """What is stated, by the spec's names; the published options of the other tower are passed over."""
    values = {options.get(name, name): value for name, value in stated.items() if name not in _OTHER_OPTIONS}
    values = {name: value for name, value in values.items() if name in options.values() or name not in others}
    return typed(kind, values, where=f"{where}: stated hyper-parameters")


def _spec(published: Any, told: Mapping[str, Any], given: Mapping[str, Any], where: str) -> tuple[Any, tuple[str, ...]]:
    values = {"heads": max(told["width"] // _CHANNELS_OF_A_HEAD, 1), **given}
    spec = combined(published, told, values, where=where)
    return spec, () if "heads" in given or spec == published else ("heads",)
