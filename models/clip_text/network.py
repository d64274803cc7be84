"""CLIP's text encoder: open_clip's transformer, with the states that denoisers attend to."""

from __future__ import annotations

from typing import Any

import torch
from open_clip.transformer import QuickGELU, TextTransformer
from torch import Tensor, nn

from ...errors import GlidewireError
from ..digest import network_digest
from .spec import ClipTextSpec


class ClipText(nn.Module):
    """Tokens to states per token and to one embedding (Radford et al. 2021, sec. 2.4)."""

    def __init__(self, spec: ClipTextSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        self.encoder: Any = TextTransformer(
            context_length=spec.positions,
            vocab_size=spec.vocabulary_size,
            width=spec.width,
            heads=spec.heads,
            layers=spec.layers,
            mlp_ratio=spec.mlp_width / spec.width,
            output_dim=spec.projection or None,  # pyrefly: ignore
            act_layer=QuickGELU if spec.quick_gelu else nn.GELU,
            # Ours is made in `forward`: theirs is no part of a file, and would stay on the meta device.
            no_causal_mask=True,
        )

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)

    def forward(self, tokens: Tensor) -> Tensor:
        """The context that denoisers attend to.

        Args:
            tokens: Ids "batch positions" int64, from `clip.tokenizer` with `spec.padding`.

        Returns:
            Normalised states "batch positions width", `spec.left_out` blocks before the last.

        Raises:
            GlidewireError: Too many positions, or an id outside the vocabulary.
        """
        return self.encoder.ln_final(self._states(tokens, self.spec.layers - self.spec.left_out))

    def states_and_embedding(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised states of the last block, and their projection where the text ends.

        Args:
            tokens: As `forward`.

        Returns:
            "batch positions width", and "batch projection", not normalised.

        Raises:
            GlidewireError: As `forward`, or the file has no projection.
        """
        if not self.spec.projection:
            raise GlidewireError(
                "this CLIP text encoder has no projection", hint="Take a file with `text_projection` in it."
            )
        states = self.encoder.ln_final(self._states(tokens, self.spec.layers))
        # The text ends at its largest id; argmax gives the first, should padding have the same.
        ends = tokens.argmax(dim=-1)
        rows = torch.arange(len(tokens), device=tokens.device)
        return states, states[rows, ends] @ self.encoder.text_projection

    def _states(self, tokens: Tensor, layers: int) -> Tensor:
        self._check(tokens)
        encoder, positions = self.encoder, tokens.shape[1]
        h = encoder.token_embedding(tokens) + encoder.positional_embedding[:positions]
        causal = torch.full((positions, positions), float("-inf"), device=h.device, dtype=h.dtype).triu(1)
        for block in encoder.transformer.resblocks[:layers]:
            h = block(h, attn_mask=causal)
        return h

    def _check(self, tokens: Tensor) -> None:
        if tokens.ndim != 2 or tokens.shape[1] > self.spec.positions:
            raise GlidewireError(
                "CLIP text: tokens have the wrong shape",
                expected=f"batch x at most {self.spec.positions} positions",
                got=tuple(tokens.shape),
            )
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.spec.vocabulary_size:
            raise GlidewireError(
                "CLIP text: a token id lies outside the vocabulary",
                expected=f"0 to {self.spec.vocabulary_size - 1}",
                got=f"{int(tokens.min())} to {int(tokens.max())}",
            )
