"""The transformer that encodes text or layouts for latent diffusion's own models, and was trained with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import GlidewireError
from ..digest import network_digest
from ..header import Header
from ..hyper_parameters import combined, known, matching, require
from ..key_map import Entry, KeyMap, renamed
from ..registry import Identity


@dataclass(frozen=True)
class BertSpec:
    """Hyper-parameters of one encoder (Rombach et al. 2022, appendix E.2.1); the defaults are txt2img-1.4B's.

    Attributes:
        vocabulary_size: Rows of the token embedding.
        positions: Most tokens.
        width: Width of the states, which the denoiser attends to.
        layers: Pairs of attention and feed-forward.
        heads: Heads of attention.
        attention_width: Channels of all heads together.
    """

    vocabulary_size: int = 30522
    positions: int = 77
    width: int = 1280
    layers: int = 32
    heads: int = 8
    attention_width: int = 512

    def __post_init__(self) -> None:
        for name in ("vocabulary_size", "positions", "width", "layers", "heads", "attention_width"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        require(self.attention_width % self.heads == 0, self, "heads", f"a divisor of {self.attention_width}")


PUBLISHED: Mapping[str, BertSpec] = {
    "txt2img-1.4B": BertSpec(),
    "text2img256": BertSpec(width=640),
    "layout2img": BertSpec(vocabulary_size=8192, positions=92, width=512, layers=16),
}


class Block(nn.Module):
    """h + attention(norm(h)), then h + feed_forward(norm(h)): bidirectional and unmasked."""

    def __init__(self, spec: BertSpec) -> None:
        super().__init__()
        self.heads = spec.heads
        self.norm_1, self.norm_2 = nn.LayerNorm(spec.width), nn.LayerNorm(spec.width)
        self.to_q, self.to_k, self.to_v = (nn.Linear(spec.width, spec.attention_width, bias=False) for _ in range(3))
        self.to_out = nn.Linear(spec.attention_width, spec.width)
        self.expand, self.contract = nn.Linear(spec.width, 4 * spec.width), nn.Linear(4 * spec.width, spec.width)

    def forward(self, h: Tensor) -> Tensor:
        """Width is kept: "batch positions width" in and out."""
        normed = self.norm_1(h)
        query, key, value = (
            layer(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.to_q, self.to_k, self.to_v)
        )
        h = h + self.to_out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        return h + self.contract(F.gelu(self.expand(self.norm_2(h))))


class Bert(nn.Module):
    """Tokens to the states that a denoiser attends to; padding is attended to as well, as in training."""

    def __init__(self, spec: BertSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        self.token_embedding = nn.Embedding(spec.vocabulary_size, spec.width)
        self.position_embedding = nn.Embedding(spec.positions, spec.width)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.width)
        self.to_logits = nn.Linear(spec.width, spec.vocabulary_size)

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode tokens.

        Args:
            tokens: Ids "batch positions" int64, at most `spec.positions` of them.

        Returns:
            States "batch positions width": a denoiser's `context`.

        Raises:
            GlidewireError: Too many positions, or an id outside the vocabulary.
        """
        if tokens.ndim != 2 or tokens.shape[1] > self.spec.positions:
            raise GlidewireError(
                "the text encoder's tokens have the wrong shape",
                expected=f"batch x at most {self.spec.positions} positions",
                got=tuple(tokens.shape),
            )
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.spec.vocabulary_size:
            raise GlidewireError(
                "a token id lies outside the text encoder's vocabulary",
                expected=f"0 to {self.spec.vocabulary_size - 1}",
                got=f"{int(tokens.min())} to {int(tokens.max())}",
            )
        h = self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]
        for block in self.blocks:
            h = block(h)
        return self.norm(h)


# Published names, and those of diffusers' LDMBertModel; `{}` is the block.
_LAYOUTS: Mapping[str, Mapping[str, str]] = {
    "published": {
        "token_embedding": "transformer.token_emb",
        "position_embedding": "transformer.pos_emb.emb",
        "norm": "transformer.norm",
        "to_logits": "transformer.to_logits",
        "norm_1": "transformer.attn_layers.layers.{even}.0",
        "to_q": "transformer.attn_layers.layers.{even}.1.to_q",
        "to_k": "transformer.attn_layers.layers.{even}.1.to_k",
        "to_v": "transformer.attn_layers.layers.{even}.1.to_v",
        "to_out": "transformer.attn_layers.layers.{even}.1.to_out",
        "norm_2": "transformer.attn_layers.layers.{odd}.0",
        "expand": "transformer.attn_layers.layers.{odd}.1.net.0.0",
        "contract": "transformer.attn_layers.layers.{odd}.1.net.2",
    },
    "diffusers": {
        "token_embedding": "model.embed_tokens",
        "position_embedding": "model.embed_positions",
        "norm": "model.layer_norm",
        "to_logits": "to_logits",
        "norm_1": "model.layers.{block}.self_attn_layer_norm",
        "to_q": "model.layers.{block}.self_attn.q_proj",
        "to_k": "model.layers.{block}.self_attn.k_proj",
        "to_v": "model.layers.{block}.self_attn.v_proj",
        "to_out": "model.layers.{block}.self_attn.out_proj",
        "norm_2": "model.layers.{block}.final_layer_norm",
        "expand": "model.layers.{block}.fc1",
        "contract": "model.layers.{block}.fc2",
    },
}
_OUTSIDE = ("token_embedding", "position_embedding", "norm", "to_logits")
_WITHOUT_BIAS = ("token_embedding", "position_embedding", "to_q", "to_k", "to_v")


def key_map(spec: BertSpec, layout: str = "published") -> KeyMap:
    """One layout's keys and `Bert`'s."""
    entries: list[Entry] = []
    for ours, theirs in _LAYOUTS[layout].items():
        leaves = ("weight",) if ours in _WITHOUT_BIAS else ("weight", "bias")
        if ours in _OUTSIDE:
            entries += renamed(theirs, ours, leaves)
            continue
        for block in range(spec.layers):
            source = theirs.format(block=block, even=2 * block, odd=2 * block + 1)
            entries += renamed(source, f"blocks.{block}.{ours}", leaves)
    return tuple(entries)


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of an encoder; None if the tensors are not one's."""
    for layout, names in _LAYOUTS.items():
        query = f"{names['to_q'].format(block=0, even=0, odd=1)}.weight"
        tokens, positions = (header.shapes.get(f"{names[name]}.weight") for name in _OUTSIDE[:2])
        if query not in header.shapes or tokens is None or positions is None:
            continue
        layers = 0
        while names["to_q"].format(block=layers, even=2 * layers, odd=2 * layers + 1) + ".weight" in header.shapes:
            layers += 1
        told = {
            "vocabulary_size": tokens[0],
            "positions": positions[0],
            "width": tokens[1],
            "layers": layers,
            "attention_width": header.shapes[query][0],
        }
        given = known(BertSpec, header.metadata, stated, family="ldm", where=header.name)
        variant, published = next(iter(matching(PUBLISHED, told).items()), ("", BertSpec()))
        spec = combined(published, told, given, where=header.name)
        dims = {"context_width": spec.width, "positions": spec.positions, "vocabulary": spec.vocabulary_size}
        assumed = () if variant or "heads" in given else ("heads",)
        return Identity("ldm", "text_encoder", variant or "BERT", spec, dims, header, assumed, layout)
    return None
