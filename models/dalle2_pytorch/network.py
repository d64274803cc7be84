"""LAION's diffusion prior: a causal transformer from a text to the clean embedding of a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import GlidewireError
from ..digest import network_digest
from .spec import DiffusionPriorSpec

# Attention takes 16 · cos(query, key): each of the two is a unit vector times 4.
_COSINE_SCALE = 16.0
# From this distance on, positions share the last bucket of the bias.
_MAXIMAL_DISTANCE = 128


class GainNorm(nn.Module):
    """LayerNorm with a gain and no bias; `stable` divides by the largest value first, as the published one does."""

    def __init__(self, width: int, *, stable: bool = False) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.stable = stable

    def forward(self, h: Tensor) -> Tensor:
        """ "... width" in and out."""
        if self.stable:
            h = h / h.amax(dim=-1, keepdim=True)
        return F.layer_norm(h, h.shape[-1:], self.gain, None, 1e-5)


def relative_buckets(positions: int, buckets: int) -> Tensor:
    """Bucket of the distance from each query back to each key; key 0 stands in front of the sequence.

    Distances below buckets/2 have a bucket each; then buckets grow with the logarithm of the distance, up to
    128; keys after the query share bucket 0 (T5: Raffel et al. 2020, sec. 2.1).

    Returns:
        "positions positions+1" int64.
    """
    distance = (torch.arange(positions)[:, None] - torch.arange(positions + 1)[None, :]).clamp(min=0)
    exact = buckets // 2
    growth = math.log(_MAXIMAL_DISTANCE / exact)
    far = exact + ((distance.clamp(min=1) / exact).log() / growth * (buckets - exact)).long()
    return torch.where(distance < exact, distance, far.clamp(max=buckets - 1))


def rotated(h: Tensor, frequencies: Tensor) -> Tensor:
    """Turn each pair of neighbouring channels by position times its frequency; further channels stay.

    Args:
        h: "... positions channels".
        frequencies: One for each pair, in radians.

    Source: Su et al. 2021 (RoFormer), eq. 15.
    """
    angles = torch.arange(h.shape[-2], device=h.device, dtype=torch.float32)[:, None] * frequencies.float()
    turned, rest = h.split([2 * len(frequencies), h.shape[-1] - 2 * len(frequencies)], dim=-1)
    first, second = turned.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = angles.cos().to(h.dtype), angles.sin().to(h.dtype)
    pairs = torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return torch.cat([pairs.flatten(-2), rest], dim=-1)


class Attention(nn.Module):
    """Causal cosine attention of many query heads over one head of keys and values, with a learned first key."""

    def __init__(self, spec: DiffusionPriorSpec) -> None:
        super().__init__()
        self.heads = spec.heads
        inner = spec.heads * spec.head_channels
        self.norm = GainNorm(spec.width)
        self.null_key_value = nn.Parameter(torch.zeros(2, spec.head_channels))
        self.to_query = nn.Linear(spec.width, inner, bias=False)
        self.to_key_value = nn.Linear(spec.width, 2 * spec.head_channels, bias=False)
        if spec.rotary_channels:
            exponents = torch.arange(0, spec.rotary_channels, 2) / spec.rotary_channels
            self.frequencies = nn.Parameter(10_000.0**-exponents, requires_grad=False)
        else:
            self.frequencies = None
        self.to_out = nn.Linear(inner, spec.width, bias=False)
        self.norm_out = GainNorm(spec.width)

    def forward(self, h: Tensor, bias: Tensor) -> Tensor:
        """Tokens "batch positions width" in and out; `bias` "heads positions positions+1" holds the causal mask."""
        h = self.norm(h)
        query = self.to_query(h).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.to_key_value(h)[:, None].chunk(2, dim=-1)
        if self.frequencies is not None:
            query, key = rotated(query, self.frequencies), rotated(key, self.frequencies)
        null_key, null_value = (part.expand(len(h), 1, 1, -1) for part in self.null_key_value)
        key, value = torch.cat([null_key, key], dim=2), torch.cat([null_value, value], dim=2)
        query, key = (F.normalize(rows, dim=-1) * math.sqrt(_COSINE_SCALE) for rows in (query, key))
        attended = (query @ key.mT + bias).softmax(dim=-1) @ value
        return self.norm_out(self.to_out(attended.transpose(1, 2).flatten(2)))


class FeedForward(nn.Module):
    """out(norm(value · silu(gate)))."""

    def __init__(self, spec: DiffusionPriorSpec) -> None:
        super().__init__()
        self.norm = GainNorm(spec.width)
        self.to_value_gate = nn.Linear(spec.width, 2 * spec.mlp_width, bias=False)
        self.norm_inside = GainNorm(spec.mlp_width) if spec.norm_inside else nn.Identity()
        self.to_out = nn.Linear(spec.mlp_width, spec.width, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """Tokens "batch positions width" in and out."""
        value, gate = self.to_value_gate(self.norm(h)).chunk(2, dim=-1)
        return self.to_out(self.norm_inside(value * F.silu(gate)))


class Block(nn.Module):
    """h + attention(h), then h + mlp(h)."""

    def __init__(self, spec: DiffusionPriorSpec) -> None:
        super().__init__()
        self.attention, self.mlp = Attention(spec), FeedForward(spec)

    def forward(self, h: Tensor, bias: Tensor) -> Tensor:
        """Tokens "batch positions width" in and out; see `Attention` for the bias."""
        h = h + self.attention(h, bias)
        return h + self.mlp(h)


class DiffusionPrior(nn.Module):
    """unCLIP's diffusion prior (Ramesh et al. 2022, sec. 2.2) as trained with DALLE2-pytorch; a `Network`.

    It works on embeddings of length `spec.length`. Tokens: text states, text embedding, time, x_t, and a query
    at which the output is read. Its conditioning comes from `conditioning`.
    """

    def __init__(self, spec: DiffusionPriorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        self.space = ""  # set by a loader: which CLIP's embeddings these are
        width = spec.width
        self.query = nn.Parameter(torch.zeros(width))
        self.null_text_states = nn.Parameter(torch.zeros(1, spec.text_positions, width))
        self.null_text_embedding = nn.Parameter(torch.zeros(1, 1, width))
        self.null_image_embedding = nn.Parameter(torch.zeros(1, width))
        self.time_embedding = nn.Embedding(spec.timesteps, width)
        self.relative_bias = nn.Embedding(spec.relative_buckets, spec.heads)
        self.norm_in = GainNorm(width) if spec.norm_in else nn.Identity()
        self.blocks = nn.ModuleList([Block(spec) for _ in range(spec.layers)])
        self.norm_out = GainNorm(width, stable=True) if spec.norm_out else nn.Identity()
        self.projection = nn.Linear(width, width, bias=False) if spec.final_projection else nn.Identity()

    @property
    def channels(self) -> int:
        """Width of x_t."""
        return self.spec.width

    @property
    def prediction(self) -> Literal["eps", "x_0"]:
        """What the output is."""
        return "x_0" if self.spec.predicts_x_0 else "eps"

    @property
    def learned_variance(self) -> bool:
        """No prior of this kind has any."""
        return False

    def conditioning(
        self, text_embedding: Tensor, text_states: Tensor | None = None, *, dropped: bool = False
    ) -> dict[str, Tensor]:
        """A leaf's conditioning.

        Args:
            text_embedding: CLIP's embedding of each text, "batch width", of length 1.
            text_states: CLIP's states of each text, "batch positions width"; rows of zeros are padding. None
                takes the learned ones for all of them.
            dropped: The unconditional branch of classifier-free guidance: text, states and x_t are replaced by
                the learned ones.

        Raises:
            GlidewireError: Another width, or more positions than the model has.
        """
        width, positions = self.spec.width, self.spec.text_positions
        if text_states is None:
            text_states = text_embedding.new_zeros(len(text_embedding), 1, width)
        fits = text_embedding.ndim == 2 and text_embedding.shape[1] == width and text_states.ndim == 3
        if not fits or text_states.shape[2] != width or text_states.shape[1] > positions:
            raise GlidewireError(
                "diffusion prior: the text does not fit the model",
                expected=f"an embedding batch x {width}, states batch x at most {positions} x {width}",
                got=f"{' x '.join(map(str, text_embedding.shape))}, {' x '.join(map(str, text_states.shape))}",
            )
        text_states = F.pad(text_states, (0, 0, 0, positions - text_states.shape[1]))
        drop = torch.full((len(text_embedding),), dropped, device=text_embedding.device)
        return {
            "text_embedding": text_embedding,
            "text_states": text_states,
            "text_dropped": drop,
            "image_dropped": drop,
        }

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing is computed ahead."""
        return conditioning

    def forward(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """One batched evaluation.

        Args:
            x_t: Noised embeddings "batch width" on the scale of `spec.length`.
            timesteps: Original ids "batch".
            conditioning: See `conditioning`.

        Returns:
            x_0 (or eps) "batch width", in x_t's dtype.

        Raises:
            GlidewireError: x_t has another width.
        """
        if x_t.ndim != 2 or x_t.shape[1] != self.spec.width:
            raise GlidewireError(
                "diffusion prior: x_t does not fit the model",
                expected=f"batch x {self.spec.width}",
                got=" x ".join(map(str, x_t.shape)),
            )
        h = self.norm_in(self._tokens(x_t, timesteps, conditioning))
        bias = self.attention_bias(h.shape[1])
        for block in self.blocks:
            h = block(h, bias)
        return self.projection(self.norm_out(h))[:, -1].to(x_t.dtype)

    def attention_bias(self, positions: int) -> Tensor:
        """Relative position bias and causal mask, "heads positions positions+1"."""
        buckets = relative_buckets(positions, self.spec.relative_buckets).to(self.relative_bias.weight.device)
        bias = self.relative_bias(buckets).permute(2, 0, 1)
        future = torch.ones_like(buckets, dtype=torch.bool).triu(2)  # the learned key shifts keys by one
        return bias.masked_fill(future, float("-inf"))

    def _tokens(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.query.dtype
        states = conditioning["text_states"].to(dtype)
        no_text = conditioning["text_dropped"][:, None, None]
        no_image = conditioning["image_dropped"][:, None]
        given = (states != 0).any(dim=-1, keepdim=True) & ~no_text
        states = torch.where(given, states, self.null_text_states)
        text = torch.where(no_text, self.null_text_embedding, conditioning["text_embedding"].to(dtype)[:, None])
        image = torch.where(no_image, self.null_image_embedding, x_t.to(dtype))
        time = self.time_embedding(timesteps)
        query = self.query.expand(len(x_t), 1, -1)
        return torch.cat([states, text, time[:, None], image[:, None], query], dim=1)

    def digest(self) -> str:
        """Content identity of the weights and their precision."""
        return network_digest(self, self.spec, self.content_digest)
