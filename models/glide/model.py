"""A GLIDE model as a whole: the network and the tokenizer that belongs to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ..checkpoint import identify, load_identified
from ..handle import Handle
from .checkpoint import COMPONENT, tokenizer
from .spec import GlideSpec
from .tokenizer import GlideTokenizer

if TYPE_CHECKING:
    from .network import GlideTextToImage


@dataclass(frozen=True)
class GlideModel(Handle):
    """A network with its tokenizer.

    Attributes:
        network: Frozen, in evaluation mode.
        tokenizer: The vocabulary that the network was trained with.
    """

    network: GlideTextToImage
    tokenizer: GlideTokenizer

    @property
    def spec(self) -> GlideSpec:
        """The network's hyper-parameters."""
        return self.network.spec

    @torch.no_grad()
    def encode_prompt(self, prompt: str) -> tuple[dict[str, Tensor], str]:
        """Encode one prompt; the empty prompt is the unconditional one.

        Args:
            prompt: Any text.

        Returns:
            `text_embedding` "1 4*model_channels" and `text_states` "1 context width"; and the end of the prompt
            that did not fit into the context, empty if all of it did.

        Raises:
            GlidewireError: Text that is not valid Unicode.
        """
        device = self.network.text.positional_embedding.device
        encoded = self.tokenizer.encode(prompt, self.spec.text_context)
        tensors = self.network.encode_text(encoded.tokens[None].to(device), encoded.mask[None].to(device))
        return tensors, encoded.dropped


def load_model(
    path: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
    stated: Mapping[str, Any] | None = None,
) -> GlideModel:
    """Load a GLIDE checkpoint with its tokenizer, strictly; arguments and errors as `models.checkpoint.load`."""
    identity = identify(path, component=COMPONENT, stated=stated)
    words = tokenizer(identity)
    network = load_identified(identity, device=device, dtype=dtype)
    return GlideModel(cast("GlideTextToImage", network), words)
