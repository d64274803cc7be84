"""The diffusion prior: diffusers' prior transformer as the guidance expression evaluates it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from diffusers.models.transformers.prior_transformer import PriorTransformer
from torch import Tensor, nn

from ...errors import GlidewireError
from ..digest import network_digest
from .embedding import EmbeddingStatistics, StatisticsSpec
from .shapes import required
from .spec import BEHIND_TEXT, PriorSpec

# What is added to the score of a key that is hidden; in every dtype far below any score.
_HIDDEN = -10000.0


def _transformer(spec: PriorSpec) -> Any:
    """diffusers' transformer, without the statistics that only its own layout has."""
    transformer: Any = PriorTransformer(
        num_attention_heads=spec.heads,
        attention_head_dim=spec.width // spec.heads,
        num_layers=spec.layers,
        embedding_dim=spec.embedding_width,
        num_embeddings=spec.text_context,
        additional_embeddings=BEHIND_TEXT,
    )
    del transformer.clip_mean, transformer.clip_std
    if spec.text_width != spec.embedding_width:
        transformer.encoder_hidden_states_proj = nn.Linear(spec.text_width, spec.width)
    # Files do not carry the causal mask, so it is made where a meta device would leave it out.
    positions = spec.text_context + BEHIND_TEXT
    causal = torch.full((1, positions, positions), _HIDDEN, device="cpu").triu(1)
    transformer.register_buffer("causal_attention_mask", causal, persistent=False)
    return transformer


class Prior(nn.Module):
    """z_0 of a noised and normalised picture embedding z_t given a caption (Ramesh et al. 2022, section 2.2).

    The sequence is [text states, text embedding, time, z_t, query] under a causal mask, where padding is hidden;
    the last position is the prediction. A `Network` for the guidance expression. Its conditioning is a mapping of
    batch-first tensors: `text_embedding` "batch embedding_width", `text_states` "batch text_context text_width",
    and `text_mask` "batch text_context" bool, True for tokens.

    Args:
        spec: Hyper-parameters.
    """

    prediction: Literal["eps", "x_0", "v"] = "x_0"
    learned_variance = False

    def __init__(self, spec: PriorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader: the file's digest stands for the weights
        self.space = ""  # set by a loader: which CLIP's embeddings these are
        self.transformer = _transformer(spec)
        self.statistics = EmbeddingStatistics(StatisticsSpec(spec.embedding_width)) if spec.carries_statistics else None

    @property
    def channels(self) -> int:
        """Width of x_t."""
        return self.spec.embedding_width

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The conditioning itself, if it fits; raises GlidewireError if not."""
        spec = self.spec
        required(conditioning.get("text_embedding"), "text_embedding", "batch", spec.embedding_width)
        required(conditioning.get("text_states"), "text_states", "batch", spec.text_context, spec.text_width)
        required(conditioning.get("text_mask"), "text_mask", "batch", spec.text_context)
        return conditioning

    def forward(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """One batched evaluation.

        Args:
            x_t: Noised and normalised embedding, "batch embedding_width".
            timesteps: Ids of the original schedule, "batch" (0 ... 999).
            conditioning: See the class.

        Returns:
            x_0 in x_t's shape and dtype; the network computes in the dtype of its weights.

        Raises:
            GlidewireError: An embedding or conditioning that does not fit.
        """
        required(x_t, "x_t", "batch", self.spec.embedding_width)
        given = self.prepare(conditioning)
        dtype = self.transformer.proj_in.weight.dtype
        output = self.transformer(
            x_t.to(dtype),
            timesteps,
            proj_embedding=given["text_embedding"].to(dtype),
            encoder_hidden_states=given["text_states"].to(dtype),
            attention_mask=given["text_mask"],
            return_dict=False,
        )[0]
        return output.to(x_t.dtype)

    def picture_embedding(self, x_0: Tensor, statistics: EmbeddingStatistics | None = None) -> Tensor:
        """The CLIP embedding that a sample stands for: x_0 std + mean.

        Args:
            x_0: A sample, "batch embedding_width".
            statistics: Of the embeddings; None takes the ones that the prior's own file carries.

        Returns:
            "batch embedding_width".

        Raises:
            GlidewireError: There are no statistics.
        """
        statistics = statistics or self.statistics
        if statistics is None:
            raise GlidewireError(
                "unCLIP prior: its file does not carry the statistics of embeddings",
                expected="mean and deviation per channel",
                hint="Load the file of statistics that was published beside the prior.",
            )
        return statistics.denormalise(x_0)

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)
