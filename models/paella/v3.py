"""Paella's third predictor: convolutions, and attention to ByT5 states and CLIP vectors of text and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import GlidewireError
from .layers import PaellaNetwork, check_grid, given, normalised, time_embedding
from .spec import PaellaV3Spec

# Prepared conditioning carries the projected context of attention layer i under this prefix and i.
_KEYS_VALUES = "context_keys_values."
# Weights of the last positions of the context, in every attention layer.
_WEIGHTS = "attention_weights"


class GlobalResponseNorm(nn.Module):
    """gamma · x · N + beta + x, where N is the norm of each channel over the picture, over the channels' mean.

    Source: Woo et al. 2023 (ConvNeXt V2), Alg. 1.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, width))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """x "batch height width channels", in and out."""
        norm = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        return self.gamma * (x * (norm / (norm.mean(dim=-1, keepdim=True) + 1e-6))) + self.beta + x


class ConvBlock(nn.Module):
    """x + MLP(LN(conv([x, skip]))), with a grouped 3x3 convolution of one group per output channel.

    With a skip, output channel g reads channels 2g and 2g + 1 of [x, skip]: the first half of the outputs sees
    x alone and the second half the skip alone.

    Source: Rampas et al. 2023 (Paella v3), as published; Woo et al. 2023 (ConvNeXt V2).
    """

    def __init__(self, width: int, skip_width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width + skip_width, width, 3, padding=1, groups=width)
        self.expand = nn.Linear(width, 4 * width)
        self.response = GlobalResponseNorm(4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """x and skip "batch channels height width"."""
        h = self.depthwise(x if skip is None else torch.cat([x, skip], dim=1)).movedim(1, -1)
        h = self.response(F.gelu(self.expand(normalised(h))))
        return x + self.contract(h).movedim(-1, 1)


class TimeBlock(nn.Module):
    """x (1 + a) + b, where a and b are linear in the embedded time."""

    def __init__(self, width: int, time_channels: int) -> None:
        super().__init__()
        self.mapper = nn.Linear(time_channels, 2 * width)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x "batch channels height width", time "batch time_channels"."""
        a, b = self.mapper(time)[..., None, None].chunk(2, dim=1)
        return x * (1 + a) + b


class AttentionBlock(nn.Module):
    """x + attention of LN(x) to itself and to the context (Vaswani et al. 2017, eq. 1)."""

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.context = nn.Linear(context_width, width)
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(width, width) for _ in range(4))

    def project(self, context: Tensor) -> Tensor:
        """Keys and values of the context, "batch positions 2*width"."""
        states = self.context(F.silu(context))
        return torch.cat([self.to_k(states), self.to_v(states)], dim=-1)

    def forward(self, x: Tensor, projected: Tensor, weights: Tensor | None) -> Tensor:
        """x "batch channels height width", projected as `project` gives it, weights "batch last_positions"."""
        own = normalised(x.flatten(2).transpose(1, 2))
        keys, values = projected.chunk(2, dim=-1)
        keys = torch.cat([self.to_k(own), keys], dim=1)
        values = torch.cat([self.to_v(own), values], dim=1)
        q, k, v = (rows.unflatten(-1, (self.heads, -1)).transpose(1, 2) for rows in (self.to_q(own), keys, values))
        h = F.scaled_dot_product_attention(q, k, v) if weights is None else _weighted(q, k, v, weights)
        h = self.to_out(h.transpose(1, 2).flatten(2))
        return x + h.transpose(1, 2).view_as(x)


def _weighted(q: Tensor, k: Tensor, v: Tensor, weights: Tensor) -> Tensor:
    """Attention whose probabilities at the last positions are multiplied, and not made to sum to 1 again."""
    probabilities = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)
    whole = F.pad(weights, (k.shape[2] - weights.shape[-1], 0), value=1.0)
    return (probabilities * whole[:, None, None]) @ v


class PaellaV3(PaellaNetwork):
    """Scores of every token at every position of a noised token grid (Rampas et al. 2023, sec. 3).

    A `Network` for the guidance expression. Its conditioning, batch first: `byt5` states "batch positions
    byt5_width"; `clip` of a text, "batch clip_width"; `clip_image`, one vector or several "batch pictures
    clip_width"; each may be missing, but not all. `attention_weights` "batch n" multiplies the attention to the
    last n positions of the sequence that they make, in this order. The empty condition is that of the empty text.

    Args:
        spec: Hyper-parameters.
    """

    def __init__(self, spec: PaellaV3Spec) -> None:
        super().__init__(spec)
        self.spec = spec
        widths = spec.widths
        self.embedding = nn.Embedding(spec.codes, spec.in_channels)
        self.conv_in = nn.Conv2d(4 * spec.in_channels, widths[0], 1)
        self.byt5_mapper = nn.Linear(spec.byt5_width, spec.context_width)
        self.clip_mapper = nn.Linear(spec.clip_width, spec.context_width * spec.clip_tokens)
        self.clip_image_mapper = nn.Linear(spec.clip_width, spec.context_width * spec.clip_tokens)
        levels = range(len(widths))
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(self._level(level, skip=False) for level in levels)
        self.downsample = nn.ModuleList(nn.Conv2d(above, below, 2, stride=2) for above, below in pairs)
        self.up = nn.ModuleList(self._level(level, skip=level != levels[-1]) for level in reversed(levels))
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(below, above, 2, stride=2) for above, below in reversed(pairs))
        self.conv_out = nn.Conv2d(widths[0], 4 * spec.out_channels, 1)
        self.head = nn.Conv2d(spec.out_channels, spec.codes, 1, bias=False)

    def _level(self, level: int, *, skip: bool) -> nn.ModuleList:
        spec, width = self.spec, self.spec.widths[level]
        blocks = nn.ModuleList()
        for kind in spec.programs[level] * spec.blocks[level]:
            if kind == "C":
                blocks.append(ConvBlock(width, 0 if len(blocks) or not skip else width))
            elif kind == "T":
                blocks.append(TimeBlock(width, spec.time_channels))
            else:
                blocks.append(AttentionBlock(width, spec.context_width, spec.heads[level]))
        return blocks

    def attentions(self) -> list[AttentionBlock]:
        """The attention layers in a fixed order: down, up."""
        return [module for module in self.modules() if isinstance(module, AttentionBlock)]

    def context(self, conditioning: Mapping[str, Tensor]) -> Tensor:
        """The sequence that all conditions make, "batch positions context_width"; errors as `forward`."""
        spec, dtype, parts = self.spec, self.dtype, []
        if "byt5" in conditioning:
            parts.append(self.byt5_mapper(given(conditioning, "byt5", spec.byt5_width, dtype, dims=(3,))))
        for name, mapper in (("clip", self.clip_mapper), ("clip_image", self.clip_image_mapper)):
            if name in conditioning:
                vectors = mapper(given(conditioning, name, spec.clip_width, dtype, dims=(2, 3)))
                parts.append(vectors.unflatten(-1, (spec.clip_tokens, -1)).flatten(1, -2))
        if not parts:
            raise GlidewireError(
                "Paella v3 has nothing to attend to",
                expected="byt5, clip or clip_image",
                got=", ".join(conditioning) or "nothing",
            )
        return normalised(torch.cat(parts, dim=1))

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Every layer's keys and values of the context, projected once per sampling run."""
        context = self.context(conditioning)
        kept = {_WEIGHTS: conditioning[_WEIGHTS]} if _WEIGHTS in conditioning else {}
        if _WEIGHTS in kept and kept[_WEIGHTS].shape[1:].numel() > context.shape[1]:
            raise GlidewireError(
                f"the condition {_WEIGHTS!r} does not fit the network",
                expected=f"at most {context.shape[1]} weights",
                got=tuple(kept[_WEIGHTS].shape),
            )
        layers = enumerate(self.attentions())
        return {**kept, **{f"{_KEYS_VALUES}{layer}": block.project(context) for layer, block in layers}}

    def forward(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """One batched evaluation.

        Args:
            x_t: Tokens "batch height width", int64; sides are multiples of `spec.size_multiple`.
            timesteps: t, "batch" in [0, 1]: the share of the tokens that are noise.
            conditioning: See the class; as it is, or prepared.

        Returns:
            Logits "batch codes height width".

        Raises:
            GlidewireError: Tokens or conditions that do not fit.
        """
        check_grid(x_t, self.spec.size_multiple, self.spec.codes)
        attentions = self.attentions()
        if attentions and f"{_KEYS_VALUES}0" not in conditioning:
            conditioning = self.prepare(conditioning)
        weights = conditioning.get(_WEIGHTS)
        run = _Run(
            time_embedding(timesteps, self.spec.time_channels).to(self.dtype),
            {id(block): conditioning[f"{_KEYS_VALUES}{i}"] for i, block in enumerate(attentions)},
            None if weights is None else weights.to(self.dtype),
        )
        x = _unshuffled(_normalised_channels(self.embedding(x_t).movedim(-1, 1)))
        x = _normalised_channels(self.conv_in(x))
        skips = []
        for level, blocks in enumerate(self.down):
            x = self.downsample[level - 1](_normalised_channels(x)) if level else x
            x = run(blocks, x)
            skips.append(x)
        for level, blocks in enumerate(self.up):
            skip = skips.pop()
            x = run(blocks, x, skip if level else None)
            x = self.upsample[level](_normalised_channels(x)) if level < len(self.upsample) else x
        x = F.pixel_shuffle(self.conv_out(_normalised_channels(x)), 2)
        return self.head(_normalised_channels(x))


def _unshuffled(x: Tensor) -> Tensor:
    return F.pixel_unshuffle(x, 2)


def _normalised_channels(x: Tensor) -> Tensor:
    return normalised(x.movedim(1, -1)).movedim(-1, 1)


class _Run:
    """A level's blocks, applied to one evaluation's time and context."""

    def __init__(self, time: Tensor, keys_values: Mapping[int, Tensor], weights: Tensor | None) -> None:
        self.time, self.keys_values, self.weights = time, keys_values, weights

    def __call__(self, blocks: Any, x: Tensor, skip: Tensor | None = None) -> Tensor:
        for index, block in enumerate(blocks):
            if isinstance(block, ConvBlock):
                x = block(x, None if index else skip)
            elif isinstance(block, TimeBlock):
                x = block(x, self.time)
            else:
                x = block(x, self.keys_values[id(block)], self.weights)
        return x
