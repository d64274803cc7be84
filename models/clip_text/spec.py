"""A CLIP text encoder's hyper-parameters: the published ones, and their inference from a state dict's shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import GlidewireError
from ..hyper_parameters import combined, matching, require, typed

Shapes = Mapping[str, tuple[int, ...]]

# What shapes cannot tell.
UNTOLD = ("heads", "quick_gelu", "left_out", "padding")


@dataclass(frozen=True)
class ClipTextSpec:
    """Hyper-parameters of one text encoder (Radford et al. 2021); the defaults are OpenAI's ViT-L/14's.

    Attributes:
        vocabulary_size: Rows of the token embedding; the last two ids begin and end a text.
        positions: Tokens of a text, with the two around it and padding.
        width: Width of the states.
        layers: Transformer blocks.
        heads: Heads of attention.
        mlp_width: Width inside of a block's perceptron.
        quick_gelu: Whether the perceptron's function is x sigmoid(1.702 x), as OpenAI's, instead of GELU.
        projection: Width of the projected embedding; 0 where the file has none.
        left_out: Blocks at the end that the context does without: Stable Diffusion 2 takes the last but one.
        padding: Id that fills the text up.
    """

    vocabulary_size: int = 49408
    positions: int = 77
    width: int = 768
    layers: int = 12
    heads: int = 12
    mlp_width: int = 3072
    quick_gelu: bool = True
    projection: int = 0
    left_out: int = 0
    padding: int = 49407

    def __post_init__(self) -> None:
        for name in ("vocabulary_size", "positions", "width", "layers", "heads", "mlp_width"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        require(self.width % self.heads == 0, self, "heads", f"a divisor of {self.width}")
        require(0 <= self.left_out < self.layers, self, "left_out", f"0 to {self.layers - 1}")
        require(0 <= self.padding < self.vocabulary_size, self, "padding", f"0 to {self.vocabulary_size - 1}")


def _laion(width: int, layers: int, *, left_out: int = 0, projection: int = 0) -> ClipTextSpec:
    return ClipTextSpec(
        width=width,
        layers=layers,
        heads=width // 64,
        mlp_width=4 * width,
        quick_gelu=False,
        projection=projection,
        left_out=left_out,
        padding=0,
    )


PUBLISHED: Mapping[str, ClipTextSpec] = {
    "ViT-L/14": ClipTextSpec(),
    "ViT-L/14 with projection": ClipTextSpec(projection=768),
    "ViT-H/14 of Stable Diffusion 2": _laion(1024, 24, left_out=1, projection=1024),
    # diffusers' files leave the last block out of the weights instead.
    "ViT-H/14 without its last block": _laion(1024, 23),
    "ViT-bigG/14 with projection": _laion(1280, 32, projection=1280),
}


def infer_spec(
    told: Mapping[str, Any], *, stated: Mapping[str, Any], where: str
) -> tuple[str, ClipTextSpec, tuple[str, ...]]:
    """The variant and spec from what shapes tell and from what is stated beside them.

    Returns:
        The published name or "CLIP text", the spec, and the names of hyper-parameters that were assumed.

    Raises:
        GlidewireError: What is stated contradicts the shapes, or no encoder can have it.
    """
    given = typed(ClipTextSpec, stated, where=f"{where}: stated hyper-parameters")
    name, published = next(iter(matching(PUBLISHED, told).items()), ("", None))
    if published is None:
        width = told["width"]
        # Every published encoder has heads of 64 channels, and a last id that ends the text.
        guesses = {"heads": max(1, width // 64), "padding": told["vocabulary_size"] - 1}
        given = {**guesses, **given}
        published = ClipTextSpec()
    spec = combined(published, told, given, where=where)
    return name or "CLIP text", spec, () if name else tuple(field for field in UNTOLD if field not in stated)


def told_by_shapes(shapes: Shapes, *, where: str) -> dict[str, Any]:
    """What the keys and shapes of open_clip's layout tell; raises GlidewireError if they are no text encoder's."""
    try:
        vocabulary, width = shapes["token_embedding.weight"]
        return {
            "vocabulary_size": vocabulary,
            "positions": shapes["positional_embedding"][0],
            "width": width,
            "layers": sum(key.endswith(".mlp.c_fc.weight") for key in shapes),
            "mlp_width": shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
            "projection": shapes.get("text_projection", (0, 0))[1],
        }
    except KeyError as error:
        raise GlidewireError(f"{where} is not a CLIP text encoder: key {error} is missing") from error
    except (ValueError, IndexError) as error:
        raise GlidewireError(f"{where} is not a CLIP text encoder: its tensors have other dimensions") from error
