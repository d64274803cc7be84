"""T5 encoders' checkpoints (Raffel et al. 2020): their hyper-parameters from shapes, and their key map."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import GlidewireError
from ..header import Header
from ..hyper_parameters import combined, known, require
from ..key_map import Entry, KeyMap
from ..registry import Identity

# One table of embeddings under any of these names, of which the first that is there is read.
_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight")
# The other half of a whole T5.
_DECODER = ("decoder.", "lm_head.")
_MARKS = ("encoder.block.0.layer.0.SelfAttention.q.weight", "encoder.final_layer_norm.weight")
_BLOCK = re.compile(r"encoder\.block\.(\d+)\.layer\.0\.SelfAttention\.q\.weight")
_ATTENTION, _FEED_FORWARD = "layer.0.SelfAttention", "layer.1.DenseReluDense"
# Fields of transformers' configuration that shapes do not tell, and ours.
_CONFIGURED = {"relative_attention_max_distance": "max_distance", "layer_norm_epsilon": "norm_eps"}
UNTOLD = ("max_distance", "norm_eps")


@dataclass(frozen=True)
class T5Spec:
    """Hyper-parameters of a T5 encoder.

    The defaults are those of T5 v1.1 XXL, which Imagen reads its texts with.

    Attributes:
        vocabulary_size: Rows of the token embedding, more than there are tokens.
        width: Width of the states.
        layers: Number of blocks.
        heads: Heads of every attention layer.
        head_channels: Channels of one head.
        hidden_width: Width inside of a feed-forward layer.
        gated: Whether that is a gated GELU (v1.1) instead of a ReLU.
        buckets: Rows of the relative position bias.
        max_distance: Positions further away than this share one bucket.
        norm_eps: Added to the mean square in every norm.
        positions: Tokens of a text, in this line of models; others run as well.
    """

    vocabulary_size: int = 32128
    width: int = 4096
    layers: int = 24
    heads: int = 64
    head_channels: int = 64
    hidden_width: int = 10240
    gated: bool = True
    buckets: int = 32
    max_distance: int = 128
    norm_eps: float = 1e-6
    positions: int = 77

    def __post_init__(self) -> None:
        for name in ("heads", "head_channels", "layers", "positions", "max_distance"):
            require(getattr(self, name) > 0, self, name, "a positive number")

    @property
    def feed_forward(self) -> str:
        """transformers' name of the feed-forward layer."""
        return "gated-gelu" if self.gated else "relu"


_XXL = T5Spec()


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a T5 encoder, alone or in a whole T5; None if the tensors are not one's.

    Raises:
        GlidewireError: It is one, but what is stated or configured contradicts its tensors.
    """
    if not all(mark in header.shapes for mark in _MARKS):
        return None
    header = _encoder(header)
    told = _told(header)
    given = known(T5Spec, header.metadata, stated, family="imagen", where=header.name)
    config = {ours: header.config.get(theirs) for theirs, ours in _CONFIGURED.items()}
    given = {**{name: value for name, value in config.items() if value is not None}, **given}
    spec = combined(_XXL, told, given, where=header.name)
    configured = header.config.get("feed_forward_proj", spec.feed_forward)
    if configured != spec.feed_forward:
        raise GlidewireError(
            f"{header.name} is configured with a feed-forward layer that no published T5 has",
            expected=spec.feed_forward,
            got=configured,
        )
    dims = {"text_width": spec.width, "vocabulary": spec.vocabulary_size, "positions": spec.positions}
    exact = all(getattr(_XXL, name) == value for name, value in told.items())
    assumed = () if exact else tuple(name for name in UNTOLD if name not in given)
    return Identity("imagen", "text_encoder", "T5", spec, dims, header, assumed)


def _encoder(header: Header) -> Header:
    """The header of the encoder alone, its embeddings under their first name."""
    names = {key: key for key in header.shapes if key not in _EMBEDDINGS and not key.startswith(_DECODER)}
    found = next((name for name in _EMBEDDINGS if name in header.shapes), None)
    return header.view(names if found is None else {_EMBEDDINGS[0]: found, **names})


def _told(header: Header) -> dict[str, Any]:
    shapes, block = header.shapes, "encoder.block.0"
    try:
        buckets, heads = shapes[f"{block}.{_ATTENTION}.relative_attention_bias.weight"]
        gated = f"{block}.{_FEED_FORWARD}.wi_0.weight" in shapes
        inside = shapes[f"{block}.{_FEED_FORWARD}.{'wi_0' if gated else 'wi'}.weight"]
        return {
            "vocabulary_size": shapes[_EMBEDDINGS[0]][0],
            "width": shapes[_EMBEDDINGS[0]][1],
            "layers": sum(_BLOCK.fullmatch(key) is not None for key in shapes),
            "heads": heads,
            "head_channels": shapes[_MARKS[0]][0] // heads,
            "hidden_width": inside[0],
            "gated": gated,
            "buckets": buckets,
        }
    except KeyError as error:
        raise GlidewireError(f"{header.name} is not a whole T5 encoder: key {error} is missing") from error
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise GlidewireError(f"{header.name} is not a T5 encoder: its tensors have other dimensions") from error


def key_map(spec: T5Spec) -> KeyMap:
    """The published layout and `T5Text`'s."""
    names = ["final_layer_norm"]
    for block in (f"block.{index}" for index in range(spec.layers)):
        names += [f"{block}.{_ATTENTION}.{part}" for part in "qkvo"]
        names += [f"{block}.{_FEED_FORWARD}.{part}" for part in (("wi_0", "wi_1") if spec.gated else ("wi",))]
        names += [f"{block}.{_FEED_FORWARD}.wo", f"{block}.layer.0.layer_norm", f"{block}.layer.1.layer_norm"]
    names.append(f"block.0.{_ATTENTION}.relative_attention_bias")
    entries = [Entry(f"encoder.{name}.weight", (f"encoder.{name}.weight",)) for name in names]
    return (Entry(_EMBEDDINGS[0], (_EMBEDDINGS[1],)), *entries)
