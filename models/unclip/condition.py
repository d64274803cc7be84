"""How decoders turn embeddings into positions of context and an addition to the time embedding, one system each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .spec import DecoderSpec


class KarloCondition(nn.Module):
    """Karlo's: c = [tokens(z_i), norm(W s)], e = W_i z_i + W_t z_t.

    z_i is the picture's embedding, z_t the text's, s its states. The picture's tokens are "width tokens" when
    projected: the token is the fastest axis. Without a picture a learned embedding stands for z_i.

    Source: Ramesh et al. 2022, section 2.1.
    """

    def __init__(self, spec: DecoderSpec) -> None:
        super().__init__()
        self.tokens = spec.image_tokens
        self.no_image = nn.Parameter(torch.zeros(spec.embedding_width))
        self.image_to_tokens = nn.Linear(spec.embedding_width, spec.image_tokens * spec.context_width)
        self.image_to_time = nn.Linear(spec.embedding_width, spec.time_width)
        self.text_to_time = nn.Linear(spec.pooled_width, spec.time_width)
        self.text_to_context = nn.Linear(spec.text_width, spec.context_width)
        self.context_norm = nn.LayerNorm(spec.context_width)

    def forward(self, image: Tensor, text: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """The context "batch tokens+positions context_width" and the addition "batch time_width"."""
        tokens = self.image_to_tokens(image).unflatten(-1, (-1, self.tokens)).transpose(1, 2)
        positions, addition = self.text(text, states)
        return torch.cat([tokens, positions], dim=1), self.image_to_time(image) + addition

    def text(self, text: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """The text's share: positions of the context "batch positions context_width", and of the addition."""
        return self.context_norm(self.text_to_context(states)), self.text_to_time(text)


class Kandinsky21Condition(nn.Module):
    """Kandinsky 2.1's: c = [tokens(z_i), W s], e = W_i z_i + norm(W_t z_t).

    The picture's tokens are "tokens width" when projected: the token is the slowest axis.

    Source: Razzhigaev et al. 2023, section 3.
    """

    def __init__(self, spec: DecoderSpec) -> None:
        super().__init__()
        self.tokens = spec.image_tokens
        self.image_to_tokens = nn.Linear(spec.embedding_width, spec.image_tokens * spec.context_width)
        self.image_to_time = nn.Linear(spec.embedding_width, spec.time_width)
        self.text_to_time = nn.Linear(spec.pooled_width, spec.time_width)
        self.time_norm = nn.LayerNorm(spec.time_width)
        self.text_to_context = nn.Linear(spec.text_width, spec.context_width)

    def forward(self, image: Tensor, text: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """The context "batch tokens+positions context_width" and the addition "batch time_width"."""
        tokens = self.image_to_tokens(image).unflatten(-1, (self.tokens, -1))
        positions, addition = self.text(text, states)
        return torch.cat([tokens, positions], dim=1), self.image_to_time(image) + addition

    def text(self, text: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """The text's share: positions of the context "batch positions context_width", and of the addition."""
        return self.text_to_context(states), self.time_norm(self.text_to_time(text))


class Kandinsky22Condition(nn.Module):
    """Kandinsky 2.2's, of the picture's embedding alone: c = norm(tokens(z_i)), e = norm(W_i z_i).

    Source: Razzhigaev et al. 2023, section 3.
    """

    def __init__(self, spec: DecoderSpec) -> None:
        super().__init__()
        self.tokens = spec.image_tokens
        self.image_to_tokens = nn.Linear(spec.embedding_width, spec.image_tokens * spec.context_width)
        self.token_norm = nn.LayerNorm(spec.context_width)
        self.image_to_time = nn.Linear(spec.embedding_width, spec.time_width)
        self.time_norm = nn.LayerNorm(spec.time_width)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The context "batch tokens context_width" and the addition "batch time_width"."""
        tokens = self.image_to_tokens(image).unflatten(-1, (self.tokens, -1))
        return self.token_norm(tokens), self.time_norm(self.image_to_time(image))


CONDITIONS = {
    "karlo": KarloCondition,
    "kandinsky-2.1": Kandinsky21Condition,
    "kandinsky-2.2": Kandinsky22Condition,
}
