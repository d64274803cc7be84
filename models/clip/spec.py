"""CLIP's hyper-parameters: of its image tower, of both towers, and by the names that open_clip gives its models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ...errors import GlidewireError
from ..clip_text.spec import ClipTextSpec
from ..clip_text.spec import infer_spec as infer_text_spec
from ..clip_text.spec import told_by_shapes as told_by_text_shapes
from ..hyper_parameters import combined, matching, require, typed

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class ClipImageSpec:
    """Hyper-parameters of one image tower (Radford et al. 2021, table 20); the defaults are OpenAI's ViT-L/14's.

    Attributes:
        image_size: Side in pixels.
        patch_size: Side of a patch.
        width: Width of the states.
        layers: Transformer blocks.
        heads: Heads of attention.
        mlp_width: Width inside of a block's perceptron.
        quick_gelu: Whether the perceptron's function is x sigmoid(1.702 x), as OpenAI's, instead of GELU.
        projection: Width of the embedding.
    """

    image_size: int = 224
    patch_size: int = 14
    width: int = 1024
    layers: int = 24
    heads: int = 16
    mlp_width: int = 4096
    quick_gelu: bool = True
    projection: int = 768

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            require(isinstance(value, bool) or value > 0, self, field.name, "a positive number")
        require(self.width % self.heads == 0, self, "heads", f"a divisor of {self.width}")
        require(self.image_size % self.patch_size == 0, self, "image_size", f"a multiple of {self.patch_size}")


@dataclass(frozen=True)
class ClipSpec:
    """Both towers of one CLIP model.

    Attributes:
        image: The image tower.
        text: The text tower.
    """

    image: ClipImageSpec
    text: ClipTextSpec

    def __post_init__(self) -> None:
        require(self.image.projection == self.text.projection, self, "text", "the image tower's projection")


# OpenAI's and LAION's image towers; the first five shapes are both's.
PUBLISHED: Mapping[str, ClipImageSpec] = {
    "ViT-B/32": ClipImageSpec(224, 32, 768, 12, 12, 3072, True, 512),
    "ViT-B/16": ClipImageSpec(224, 16, 768, 12, 12, 3072, True, 512),
    "ViT-L/14": ClipImageSpec(),
    "ViT-L/14@336px": ClipImageSpec(image_size=336),
    "ViT-H/14": ClipImageSpec(224, 14, 1280, 32, 16, 5120, False, 1024),
    "ViT-g/14": ClipImageSpec(224, 14, 1408, 40, 16, 6144, False, 1024),
    "ViT-bigG/14": ClipImageSpec(224, 14, 1664, 48, 16, 8192, False, 1280),
}
# What a user may state; `name` is one of open_clip's models, which tells all of the rest.
_STATABLE = {"name": str, "image_heads": int, "text_heads": int, "quick_gelu": bool}


def stated_values(stated: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """`image_heads`, `text_heads` and `quick_gelu` from what a user states; raises GlidewireError on anything else.

    A model's `name` in open_clip, such as "ViT-H-14-quickgelu", stands for all three.
    """
    values: dict[str, Any] = {}
    for name, value in stated.items():
        if name not in _STATABLE:
            raise GlidewireError(f"{where} has an unknown field {name!r}", expected=sorted(_STATABLE))
        if type(value) is not _STATABLE[name]:
            kind = _STATABLE[name].__name__
            raise GlidewireError(f"{where}: {name} has the wrong type", expected=kind, got=repr(value))
        values[name] = value
    return {**(_named(values.pop("name"), where) if "name" in values else {}), **values}


def _named(name: str, where: str) -> dict[str, Any]:
    from open_clip.factory import get_model_config, list_models  # reads its files when imported

    name = name.replace("/", "-")
    known = list_models()
    config = get_model_config(name) if name in known else None  # other names are looked up on the net
    vision = (config or {}).get("vision_cfg", {})
    plain = config is not None and "width" in vision and "hf_model_name" not in config["text_cfg"]
    if config is None or not plain or "timm_model_name" in vision or isinstance(vision.get("layers"), list):
        raise GlidewireError(
            f"{where}: no vision transformer of that name is known",
            expected="one of open_clip's, " + ", ".join(n for n in known if n.startswith("ViT-"))[:400],
            got=repr(name),
        )
    return {
        "image_heads": vision["width"] // vision.get("head_width", 64),
        "text_heads": config["text_cfg"].get("heads", 8),
        "quick_gelu": config.get("quick_gelu", False),
    }


def infer_image_spec(
    shapes: Shapes, given: Mapping[str, Any], *, where: str
) -> tuple[str, ClipImageSpec, tuple[str, ...]]:
    """The name, spec and assumed hyper-parameters of an image tower under open_clip's names without `visual.`.

    Args:
        shapes: Shape of each tensor by its key.
        given: `heads` and `quick_gelu`, where they are known.
        where: Named in errors.

    Raises:
        GlidewireError: The shapes are no such tower's, or cannot be with what is given.
    """
    try:
        width, _, patch_size, _ = shapes["conv1.weight"]
        told = {
            "image_size": patch_size * math.isqrt(shapes["positional_embedding"][0] - 1),
            "patch_size": patch_size,
            "width": width,
            "layers": sum(key.endswith(".mlp.c_fc.weight") for key in shapes),
            "mlp_width": shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
            "projection": shapes["proj"][1],
        }
    except (KeyError, ValueError, IndexError) as error:
        raise GlidewireError(f"{where} is not a CLIP with a vision transformer: {error} is missing") from error
    given = typed(ClipImageSpec, given, where=where)
    name, published = next(iter(matching(PUBLISHED, told).items()), ("", ClipImageSpec()))
    if not name:
        given = {"heads": max(1, width // 64), **given}
    spec = combined(published, told, given, where=where)
    return name or "ViT", spec, () if name else ("heads",)


def infer_text(shapes: Shapes, given: Mapping[str, Any], *, where: str) -> ClipTextSpec:
    """The text tower under open_clip's names; arguments and errors as `infer_image_spec`."""
    told = told_by_text_shapes(shapes, where=where)
    # Other models read the last block but one, or pad with another id: CLIP itself does not.
    _, spec, _ = infer_text_spec(told, stated={"left_out": 0, "padding": 0, **given}, where=where)
    return spec
