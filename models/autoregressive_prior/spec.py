"""Hyper-parameters of the autoregressive prior, and what the keys and shapes of a checkpoint tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ...errors import GlidewireError
from ..hyper_parameters import combined, require, typed

FAMILY_NAME = "autoregressive_prior"
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class AutoregressivePriorSpec:
    """Hyper-parameters of unCLIP's autoregressive prior; the defaults are the paper's (Ramesh et al. 2022, table 3).

    The paper says nothing of `dot_buckets`; no weights were ever published.

    Attributes:
        embedding_width: Width of CLIP's embeddings of pictures and texts.
        kept: Principal components, each one code of the sequence.
        buckets: Codes of a component.
        dot_buckets: Codes of the similarity of picture and text.
        text_positions: Text states that it takes; missing ones are replaced by learned ones.
        text_width: Width of a text state.
        width: Width of the transformer.
        layers: Its blocks.
        heads: Its heads.
        mlp_width: Width inside a block's MLP.
    """

    embedding_width: int = 1024
    kept: int = 319
    buckets: int = 1024
    dot_buckets: int = 64
    text_positions: int = 256
    text_width: int = 2048
    width: int = 1664
    layers: int = 24
    heads: int = 26
    mlp_width: int = 6656

    def __post_init__(self) -> None:
        for field in fields(self):
            require(getattr(self, field.name) > 0, self, field.name, "a positive number")
        require(self.kept <= self.embedding_width, self, "kept", f"at most {self.embedding_width}")
        require(self.dot_buckets > 1, self, "dot_buckets", "at least 2")
        require(self.width % self.heads == 0, self, "heads", f"a divisor of {self.width}")

    @property
    def prefix(self) -> int:
        """Positions before the first code: the text's states, its embedding, and the similarity."""
        return self.text_positions + 2


def infer_spec(
    shapes: Shapes, stated: Mapping[str, Any], *, where: str
) -> tuple[AutoregressivePriorSpec, tuple[str, ...]]:
    """The spec of a state dict and what was assumed of it: only the heads are not told by shapes.

    Raises:
        GlidewireError: The shapes are no such prior's, or contradict what is stated.
    """
    try:
        embedding_width, kept = shapes["codec.basis"]
        buckets, width = shapes["code_embedding.weight"]
        told = {
            "embedding_width": embedding_width,
            "kept": kept,
            "buckets": buckets,
            "dot_buckets": shapes["dot_embedding.weight"][0] - 1,
            "text_positions": shapes["null_text_states"][0],
            "text_width": shapes["text_projection.weight"][1],
            "width": width,
            "layers": 1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("blocks.")),
            "mlp_width": shapes["blocks.0.mlp.0.weight"][0],
        }
    except (KeyError, ValueError, IndexError) as error:
        raise GlidewireError(f"{where} is not an autoregressive prior: {error} is missing") from error
    given = typed(AutoregressivePriorSpec, stated, where=f"{where}: stated hyper-parameters")
    values = {"heads": max(1, width // 64), **given}
    spec = combined(AutoregressivePriorSpec(), told, values, where=where)
    return spec, () if "heads" in given else ("heads",)
