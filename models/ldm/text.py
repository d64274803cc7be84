"""The text encoders of latent diffusion with their tokenizers: CLIP's, and the BERT of its own first models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from ...errors import GlidewireError
from ..checkpoint import identify, load_identified
from ..handle import Handle
from ..registry import Identity

if TYPE_CHECKING:
    from ..clip.tokenizer import ClipTokenizer
    from ..clip_text.network import ClipText
    from .bert import Bert
    from .tokenizer import BertTokenizer

_LOADERS = {"clip_text": "CLIP", "ldm": "BERT"}


@dataclass(frozen=True)
class TextEncoder(Handle):
    """A network of texts with its tokenizer.

    Attributes:
        network: Frozen, in evaluation mode.
        tokenizer: The vocabulary that the network was trained with.
    """

    network: ClipText | Bert
    tokenizer: ClipTokenizer | BertTokenizer

    @torch.no_grad()
    def encode_prompt(self, prompt: str) -> tuple[dict[str, Tensor], str]:
        """Encode one prompt; the empty one is the unconditional prompt.

        Args:
            prompt: Any text.

        Returns:
            `context` "1 positions width"; and the end of the prompt that did not fit, empty if all of it did.

        Raises:
            GlidewireError: Text that is not valid Unicode.

        Source: Rombach et al. 2022, section 3.3.
        """
        encoded = self.tokenizer.encode(prompt, self.network.spec.positions)
        device = next(self.network.parameters()).device
        return {"context": self.network(encoded.tokens[None].to(device))}, encoded.dropped


def identify_text_encoder(path: str | Path, family: str) -> Identity:
    """The text encoder in a file, of its own or inside of a whole checkpoint.

    Args:
        path: A file.
        family: "clip_text", or "ldm" for BERT.

    Raises:
        GlidewireError: As `identify`, or the file's text encoder is the other one.
    """
    identity = identify(path, component="text_encoder")
    if identity.family != family:
        other = _LOADERS.get(identity.family, identity.family)
        raise GlidewireError(
            f"{identity.header.name} has another text encoder",
            expected=_LOADERS[family],
            got=other,
            hint=f"Load it as a {other} text encoder.",
        )
    return identity


def load_clip_text(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> TextEncoder:
    """Load CLIP's text encoder with its tokenizer, strictly; arguments and errors as `models.checkpoint.load`."""
    from ..clip.tokenizer import ClipTokenizer

    identity = identify_text_encoder(path, "clip_text")
    words = ClipTokenizer.of(identity.header.metadata, identity.spec.padding)
    _require_vocabulary(identity, words.vocabulary_size, "CLIP's own")
    return TextEncoder(cast("ClipText", load_identified(identity, device=device, dtype=dtype)), words)


def load_bert_text(
    path: str | Path,
    vocabulary: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> TextEncoder:
    """Load latent diffusion's BERT, strictly, with BERT's `vocab.txt`; the rest as `models.checkpoint.load`."""
    from .tokenizer import BertTokenizer

    identity = identify_text_encoder(path, "ldm")
    words = BertTokenizer(vocabulary)
    _require_vocabulary(identity, words.vocabulary_size, Path(vocabulary).name)
    return TextEncoder(cast("Bert", load_identified(identity, device=device, dtype=dtype)), words)


def _require_vocabulary(identity: Identity, size: int, name: str) -> None:
    if size != identity.spec.vocabulary_size:
        raise GlidewireError(
            f"{identity.header.name}: the vocabulary does not fit its token embedding",
            expected=f"{identity.spec.vocabulary_size} ids",
            got=f"{size} from {name}",
            hint="Take the vocabulary that the encoder was trained with.",
        )
