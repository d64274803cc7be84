"""The autoregressive prior: a causal transformer over the codes of a picture's embedding, behind a text's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...diffusion.quantization import PrincipalComponents, QuantileBuckets, UniformBuckets
from ...errors import GlidewireError
from ..digest import network_digest
from .spec import AutoregressivePriorSpec


class Codec(nn.Module):
    """What turns embeddings into codes and back; its tensors stay in the precision that they were fitted in."""

    mean: Tensor
    basis: Tensor
    eigenvalues: Tensor
    low: Tensor
    high: Tensor
    dot_edges: Tensor

    def __init__(self, spec: AutoregressivePriorSpec) -> None:
        super().__init__()
        self.buckets = spec.buckets
        shapes = {
            "mean": (spec.embedding_width,),
            "basis": (spec.embedding_width, spec.kept),
            "eigenvalues": (spec.embedding_width,),
            "low": (spec.kept,),
            "high": (spec.kept,),
            "dot_edges": (spec.dot_buckets - 1,),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, image_embeddings: Tensor, text_embeddings: Tensor) -> Self:
        """Fit to a data set's embeddings of pictures and of their captions, each "pairs embedding_width".

        Raises:
            GlidewireError: There are too few pairs, or they do not fit the model.
        """
        components = PrincipalComponents.fit(image_embeddings, self.basis.shape[1])
        coordinates = components.coordinates(image_embeddings)
        ranges = UniformBuckets.fit(coordinates, self.buckets)
        dots = QuantileBuckets.fit(similarity(image_embeddings, text_embeddings), len(self.dot_edges) + 1)
        fitted = (components.mean, components.basis, components.eigenvalues, ranges.low, ranges.high, dots.edges)
        names = ("mean", "basis", "eigenvalues", "low", "high", "dot_edges")
        for name, value in zip(names, fitted, strict=True):
            getattr(self, name).copy_(value)
        return self

    @property
    def components(self) -> PrincipalComponents:
        """The directions whose coordinates are the codes."""
        return PrincipalComponents(self.mean, self.basis, self.eigenvalues)

    @property
    def ranges(self) -> UniformBuckets:
        """The buckets of every coordinate."""
        return UniformBuckets(self.low, self.high, self.buckets)

    def encode(self, image_embedding: Tensor) -> Tensor:
        """Codes "batch kept" int64 of embeddings "batch embedding_width", the most telling first."""
        return self.ranges.index(self.components.coordinates(image_embedding))

    def decode(self, codes: Tensor) -> Tensor:
        """Embeddings "batch embedding_width" float32 of codes "batch kept"."""
        return self.components.reconstruct(self.ranges.value(codes)).float()

    def dot_code(self, image_embedding: Tensor, text_embedding: Tensor) -> Tensor:
        """Bucket "batch" int64 of the similarity of pictures and texts, each "batch embedding_width"."""
        return QuantileBuckets(self.dot_edges).index(similarity(image_embedding, text_embedding))


def similarity(image_embedding: Tensor, text_embedding: Tensor) -> Tensor:
    """Cosine "batch" of each picture with its text, float64."""
    return F.cosine_similarity(image_embedding.double(), text_embedding.double(), dim=-1)


@dataclass(frozen=True, eq=False)
class Cache:
    """Keys and values of the positions that a sequence has come through, for every layer.

    Attributes:
        keys: "layers batch heads positions channels"; the first `filled` positions are valid.
        values: The same.
        filled: How many.
    """

    keys: Tensor
    values: Tensor
    filled: int = 0


class Block(nn.Module):
    """h + attention(norm(h)), then h + mlp(norm(h)); causal."""

    def __init__(self, spec: AutoregressivePriorSpec) -> None:
        super().__init__()
        width = spec.width
        self.heads = spec.heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_qkv, self.to_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, spec.mlp_width), nn.GELU(), nn.Linear(spec.mlp_width, width))

    def forward(self, h: Tensor, keys: Tensor | None = None, values: Tensor | None = None, filled: int = 0) -> Tensor:
        """Positions "batch positions width" in and out.

        With a cache's `keys` and `values` "batch heads positions channels", these positions come after the
        first `filled` ones, and are written behind them.
        """
        qkv = self.to_qkv(self.norm_1(h)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind()
        if keys is not None and values is not None:
            end = filled + h.shape[1]
            keys[:, :, filled:end], values[:, :, filled:end] = key, value
            key, value = keys[:, :, :end], values[:, :, :end]
        # Query i stands at position filled + i: it sees the keys up to there.
        visible = torch.ones(h.shape[1], key.shape[2], dtype=torch.bool, device=h.device).tril(filled)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        h = h + self.to_out(attended.transpose(1, 2).flatten(2))
        return h + self.mlp(self.norm_2(h))


class AutoregressivePrior(nn.Module):
    """p(z_image | text) = prod_i p(code_i | code_<i, similarity, z_text, text) (Ramesh et al. 2022, sec. 2.2).

    The sequence: text states, text embedding, the code of their similarity z_i · z_t, then the codes of z_i.
    """

    def __init__(self, spec: AutoregressivePriorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        width = spec.width
        self.codec = Codec(spec)
        self.text_projection = nn.Linear(spec.text_width, width)
        self.text_embedding_projection = nn.Linear(spec.embedding_width, width)
        self.null_text_states = nn.Parameter(torch.zeros(spec.text_positions, width))
        self.null_text_embedding = nn.Parameter(torch.zeros(width))
        self.dot_embedding = nn.Embedding(spec.dot_buckets + 1, width)  # the last says nothing of it
        self.code_embedding = nn.Embedding(spec.buckets, width)
        self.position_embedding = nn.Parameter(torch.zeros(spec.prefix + spec.kept - 1, width))
        self.blocks = nn.ModuleList([Block(spec) for _ in range(spec.layers)])
        self.norm = nn.LayerNorm(width)
        self.to_logits = nn.Linear(width, spec.buckets)

    def conditioning(
        self,
        text_embedding: Tensor,
        text_states: Tensor | None = None,
        dot_code: Tensor | None = None,
        *,
        dropped: bool = False,
    ) -> dict[str, Tensor]:
        """What stands before the codes.

        Args:
            text_embedding: z_t "batch embedding_width".
            text_states: "batch positions text_width"; rows of zeros are padding. None: learned ones for all.
            dot_code: Code of the similarity "batch" int64; None says nothing of it.
            dropped: The unconditional branch of classifier-free guidance: text and embedding are replaced by
                learned ones, and nothing is said of the similarity.

        Raises:
            GlidewireError: Another width, more positions than the model has, or no such code.
        """
        spec, batch = self.spec, len(text_embedding)
        if text_states is None:
            text_states = text_embedding.new_zeros(batch, 1, spec.text_width)
        fits = text_embedding.ndim == 2 and text_embedding.shape[1] == spec.embedding_width and text_states.ndim == 3
        if not fits or text_states.shape[2] != spec.text_width or text_states.shape[1] > spec.text_positions:
            expected = f"batch x {spec.embedding_width} and batch x at most {spec.text_positions} x {spec.text_width}"
            raise GlidewireError(
                "autoregressive prior: the text does not fit the model",
                expected=expected,
                got=f"{' x '.join(map(str, text_embedding.shape))} and {' x '.join(map(str, text_states.shape))}",
            )
        nothing = torch.full((batch,), spec.dot_buckets, dtype=torch.long, device=text_embedding.device)
        dot_code = nothing if dot_code is None or dropped else dot_code
        if bool(((dot_code < 0) | (dot_code > spec.dot_buckets)).any()):
            raise GlidewireError(
                "autoregressive prior: there is no such code of the similarity",
                expected=f"0 to {spec.dot_buckets - 1}",
                got=dot_code.tolist(),
            )
        return {
            "text_embedding": text_embedding,
            "text_states": F.pad(text_states, (0, 0, 0, spec.text_positions - text_states.shape[1])),
            "dot_code": dot_code,
            "text_dropped": torch.full((batch,), dropped, device=text_embedding.device),
        }

    def forward(self, codes: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """Scores of every code given the ones before it, in one pass.

        Args:
            codes: "batch kept" int64; the last is not looked at.
            conditioning: See `conditioning`.

        Returns:
            Logits "batch kept buckets" float32.

        Raises:
            GlidewireError: Another number of codes, or one outside the buckets.
        """
        spec = self.spec
        low, high = (int(codes.min()), int(codes.max())) if codes.numel() else (0, 0)
        if codes.ndim != 2 or codes.shape[1] != spec.kept or not 0 <= low <= high < spec.buckets:
            raise GlidewireError(
                "autoregressive prior: the codes do not fit the model",
                expected=f"batch x {spec.kept}, 0 to {spec.buckets - 1}",
                got=f"{' x '.join(map(str, codes.shape))}, {low} to {high}",
            )
        h = torch.cat([self._prefix(conditioning), self.code_embedding(codes[:, :-1])], dim=1)
        h = h + self.position_embedding
        for block in self.blocks:
            h = block(h)
        return self._logits(h[:, spec.prefix - 1 :])

    def start(self, conditioning: Mapping[str, Tensor]) -> tuple[Tensor, Cache]:
        """Scores of the first code, "batch buckets", and the cache for the next."""
        spec = self.spec
        h = self._prefix(conditioning) + self.position_embedding[: spec.prefix]
        shape = (spec.layers, len(h), spec.heads, len(self.position_embedding), spec.width // spec.heads)
        return self._advance(h, Cache(h.new_zeros(shape), h.new_zeros(shape)))

    def step(self, codes: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """Scores of the code after the ones "batch" that were just drawn, and the cache for the next.

        A cache serves one sequence: what is written behind its end is overwritten if it is used twice.
        """
        h = self.code_embedding(codes)[:, None] + self.position_embedding[cache.filled]
        return self._advance(h, cache)

    def _advance(self, h: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        end = cache.filled + h.shape[1]
        for layer, block in enumerate(self.blocks):
            h = block(h, cache.keys[layer], cache.values[layer], cache.filled)
        return self._logits(h[:, -1]), Cache(cache.keys, cache.values, end)

    def _logits(self, h: Tensor) -> Tensor:
        return self.to_logits(self.norm(h)).float()

    def _prefix(self, conditioning: Mapping[str, Tensor]) -> Tensor:
        states = conditioning["text_states"].to(self.null_text_states.dtype)
        dropped = conditioning["text_dropped"][:, None, None]
        given = (states != 0).any(dim=-1, keepdim=True) & ~dropped
        states = torch.where(given, self.text_projection(states), self.null_text_states)
        text = self.text_embedding_projection(conditioning["text_embedding"].to(states.dtype))[:, None]
        text = torch.where(dropped, self.null_text_embedding, text)
        return torch.cat([states, text, self.dot_embedding(conditioning["dot_code"])[:, None]], dim=1)

    def loss(
        self, image_embedding: Tensor, text_embedding: Tensor, text_states: Tensor | None, dropped: Tensor
    ) -> Tensor:
        """Mean negative log-likelihood of a code, in nats, for training.

        Args:
            image_embedding: z_i "batch embedding_width".
            text_embedding: z_t "batch embedding_width".
            text_states: See `conditioning`.
            dropped: Items "batch" bool that are to learn the unconditional branch (10 % in the paper).
        """
        codes = self.codec.encode(image_embedding)
        dot_code = self.codec.dot_code(image_embedding, text_embedding)
        dot_code = torch.where(dropped, self.spec.dot_buckets, dot_code)
        given = {**self.conditioning(text_embedding, text_states, dot_code), "text_dropped": dropped}
        return F.cross_entropy(self(codes, given).flatten(0, 1), codes.flatten())

    def digest(self) -> str:
        """Content identity of the weights and their precision."""
        return network_digest(self, self.spec, self.content_digest)

    @torch.no_grad()
    def initialise(self, seed: int) -> Self:
        """Fresh weights for training, the same for the same seed.

        N(0, 0.02^2), and over sqrt(2 layers) less for the last layer of a branch; biases are zero
        (Radford et al. 2019, sec. 2.3).
        """
        generator = torch.Generator().manual_seed(seed)
        for name, value in self.named_parameters():
            if value.ndim > 1 or name.startswith("null_"):
                last = name.endswith(("to_out.weight", "mlp.2.weight"))
                std = 0.02 / (math.sqrt(2 * self.spec.layers) if last else 1)
                value.copy_(torch.randn(value.shape, generator=generator) * std)
            elif name.endswith("bias"):
                value.zero_()
        return self
