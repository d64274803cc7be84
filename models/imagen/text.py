"""The T5 encoder as a module: transformers' encoder behind checks of what it is given."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5EncoderModel

from ...errors import GlidewireError
from ..digest import network_digest
from .t5 import T5Spec


class T5Text(nn.Module):
    """States of a text (Raffel et al. 2020), which Imagen's denoisers attend to.

    Args:
        spec: Hyper-parameters.
    """

    def __init__(self, spec: T5Spec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader: the file's digest stands for the weights
        config = T5Config(
            vocab_size=spec.vocabulary_size,
            d_model=spec.width,
            d_kv=spec.head_channels,
            d_ff=spec.hidden_width,
            num_layers=spec.layers,
            num_heads=spec.heads,
            relative_attention_num_buckets=spec.buckets,
            relative_attention_max_distance=spec.max_distance,
            dropout_rate=0.0,
            layer_norm_epsilon=spec.norm_eps,
            feed_forward_proj=spec.feed_forward,
        )
        # The model around it holds the table of embeddings once more.
        self.encoder: Any = T5EncoderModel(config).encoder

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The last states, behind the final norm.

        Args:
            tokens: Ids, "batch positions" int64.
            mask: True for tokens, False for padding, "batch positions" bool; padding is not seen, but has states.

        Returns:
            "batch positions width" in the dtype of the weights.

        Raises:
            GlidewireError: Another shape, or an id outside of the vocabulary.
        """
        if tokens.ndim != 2 or tokens.shape != mask.shape:
            raise GlidewireError(
                "T5: tokens and mask have the wrong shape",
                expected="batch x positions, both",
                got=f"tokens {tuple(tokens.shape)}, mask {tuple(mask.shape)}",
            )
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.spec.vocabulary_size:
            raise GlidewireError(
                "T5: a token id lies outside of the vocabulary",
                expected=f"0 to {self.spec.vocabulary_size - 1}",
                got=f"{int(tokens.min())} to {int(tokens.max())}",
                hint="Tokenize with the vocabulary that belongs to this checkpoint.",
            )
        return self.encoder(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
