"""Noised CLIP as a whole: both towers, from a file each, and the tokenizer of the text tower."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from ...errors import GlidewireError
from ..checkpoint import identify, load_identified
from ..registry import Identity

if TYPE_CHECKING:
    from ..clip.tokenizer import ClipTokenizer
    from .network import NoisedClipClassifier, NoisedClipGradient, NoisedImageEncoder, NoisedTextEncoder


@dataclass(frozen=True)
class NoisedClip:
    """Two towers that share a space of embeddings.

    Attributes:
        image: The tower of noised pictures, frozen, in evaluation mode.
        text: The tower of texts, frozen, in evaluation mode.
        tokenizer: CLIP's.
    """

    image: NoisedImageEncoder
    text: NoisedTextEncoder
    tokenizer: ClipTokenizer

    def digest(self) -> str:
        """Content identity of both towers, for cache keys."""
        return f"{self.image.digest()} {self.text.digest()}"

    def nbytes(self) -> int:
        """Bytes that the weights take."""
        return sum(
            weight.numel() * weight.element_size() for tower in (self.image, self.text) for weight in tower.parameters()
        )

    @torch.no_grad()
    def encode_prompt(self, prompt: str) -> tuple[Tensor, str]:
        """Encode one prompt.

        Args:
            prompt: Any text.

        Returns:
            The embedding "1 width", not normalised; and the end of the prompt that did not fit.

        Raises:
            GlidewireError: Text that is not valid Unicode.

        Source: Nichol et al. 2021 (GLIDE), section 4.4.
        """
        encoded = self.tokenizer.encode(prompt, self.text.spec.context)
        device = next(self.text.parameters()).device
        return self.text(encoded.tokens[None].to(device)), encoded.dropped

    def towards(self, embedding: Tensor) -> NoisedClipGradient:
        """The gradient towards what an embedding "batch width" or "1 width" of a text describes."""
        from .network import NoisedClipGradient

        return NoisedClipGradient(self.image, embedding)

    def classifying(self, embeddings: Tensor, label: int) -> NoisedClipClassifier:
        """The gradient towards one of several classes, each an embedding of `embeddings` "classes width"."""
        from .network import NoisedClipClassifier

        return NoisedClipClassifier(self.image, embeddings, label)


def identify_towers(image: str | Path, text: str | Path) -> tuple[Identity, Identity]:
    """What both files are, told from their headers.

    Raises:
        GlidewireError: One is no such tower, or they were not trained together.
    """
    found = identify(image, component="image_encoder"), identify(text, component="text_encoder")
    for identity in found:
        if identity.family != "noised_clip":
            raise GlidewireError(
                f"{identity.header.name} is no tower of noised CLIP", expected="noised_clip", got=identity.family
            )
    widths = [identity.dims["embedding_width"] for identity in found]
    if widths[0] != widths[1]:
        raise GlidewireError(
            "noised CLIP: the towers were not trained together",
            expected=f"embeddings of width {widths[0]}, as {found[0].header.name} has",
            got=f"{widths[1]} in {found[1].header.name}",
        )
    return found


def load_noised_clip(
    image: str | Path,
    text: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> NoisedClip:
    """Load both towers, strictly; errors as `identify_towers` and `models.checkpoint.load`."""
    from ..clip.tokenizer import ClipTokenizer

    found = identify_towers(image, text)
    words = ClipTokenizer.of(found[1].header.metadata)
    rows = found[1].dims["vocabulary"]
    if rows < words.vocabulary_size:
        raise GlidewireError(
            f"{found[1].header.name}: the vocabulary does not fit its token embedding",
            expected=f"at least {words.vocabulary_size} ids, as CLIP's tokenizer gives",
            got=f"{rows} ids",
        )
    towers = [load_identified(identity, device=device, dtype=dtype) for identity in found]
    return NoisedClip(cast("NoisedImageEncoder", towers[0]), cast("NoisedTextEncoder", towers[1]), words)
