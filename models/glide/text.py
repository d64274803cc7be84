"""GLIDE's text transformer: learned padding, bidirectional attention, one embedding for the time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .spec import GlideSpec


class TextBlock(nn.Module):
    """h + attention(norm(h)), then h + mlp(norm(h)): bidirectional and unmasked (Nichol et al. 2021, sec. 3)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict({"c_qkv": nn.Linear(width, 3 * width), "c_proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})

    def forward(self, h: Tensor) -> Tensor:
        """Width is kept: "batch positions width" in and out."""
        # The projection's rows are ordered [head][q|k|v][channel].
        qkv = self.attn["c_qkv"](self.ln_1(h)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        attended = F.scaled_dot_product_attention(*qkv.chunk(3, dim=-1))
        h = h + self.attn["c_proj"](attended.transpose(1, 2).flatten(2))
        return h + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(h))))


class TextTransformer(nn.Module):
    """Tokens to the text states that the U-Net attends to and the embedding added to its time embedding."""

    def __init__(self, spec: GlideSpec) -> None:
        super().__init__()
        width = spec.text_width
        self.token_embedding = nn.Embedding(spec.vocabulary_size, width)
        self.positional_embedding = nn.Parameter(torch.zeros(spec.text_context, width))
        self.padding_embedding = nn.Parameter(torch.zeros(spec.text_context, width))
        blocks = [TextBlock(width, spec.text_heads) for _ in range(spec.text_layers)]
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(blocks)})
        self.final_ln = nn.LayerNorm(width)
        self.transformer_proj = nn.Linear(width, spec.time_width)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Text embedding "batch 4*model_channels" and text states "batch positions width".

        Masked positions are replaced by a learned embedding of their own, so their ids never matter; attention
        then sees every position.
        """
        h = self.token_embedding(tokens) + self.positional_embedding
        h = torch.where(mask[..., None], h, self.padding_embedding)
        for block in self.transformer["resblocks"]:  # pyrefly: ignore
            h = block(h)
        h = self.final_ln(h)
        return self.transformer_proj(h[:, -1]), h
