"""Hyper-parameters of LAION's diffusion prior, and what the keys and shapes of a checkpoint tell of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...diffusion.schedules import SCHEDULES
from ...errors import GlidewireError
from ..hyper_parameters import combined, require, typed

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class DiffusionPriorSpec:
    """Hyper-parameters of a diffusion prior trained with DALLE2-pytorch; the defaults are LAION's for ViT-L/14.

    Attributes:
        width: Width of the transformer, and of both of CLIP's embeddings.
        layers: Blocks of the transformer.
        heads: Heads of the queries; keys and values have one.
        head_channels: Channels of a head.
        mlp_width: Width inside a block's MLP, behind its gate.
        text_positions: Text states that it takes; missing ones are replaced by learned ones.
        timesteps: Rows of the time embedding.
        relative_buckets: Rows of the relative position bias.
        rotary_channels: Channels of a head that are rotated by their position; 0 for none.
        norm_in: Whether tokens are normalised before the first block.
        norm_inside: Whether an MLP is normalised behind its gate (normformer).
        norm_out: Whether tokens are normalised behind the last block.
        final_projection: Whether a linear layer comes last.
        schedule: Published name of the noise schedule.
        predicts_x_0: Whether the output is the clean embedding; else the noise.
        scale: Length of the embeddings that it was trained on; 0 stands for sqrt(width).
    """

    width: int = 768
    layers: int = 24
    heads: int = 32
    head_channels: int = 64
    mlp_width: int = 3072
    text_positions: int = 77
    timesteps: int = 1000
    relative_buckets: int = 32
    rotary_channels: int = 32
    norm_in: bool = False
    norm_inside: bool = True
    norm_out: bool = True
    final_projection: bool = True
    schedule: str = "squaredcos_cap_v2"
    predicts_x_0: bool = True
    scale: float = 0.0

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "head_channels", "mlp_width", "text_positions", "timesteps"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        fits = self.rotary_channels % 2 == 0 and self.rotary_channels <= self.head_channels
        require(fits, self, "rotary_channels", f"an even number up to {self.head_channels}")
        require(self.relative_buckets > 2, self, "relative_buckets", "more than 2")
        require(self.schedule in SCHEDULES, self, "schedule", f"one of {', '.join(SCHEDULES)}")
        require(math.isfinite(self.scale) and self.scale >= 0, self, "scale", "a positive length, or 0")

    @property
    def length(self) -> float:
        """Length of the embeddings that the network works on."""
        return self.scale or math.sqrt(self.width)


# The published code's option names that shapes do not tell, and its name of the schedule.
_OPTIONS = {"beta_schedule": "schedule", "predict_x_start": "predicts_x_0", "image_embed_scale": "scale"}
_SCHEDULES = {"cosine": "squaredcos_cap_v2"}


def stated_values(stated: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Hyper-parameters by our names, from ours or the published code's; GlidewireError on others."""
    values = {_OPTIONS.get(name, name): value for name, value in stated.items()}
    if isinstance(values.get("schedule"), str):
        values["schedule"] = _SCHEDULES.get(values["schedule"], values["schedule"])
    return typed(DiffusionPriorSpec, values, where=where)


def infer_spec(
    shapes: Shapes, given: Mapping[str, Any], *, where: str, known: Mapping[str, Any] | None = None
) -> tuple[DiffusionPriorSpec, tuple[str, ...]]:
    """The spec of a published state dict and what was assumed of it.

    Args:
        shapes: Shape of each tensor by its key.
        given: What `stated_values` gives.
        where: Named in errors.
        known: What else the file tells.

    Raises:
        GlidewireError: The shapes are no such prior's, or contradict what is stated.
    """
    try:
        told = _told(shapes)
    except (KeyError, ValueError, IndexError) as error:
        raise GlidewireError(f"{where} is not a diffusion prior: its tensors have other names or dimensions") from error
    several = {name: told.pop(name) // max(told["width"], 1) for name in ("time", "text", "image") if name in told}
    if any(count != 1 for count in several.values()):
        raise GlidewireError(
            f"{where} is a diffusion prior of a kind that was never published",
            expected="one token each of time, text embedding and image embedding",
            got=", ".join(f"{count} of {name}" for name, count in several.items()),
        )
    told |= known or {}
    spec = combined(DiffusionPriorSpec(), told, given, where=where)
    exactly = all(getattr(DiffusionPriorSpec(), name) == value for name, value in told.items())
    untold = {"schedule", "predicts_x_0", "scale"} - set(told) - set(given)
    return spec, () if exactly else tuple(sorted(untold))


def _told(shapes: Shapes) -> dict[str, Any]:
    transformer = "net.causal_transformer."
    block = f"{transformer}layers.0."
    head_channels = shapes[f"{block}0.to_kv.weight"][0] // 2
    rows, width = shapes["net.to_time_embeds.0.weight"]
    # A linear layer spreads an embedding over several tokens.
    spread = {
        name: shapes[f"net.to_{name}_embeds.0.weight"][0]
        for name in ("text", "image")
        if f"net.to_{name}_embeds.0.weight" in shapes
    }
    model_width = shapes["net.learned_query"][0]
    return {
        **spread,
        "time": width,
        "width": model_width,
        "layers": 1 + max(int(key.split(".")[3]) for key in shapes if key.startswith(f"{transformer}layers.")),
        "heads": shapes[f"{block}0.to_q.weight"][0] // max(head_channels, 1),
        "head_channels": head_channels,
        "mlp_width": shapes[f"{block}1.5.weight"][1],
        "text_positions": shapes["net.null_text_encodings"][1],
        "timesteps": rows,
        "relative_buckets": shapes[f"{transformer}rel_pos_bias.relative_attention_bias.weight"][0],
        "rotary_channels": 2 * shapes.get(f"{block}0.rotary_emb.freqs", (0,))[0],
        "norm_in": f"{transformer}init_norm.g" in shapes,
        "norm_inside": f"{block}1.3.g" in shapes,
        "norm_out": f"{transformer}norm.g" in shapes,
        "final_projection": f"{transformer}project_out.weight" in shapes,
    }
