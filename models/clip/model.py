"""CLIP as a whole: both towers, the tokenizer, and the name of the space of its embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ..checkpoint import content_digest, identify, load_identified
from ..handle import Handle
from ..registry import Identity
from .spec import PUBLISHED, ClipSpec

if TYPE_CHECKING:
    from .network import Clip
    from .tokenizer import ClipTokenizer

CLIP = "glidewire.clip"
"""Where a file says which CLIP's embeddings it makes or takes."""

_ONLY_LAION = ("ViT-H/14", "ViT-g/14", "ViT-bigG/14")


@dataclass(frozen=True)
class ClipModel(Handle):
    """Both towers of a CLIP.

    Attributes:
        network: Frozen, in evaluation mode.
        tokenizer: CLIP's.
        clip: The name of the space of its embeddings; see `clip_name`.
    """

    network: Clip
    tokenizer: ClipTokenizer
    clip: str

    @property
    def spec(self) -> ClipSpec:
        """The networks' hyper-parameters."""
        return self.network.spec

    @torch.no_grad()
    def encode_prompt(self, prompt: str) -> tuple[dict[str, Tensor], str]:
        """Encode one prompt; the empty prompt is the unconditional one.

        Args:
            prompt: Any text.

        Returns:
            `text_embedding` "1 projection", `text_states` "1 positions width" and `text_mask` "1 positions" bool,
            on the CPU; and the end of the prompt that did not fit.

        Raises:
            GlidewireError: Text that is not valid Unicode.
        """
        positions = self.spec.text.positions
        encoded = self.tokenizer.encode(prompt, positions)
        device = next(self.network.parameters()).device
        states, embedding = self.network.encode_text(encoded.tokens[None].to(device))
        mask = torch.arange(positions)[None] < min(encoded.length, positions)
        found = {"text_embedding": embedding.float().cpu(), "text_states": states.float().cpu(), "text_mask": mask}
        return found, encoded.dropped

    @torch.no_grad()
    def encode_picture(self, picture: Tensor) -> Tensor:
        """The embeddings of pictures "batch 3 height width" in [-1, 1]: their middle squares, resized.

        Returns:
            "batch projection", not normalised, float32 on the CPU.
        """
        from .network import fitted

        weight = next(self.network.parameters())
        fitting = fitted(picture.float(), self.spec.image.image_size)
        return self.network.encode_image(fitting.to(weight.device)).float().cpu()


def clip_name(identity: Identity, stated: str = "") -> str:
    """The name of a CLIP's space: what is stated, what the file says, or what was published.

    OpenAI's and LAION's models of one size are told apart by their activation; an unpublished one is named by
    its shape and the beginning of its content's digest.
    """
    named = stated or identity.header.metadata.get(CLIP, "")
    if named:
        return named
    if identity.variant not in PUBLISHED:
        return f"{identity.variant} {content_digest(identity)[:8]}"
    if identity.variant in _ONLY_LAION:
        return identity.variant
    return f"{identity.variant} of {'OpenAI' if identity.spec.image.quick_gelu else 'LAION'}"


def identify_clip(path: str | Path, activation: str = "") -> Identity:
    """The whole CLIP in a file; errors as `identify`.

    Args:
        path: A file or a folder.
        activation: "quick_gelu" or "gelu", where neither the file nor its layout tells; "" leaves it to them.
    """
    stated: dict[str, Any] = {"quick_gelu": activation == "quick_gelu"} if activation else {}
    return identify(path, component="clip", family="clip", stated=stated)


def load_clip(
    path: str | Path,
    *,
    clip: str = "",
    activation: str = "",
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> ClipModel:
    """Load both towers, strictly; names as `clip_name`, the rest as `identify_clip` and `models.checkpoint.load`."""
    from .tokenizer import ClipTokenizer

    identity = identify_clip(path, activation)
    network = cast("Clip", load_identified(identity, device=device, dtype=dtype))
    return ClipModel(network, ClipTokenizer.of(identity.header.metadata), clip_name(identity, clip))
